//! Reads the tables of other servers; never writes to them.

use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use super::{Error, PostgresAddress};
use crate::secret::Secret;

/// How long the other server's own writing is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A database of another server, opened for reading.
pub enum Foreign {
    Postgres(tokio_postgres::Client),
    Sqlite(rusqlite::Connection),
}

/// Where a `PostgreSQL` database is, as another server's configuration has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForeignAddress {
    /// A name, an address, or the folder of a socket; the usual socket if absent.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub database: String,
    pub user: Option<String>,
}

/// One row of a store in Prosody's table.
#[derive(Debug)]
pub struct ProsodyRow {
    /// Empty for what belongs to the host.
    pub user: String,
    pub key: String,
    /// `json`, `number`, `string` or `boolean`.
    pub form: String,
    pub value: String,
}

/// One row of ejabberd's table of invites, every value as text.
#[derive(Debug)]
pub struct EjabberdRow {
    pub token: String,
    /// The inviter's localpart; empty if the operator invited.
    pub username: String,
    /// Absent in databases of a single host.
    pub server_host: Option<String>,
    /// Who used the invite; empty if nobody did.
    pub invitee: String,
    pub created_at: String,
    pub expires: String,
    /// `A` account, `R` contact, `S` account and contact, `T` reset.
    pub kind: String,
    pub account_name: String,
}

/// Where `PostgreSQL`'s socket is if nobody says otherwise.
const USUAL_SOCKET: &str = "/var/run/postgresql";

impl Foreign {
    /// Opens a file, which must exist.
    pub fn open_sqlite(path: &Path) -> Result<Self, Error> {
        let named =
            |e: rusqlite::Error| Error::Unavailable(format!("{}: {e}", path.display()).into());
        let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, access).map_err(named)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(named)?;
        Ok(Self::Sqlite(connection))
    }

    /// Connects without TLS: a Prosody's configuration cannot say that there is any.
    pub async fn connect_postgres(
        address: &ForeignAddress,
        password: Option<&Secret>,
    ) -> Result<Self, Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(address.host.as_deref().unwrap_or(USUAL_SOCKET))
            .dbname(&address.database)
            .application_name("invited import")
            .connect_timeout(CONNECT_TIMEOUT);
        if let Some(port) = address.port {
            config.port(port);
        }
        if let Some(user) = &address.user {
            config.user(user);
        }
        if let Some(password) = password {
            config.password(password.expose());
        }
        let (client, connection) = config.connect(NoTls).await.map_err(|e| postgres(&e))?;
        // It ends when the client is dropped; what breaks it meanwhile, the client's calls tell.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self::Postgres(client))
    }

    /// Opens `sqlite:FILE` or connects to `postgres://…`, with TLS as [`PostgresAddress`] has it.
    pub async fn open(url: &Secret) -> Result<Self, Error> {
        let text = url.expose();
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Self::open_sqlite(Path::new(path));
        }
        let address = PostgresAddress::new(text, None, None).map_err(|why| {
            Error::Unavailable(format!("the address of the database: {why}").into())
        })?;
        address.connect_to_read().await.map(Self::Postgres)
    }

    /// All rows of one of Prosody's stores at a host, oldest first.
    ///
    /// COMPAT: Prosody 0.12 has no unique index, so a key may be there more than once; the last
    /// row is the one that counts. Versions differ in the letters of the table's name.
    pub async fn prosody_rows(&self, host: &str, store: &str) -> Result<Vec<ProsodyRow>, Error> {
        let table = self
            .table("prosody")
            .await?
            .ok_or_else(|| Error::Unavailable("there is no table \"prosody\"".into()))?;
        // Rows of one key come in the order in which they lie in the table, on both engines.
        let order = match self {
            Self::Postgres(_) => "",
            Self::Sqlite(_) => " order by rowid",
        };
        let sql = format!(
            "select \"user\", \"key\", \"type\", \"value\" from {table} \
              where \"host\" = $1 and \"store\" = $2{order}"
        );
        let rows = self.texts(&sql, &[host, store]).await?;
        Ok(rows
            .into_iter()
            .map(|values| {
                let mut values = values.into_iter();
                let mut next = || values.next().unwrap_or_default();
                ProsodyRow {
                    user: next(),
                    key: next(),
                    form: next(),
                    value: next(),
                }
            })
            .collect())
    }

    /// All invites of an ejabberd.
    pub async fn ejabberd_rows(&self) -> Result<Vec<EjabberdRow>, Error> {
        let table = self.table("invite_token").await?.ok_or_else(|| {
            Error::Unavailable("there is no table \"invite_token\"; mod_invites of ejabberd makes it if its db_type is sql".into())
        })?;
        let has_host = self.has_column(&table, "server_host").await;
        let host = if has_host { "server_host" } else { "''" };
        let sql = format!(
            "select token, username, {host}, coalesce(invitee, ''), cast(created_at as text), \
                    cast(expires as text), cast(type as text), coalesce(account_name, '') \
               from {table} order by created_at, token"
        );
        let rows = self.texts(&sql, &[]).await?;
        Ok(rows
            .into_iter()
            .map(|values| {
                let mut values = values.into_iter();
                let mut next = || values.next().unwrap_or_default();
                EjabberdRow {
                    token: next(),
                    username: next(),
                    server_host: Some(next()).filter(|_| has_host),
                    invitee: next(),
                    created_at: next(),
                    expires: next(),
                    kind: next(),
                    account_name: next(),
                }
            })
            .collect())
    }

    /// A table's name in quotes, as the database writes it.
    async fn table(&self, name: &str) -> Result<Option<String>, Error> {
        let sql = match self {
            Self::Postgres(_) => {
                "select cast(table_name as text) from information_schema.tables \
                  where lower(table_name) = $1 and table_schema = any(current_schemas(false))"
            }
            Self::Sqlite(_) => {
                "select name from sqlite_master where type = 'table' and lower(name) = $1"
            }
        };
        let found = self.texts(sql, &[name]).await?;
        Ok(found
            .into_iter()
            .flatten()
            .next()
            .map(|name| format!("\"{}\"", name.replace('"', "\"\""))))
    }

    async fn has_column(&self, table: &str, column: &str) -> bool {
        let sql = format!("select {column} from {table} limit 0");
        self.texts(&sql, &[]).await.is_ok()
    }

    /// Runs one `select` whose columns are all texts.
    async fn texts(&self, sql: &str, params: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        match self {
            Self::Postgres(client) => {
                let params: Vec<_> = params
                    .iter()
                    .map(|text| {
                        (
                            text as &(dyn tokio_postgres::types::ToSql + Sync),
                            Type::TEXT,
                        )
                    })
                    .collect();
                let rows = client
                    .query_typed(sql, &params)
                    .await
                    .map_err(|e| postgres(&e))?;
                rows.iter()
                    .map(|row| {
                        (0..row.len())
                            .map(|column| {
                                row.try_get::<_, String>(column).map_err(|e| postgres(&e))
                            })
                            .collect()
                    })
                    .collect()
            }
            Self::Sqlite(connection) => {
                let failed = |e: rusqlite::Error| Error::Unavailable(Box::new(e));
                let mut statement = connection.prepare(sql).map_err(failed)?;
                let columns = statement.column_count();
                statement
                    .query_map(rusqlite::params_from_iter(params), |row| {
                        (0..columns)
                            .map(|column| Ok(lossy(row.get_ref(column)?)))
                            .collect()
                    })
                    .map_err(failed)?
                    .collect::<rusqlite::Result<_>>()
                    .map_err(failed)
            }
        }
    }
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Foreign::Postgres",
            Self::Sqlite(_) => "Foreign::Sqlite",
        })
    }
}

/// SQLite lets a text column hold anything.
fn lossy(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        ValueRef::Integer(int) => int.to_string(),
        ValueRef::Null => String::new(),
        ValueRef::Real(real) => real.to_string(),
    }
}

fn postgres(error: &tokio_postgres::Error) -> Error {
    Error::Unavailable(chain(error).into())
}

/// COMPAT: tokio-postgres 0.7 says "db error" and keeps the reason in the source.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
