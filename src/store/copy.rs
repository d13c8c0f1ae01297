//! Moves everything from one database to another, of either engine: `invited migrate-store`.
//!
//! The source is locked against writers for as long as it takes, the target must be empty and gets
//! everything in one transaction, and before that is committed counts and sums are compared.

use std::path::PathBuf;
use std::pin::pin;

use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::change::{Row, Rows, Value};
use super::postgres::{self, Address};
use super::{Error, Store, sqlite};

/// Rows that are read and written at once.
const PAGE: usize = 5_000;

/// A database to move from or to.
#[derive(Debug, Clone)]
pub enum Place {
    Postgres(Address),
    Sqlite(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(address) => address.fmt(f),
            Self::Sqlite(path) => path.display().fmt(f),
        }
    }
}

/// How far the move is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub table: &'static str,
    pub done: u64,
    pub total: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Bytes,
    Int,
    Text,
}

struct Table {
    name: &'static str,
    /// The first `key` columns are the primary key.
    key: usize,
    columns: &'static [(&'static str, Kind)],
}

/// Every table but those about the database itself; a test compares this list with the migrations.
const TABLES: &[Table] = {
    use Kind::{Bytes, Int, Text};
    &[
        Table {
            name: "api_keys",
            key: 2,
            columns: &[
                ("host", Text),
                ("id", Text),
                ("secret_hash", Bytes),
                ("name", Text),
                ("scopes", Text),
                ("created_at", Int),
                ("expires_at", Int),
                ("max_per_day", Int),
                ("day", Int),
                ("day_count", Int),
                ("last_invite", Bytes),
            ],
        },
        Table {
            name: "invites",
            key: 1,
            columns: &[
                ("id", Bytes),
                ("host", Text),
                ("token_hash", Bytes),
                ("token_sealed", Bytes),
                ("kind", Text),
                ("localpart", Text),
                ("registers", Int),
                ("max_uses", Int),
                ("uses", Int),
                ("last_use", Bytes),
                ("created_at", Int),
                ("expires_at", Int),
                ("revoked_at", Int),
                ("landing_url", Text),
                ("details", Text),
                ("creator", Text),
                ("used_up_at", Int),
                ("request_id", Bytes),
            ],
        },
        Table {
            name: "held_names",
            key: 2,
            columns: &[
                ("host", Text),
                ("localpart", Text),
                ("invite_id", Bytes),
                ("expires_at", Int),
            ],
        },
        Table {
            name: "registrations",
            key: 1,
            columns: &[
                ("id", Bytes),
                ("host", Text),
                ("invite_id", Bytes),
                ("kind", Text),
                ("localpart", Text),
                ("holder", Text),
                ("reserved_at", Int),
                ("confirmed_at", Int),
                ("released_at", Int),
                ("settled_by", Bytes),
                ("source", Text),
                ("creator", Text),
            ],
        },
        Table {
            name: "requests",
            key: 2,
            columns: &[
                ("host", Text),
                ("request_key", Bytes),
                ("id", Bytes),
                ("fingerprint", Bytes),
                ("created_at", Int),
            ],
        },
    ]
};

impl Table {
    fn list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn key(&self) -> String {
        let names: Vec<_> = self.columns[..self.key].iter().map(|(n, _)| *n).collect();
        names.join(", ")
    }

    /// The rows after a key, in its order.
    fn page(&self, first: bool) -> String {
        let after = if first {
            String::new()
        } else {
            let places: Vec<_> = (1..=self.key).map(|at| format!("${at}")).collect();
            format!(" where ({}) > ({})", self.key(), places.join(", "))
        };
        format!(
            "select {} from {}{after} order by {} limit {PAGE}",
            self.list(),
            self.name,
            self.key()
        )
    }

    /// The number of rows, and a sum over every integer and every length.
    fn sums(&self) -> String {
        let sums = self.columns.iter().map(|(name, kind)| match kind {
            Kind::Bytes | Kind::Text => {
                format!("cast(coalesce(sum(length({name})), 0) as bigint)")
            }
            Kind::Int => format!("cast(coalesce(sum({name}), 0) as bigint)"),
        });
        let sums: Vec<_> = sums.collect();
        format!("select count(*), {} from {}", sums.join(", "), self.name)
    }
}

/// An open transaction on either engine.
enum Side {
    Postgres(Client),
    Sqlite(Connection),
}

impl Side {
    async fn open(place: &Place, is_source: bool) -> Result<Self, Error> {
        match place {
            Place::Postgres(address) => {
                let client = address.connect().await?.client;
                client.batch_execute("begin").await.map_err(failed)?;
                if is_source {
                    // Readers go on; writers wait until this is over.
                    let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
                    let lock = format!("lock table {} in exclusive mode", tables.join(", "));
                    client.batch_execute(&lock).await.map_err(failed)?;
                }
                Ok(Self::Postgres(client))
            }
            Place::Sqlite(path) => {
                let connection =
                    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
                        .map_err(|e| Error::Unavailable(format!("{place}: {e}").into()))?;
                connection
                    .busy_timeout(sqlite::BUSY_TIMEOUT)
                    .and_then(|()| connection.execute_batch("begin immediate"))
                    .map_err(|e| Error::Unavailable(format!("{place}: {e}").into()))?;
                Ok(Self::Sqlite(connection))
            }
        }
    }

    async fn rows(&self, sql: &str, params: Vec<Value>) -> Result<Rows, Error> {
        match self {
            Self::Postgres(client) => postgres::rows(client, sql, &params).await.map_err(failed),
            Self::Sqlite(connection) => sqlite::rows(connection, sql, &params).map_err(failed),
        }
    }

    async fn insert(&self, table: &Table, rows: Rows) -> Result<(), Error> {
        match self {
            Self::Postgres(client) => {
                let copy = format!("copy {} ({}) from stdin binary", table.name, table.list());
                let sink = client.copy_in(&copy).await.map_err(failed)?;
                let types: Vec<Type> = table
                    .columns
                    .iter()
                    .map(|(_, kind)| match kind {
                        Kind::Bytes => Type::BYTEA,
                        Kind::Int => Type::INT8,
                        Kind::Text => Type::TEXT,
                    })
                    .collect();
                let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
                for Row(values) in &rows {
                    let values: Vec<&(dyn ToSql + Sync)> =
                        values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
                    writer.as_mut().write(&values).await.map_err(failed)?;
                }
                writer.finish().await.map_err(failed)?;
                Ok(())
            }
            Self::Sqlite(connection) => {
                let places: Vec<_> = (1..=table.columns.len())
                    .map(|at| format!("${at}"))
                    .collect();
                let sql = format!(
                    "insert into {} ({}) values ({})",
                    table.name,
                    table.list(),
                    places.join(", ")
                );
                let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
                for Row(values) in rows {
                    statement
                        .execute(params_from_iter(values))
                        .map_err(failed)?;
                }
                Ok(())
            }
        }
    }

    async fn end(self, word: &str) -> Result<(), Error> {
        match self {
            Self::Postgres(client) => client.batch_execute(word).await.map_err(failed),
            Self::Sqlite(connection) => connection.execute_batch(word).map_err(failed),
        }
    }
}

impl Store {
    /// Copies everything from one place to the other; answers how many rows. The source stays as
    /// it is, and takes no writes meanwhile.
    ///
    /// The target's tables are made if they are not there; rows in them are an error, and so is
    /// any difference in the end. Then the target is left empty.
    pub async fn move_all(
        from: &Place,
        to: &Place,
        mut progress: impl FnMut(Progress),
    ) -> Result<u64, Error> {
        for place in [from, to] {
            // Makes the tables, or brings them up to date, on both sides.
            match place {
                Place::Postgres(address) => drop(Self::open_postgres(address.clone()).await?),
                Place::Sqlite(path) => sqlite::prepare(path)?,
            }
        }
        let source = Side::open(from, true).await?;
        let target = Side::open(to, false).await?;
        for table in TABLES {
            let sums = target.rows(&table.sums(), Vec::new()).await?;
            if sums[0].int(0)? > 0 {
                return Err(Error::Unavailable(
                    format!("{to} is not empty: there are rows in {}", table.name).into(),
                ));
            }
        }
        let mut moved = 0;
        for table in TABLES {
            moved += move_table(table, &source, &target, &mut progress).await?;
        }
        for table in TABLES {
            let there = source.rows(&table.sums(), Vec::new()).await?;
            let here = target.rows(&table.sums(), Vec::new()).await?;
            if there[0].0 != here[0].0 {
                return Err(Error::Unavailable(
                    format!("{} differs after the move; nothing was kept", table.name).into(),
                ));
            }
        }
        target.end("commit").await?;
        source.end("rollback").await?;
        Ok(moved)
    }
}

async fn move_table(
    table: &Table,
    source: &Side,
    target: &Side,
    progress: &mut impl FnMut(Progress),
) -> Result<u64, Error> {
    let sums = source.rows(&table.sums(), Vec::new()).await?;
    let total = u64::try_from(sums[0].int(0)?).unwrap_or(0);
    let mut done = 0;
    let mut after: Option<Vec<Value>> = None;
    loop {
        let sql = table.page(after.is_none());
        let rows = source.rows(&sql, after.take().unwrap_or_default()).await?;
        let count = rows.len();
        after = rows.last().map(|Row(values)| values[..table.key].to_vec());
        target.insert(table, rows).await?;
        done += count as u64;
        progress(Progress {
            table: table.name,
            done,
            total,
        });
        if count < PAGE {
            return Ok(done);
        }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unavailable(Box::new(error))
}

/// Names of all tables with all their columns, for the test that compares them with the
/// migrations.
#[doc(hidden)]
pub fn all_columns() -> impl Iterator<Item = String> {
    TABLES.iter().flat_map(|table| {
        let columns = table.columns.iter();
        columns.map(move |(column, _)| format!("{}.{column}", table.name))
    })
}
