//! The `PostgreSQL` engine: one task owns the writing connection and commits in groups; a pool
//! serves reads.
//!
//! * Every statement is sent unnamed and with its types, so that nothing of a session is needed:
//!   `PgBouncer` may hand each transaction to another connection.
//! * A group is one flight: `begin`, all statements, `commit`, without waiting in between.
//! * The server's word decides. Where there is none, the outcome is unknown, and is told as such;
//!   nothing is sent twice.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::change::{Change, Row, Rows, Statement, Value};
use super::{Error, Job, migrate};
use crate::clock::Clock;

/// How many changes share one commit at the most.
const BATCH: usize = 256;
/// Connections that read.
const READERS: usize = 8;
/// How long a connection may take, with everything that it needs.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a read waits for a connection of the pool.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How long a group may take. Beyond that the connection is given up, and with it the knowledge
/// of what became of the group.
const COMMIT: Duration = Duration::from_secs(15);
/// Pause after a connection that failed, and its growth up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Times that a change is tried which another node's change has crossed.
const TRIES: usize = 5;

/// Where the database is and how it is reached.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Address {
    /// `url` is `postgres://USER@HOST/NAME` with the parameters that libpq knows; several hosts are
    /// tried in turn. With TLS the certificate must be good for the host, by the authorities in
    /// `ca_file` or else the system's.
    pub fn new(url: &str, password: Option<&str>, ca_file: Option<&Path>) -> Result<Self, String> {
        let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| chain(&e))?;
        if config.get_hosts().is_empty() {
            return Err("it names no host".into());
        }
        if let Some(password) = password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("invited");
        }
        config.connect_timeout(CONNECT);
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls(ca_file)?),
        })
    }

    /// A connection that can write, and the task that moves its bytes.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| self.named("no answer in time"))?
            .map_err(|e| self.named(&chain(&e)))?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told by its own error.
            let _ = connection.await;
        });
        let shown = tokio::time::timeout(CONNECT, client.query_typed(READ_ONLY, &[]))
            .await
            .map_err(|_| self.named("no answer in time"))?
            .map_err(|e| self.named(&chain(&e)))?;
        if shown
            .first()
            .is_some_and(|row| row.get::<_, &str>(0) == "on")
        {
            return Err(self.named("it is a read-only replica; name the primary"));
        }
        Ok(client)
    }

    fn named(&self, why: &str) -> Error {
        Error::Unavailable(format!("{self}: {why}").into())
    }
}

impl std::fmt::Display for Address {
    /// Without user and password: `the database "invited" on db.example.com`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use tokio_postgres::config::Host;
        let name = self.config.get_dbname().unwrap_or_default();
        write!(f, "the database {name:?} on ")?;
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let Some(path) = ca_file else {
        return Ok(builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?
            .with_no_client_auth());
    };
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| named(&e))? {
        let certificate = certificate.map_err(|e| named(&e))?;
        roots.add(certificate).map_err(|e| named(&e))?;
    }
    if roots.is_empty() {
        return Err(named(&"there is no certificate in it"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Not `pg_is_in_recovery`, which other engines that speak the protocol do not know.
const READ_ONLY: &str = "show transaction_read_only";

/// The connections that read.
#[derive(Clone)]
pub(super) struct Readers(Pool);

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers(…)")
    }
}

/// Connects, brings the tables up to date, starts the writer.
pub(super) async fn open(address: Address, jobs: mpsc::Receiver<Job>) -> Result<Readers, Error> {
    let mut client = address.connect().await?;
    migrate::postgres(&mut client, Clock::System.now().0).await?;
    let manager = Manager::from_config(
        address.config.clone(),
        address.tls.clone(),
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    let pool = Pool::builder(manager)
        .max_size(READERS)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(READ_WAIT))
        .create_timeout(Some(CONNECT))
        .build()
        .map_err(|e| Error::Unavailable(Box::new(e)))?;
    tokio::spawn(write(address, client, jobs));
    Ok(Readers(pool))
}

impl Readers {
    /// Runs one `select`. A connection that turns out to be dead is replaced once: reading twice
    /// does no harm.
    pub(super) async fn run(&self, statement: Statement) -> Result<Rows, Error> {
        for _ in 0..READERS {
            let client = self
                .0
                .get()
                .await
                .map_err(|e| Error::Unavailable(Box::new(e)))?;
            match tokio::time::timeout(READ_WAIT, execute(&client, &statement)).await {
                Ok(Err(error)) if error.is_closed() => {}
                Ok(answer) => return answer.map_err(|error| classify(&error)),
                Err(_) => {
                    // It would answer somebody else with what this one asked for.
                    drop(deadpool_postgres::Object::take(client));
                    return Err(Error::Unavailable(
                        "the database did not answer in time".into(),
                    ));
                }
            }
        }
        Err(Error::Unavailable(
            "the database closes every connection".into(),
        ))
    }
}

/// The writer: takes the first change and everything already queued, and commits them together.
async fn write(address: Address, client: Client, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = Some(client);
    let mut batch = Vec::with_capacity(BATCH);
    let mut pause = FIRST_PAUSE;
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        if connection.as_ref().is_none_or(Client::is_closed) {
            connection = match address.connect().await {
                Ok(client) => {
                    tracing::info!("connected to the database again");
                    pause = FIRST_PAUSE;
                    Some(client)
                }
                Err(error) => {
                    let reason = error.to_string();
                    for job in batch.drain(..) {
                        answer(job, Err(Error::Unavailable(reason.clone().into())));
                    }
                    // A server that is coming back must not be met by every node at once, again and
                    // again; whoever asks meanwhile waits for the pause and the next try, then is told.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    None
                }
            };
        }
        if let Some(client) = &connection
            && commit_batch(client, &mut batch).await.is_break()
        {
            connection = None;
        }
    }
}

/// Breaks if the connection is of no more use.
async fn commit_batch(client: &Client, batch: &mut Vec<Job>) -> std::ops::ControlFlow<()> {
    use std::ops::ControlFlow::{Break, Continue};
    // In one flight nothing can depend on an answer.
    let depends = |change: &Change| change.0.len() > 1 && change.0.iter().any(|s| s.must);
    let (mut alone, together): (Vec<_>, Vec<_>) =
        batch.drain(..).partition(|job| depends(&job.change));
    if !together.is_empty() {
        let changes = together.iter().map(|job| &job.change);
        match commit_together(client, changes).await {
            Ok(results) => {
                for (job, rows) in together.into_iter().zip(results) {
                    answer(job, Ok(rows));
                }
            }
            // One guilty change must not take the others with it: each runs alone.
            Err(Failed::RolledBack(_)) => alone.extend(together),
            Err(Failed::Unknown) => {
                for job in together.into_iter().chain(alone) {
                    answer(job, Err(Error::OutcomeUnknown));
                }
                return Break(());
            }
        }
    }
    let mut waiting = alone.into_iter();
    while let Some(job) = waiting.next() {
        match commit_alone(client, &job.change).await {
            Ok(rows) => answer(job, Ok(rows)),
            Err(Failed::RolledBack(error)) => answer(job, Err(error)),
            Err(Failed::Unknown) => {
                answer(job, Err(Error::OutcomeUnknown));
                for job in waiting {
                    answer(job, Err(Error::Unavailable("the database was lost".into())));
                }
                return Break(());
            }
        }
    }
    Continue(())
}

fn answer(job: Job, result: Result<Vec<Rows>, Error>) {
    // A caller that went away does not need it.
    let _ = job.answer.send(result);
}

/// Why a transaction is not there.
enum Failed {
    /// The server said so.
    RolledBack(Error),
    /// It did not say anything, so the transaction may be there.
    Unknown,
}

/// All changes in one flight.
async fn commit_together(
    client: &Client,
    changes: impl Iterator<Item = &Change>,
) -> Result<Vec<Vec<Rows>>, Failed> {
    let changes: Vec<&Change> = changes.collect();
    let mut sent: Vec<Sent<'_>> = vec![order(client, "begin")];
    for change in &changes {
        sent.extend(change.0.iter().map(|statement| ask(client, statement)));
    }
    sent.push(order(client, "commit"));
    // The commit of a transaction that failed is no error, so the statements decide.
    let answers = finish(tokio::time::timeout(COMMIT, in_one_flight(sent)).await)?;
    let mut answers = answers.into_iter().skip(1);
    Ok(changes
        .iter()
        .map(|change| {
            let mut answers: Vec<_> = answers.by_ref().take(change.0.len()).collect();
            answers.truncate(refused_at(change, &answers).unwrap_or(answers.len()));
            answers
        })
        .collect())
}

/// One change in a transaction of its own, in two flights: a statement of it may undo the rest.
async fn commit_alone(client: &Client, change: &Change) -> Result<Vec<Rows>, Failed> {
    let mut tries = 0;
    loop {
        tries += 1;
        let attempt = async {
            let mut sent: Vec<Sent<'_>> = vec![order(client, "begin")];
            sent.extend(change.0.iter().map(|statement| ask(client, statement)));
            let mut answers = in_one_flight(sent).await?;
            answers.remove(0);
            match refused_at(change, &answers) {
                Some(at) => {
                    answers.truncate(at);
                    client.batch_execute("rollback").await?;
                }
                None => client.batch_execute("commit").await?,
            }
            Ok(answers)
        };
        match finish(tokio::time::timeout(COMMIT, attempt).await) {
            Err(Failed::RolledBack(error)) => {
                order(client, "rollback")
                    .await
                    .map_err(|_| Failed::Unknown)?;
                if !(matches!(error, Error::Crossed) && tries < TRIES) {
                    return Err(Failed::RolledBack(error));
                }
            }
            other => return other,
        }
    }
}

/// The place of the statement that had to answer something and did not.
fn refused_at(change: &Change, answers: &[Rows]) -> Option<usize> {
    let mut answered = change.0.iter().zip(answers);
    answered.position(|(statement, rows)| statement.must && rows.is_empty())
}

/// A question that is sent when it is first polled.
type Sent<'a> = Pin<Box<dyn Future<Output = Result<Rows, tokio_postgres::Error>> + Send + 'a>>;

fn ask<'a>(client: &'a Client, statement: &'a Statement) -> Sent<'a> {
    Box::pin(execute(client, statement))
}

fn order<'a>(client: &'a Client, word: &'static str) -> Sent<'a> {
    Box::pin(async move { client.batch_execute(word).await.map(|()| Rows::new()) })
}

/// Sends everything in order before it waits for the first answer; the first error ends it.
async fn in_one_flight(mut sent: Vec<Sent<'_>>) -> Result<Vec<Rows>, tokio_postgres::Error> {
    let mut answers: Vec<Option<_>> = Vec::with_capacity(sent.len());
    poll_fn(|context| {
        for question in &mut sent {
            answers.push(match question.as_mut().poll(context) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            });
        }
        Poll::Ready(())
    })
    .await;
    let mut rows = Vec::with_capacity(sent.len());
    for (question, answer) in sent.into_iter().zip(answers) {
        rows.push(match answer {
            Some(answer) => answer?,
            None => question.await?,
        });
    }
    Ok(rows)
}

/// What an answer, or its absence, says about the transaction.
fn finish<T>(
    answer: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
) -> Result<T, Failed> {
    match answer {
        Ok(Ok(done)) => Ok(done),
        // While it shuts down, a server may end the session at any point of the flight.
        Ok(Err(error)) if error.as_db_error().is_some() && !is_end(&error) => {
            Err(Failed::RolledBack(classify(&error)))
        }
        Ok(Err(_)) | Err(_) => Err(Failed::Unknown),
    }
}

/// Whether the server ends the session with this error (class 57: operator intervention).
fn is_end(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(
            &SqlState::ADMIN_SHUTDOWN
                | &SqlState::CRASH_SHUTDOWN
                | &SqlState::CANNOT_CONNECT_NOW
                | &SqlState::DATABASE_DROPPED
                | &SqlState::IDLE_SESSION_TIMEOUT
        )
    )
}

fn classify(error: &tokio_postgres::Error) -> Error {
    match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => Error::Conflict,
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            Error::Crossed
        }
        _ => Error::Unavailable(chain(error).into()),
    }
}

async fn execute(client: &Client, statement: &Statement) -> Result<Rows, tokio_postgres::Error> {
    rows(client, statement.sql, &statement.params).await
}

/// Runs one statement.
pub(super) async fn rows(
    client: &Client,
    sql: &str,
    params: &[Value],
) -> Result<Rows, tokio_postgres::Error> {
    let params: Vec<(&(dyn ToSql + Sync), Type)> = params
        .iter()
        .map(|value| (value as &(dyn ToSql + Sync), value.sql_type()))
        .collect();
    let rows = client.query_typed(sql, &params).await?;
    rows.iter().map(row).collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let values = row.columns().iter().enumerate().map(|(at, column)| {
        Ok(match *column.type_() {
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(at)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(at)?.map(i64::from).into(),
            Type::INT8 => row.try_get::<_, Option<i64>>(at)?.into(),
            _ => row.try_get::<_, Option<String>>(at)?.into(),
        })
    });
    values.collect::<Result<_, _>>().map(Row)
}

impl Value {
    fn sql_type(&self) -> Type {
        match self {
            Self::Bytes(_) => Type::BYTEA,
            Self::Int(_) => Type::INT8,
            // The server finds out from where it stands.
            Self::Null => Type::UNKNOWN,
            Self::Text(_) => Type::TEXT,
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bytes(bytes) => bytes.as_slice().to_sql(ty, out),
            Self::Int(int) => int.to_sql(ty, out),
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) => text.as_str().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The error and its causes: tokio-postgres says no more than "db error" by itself. The server's
/// details are left out, since they quote values.
fn chain(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
