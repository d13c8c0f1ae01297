//! The `PostgreSQL` engine: one task owns the writing connection and commits in groups; a pool
//! serves reads.
//!
//! * Every statement is sent unnamed and with its types, so that nothing of a session is needed:
//!   `PgBouncer` may hand each transaction to another connection.
//! * A group is one flight: `begin`, all statements, `commit`, without waiting in between.
//! * The server's word decides. Where there is none, the outcome is unknown, and is told as such;
//!   nothing is sent twice.

use std::collections::HashSet;
use std::future::poll_fn;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType,
};
use futures_util::TryStreamExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::mpsc;
use tokio_postgres::config::Host;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::change::{Change, Column, Many, Row, Rows, Statement, Value};
use super::{Error, Job, migrate};
use crate::clock::Clock;

/// Where PostgreSQL listens if nobody says otherwise.
const USUAL_PORT: u16 = 5432;
/// How many changes share one commit at the most.
const BATCH: usize = 256;
/// Connections that read.
const READERS: usize = 8;
/// How long a connection may take, with everything that it needs, at all hosts together.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a read waits for a connection of the pool.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How long a group may take. Beyond that the connection is given up, and with it the knowledge
/// of what became of the group. With [`CONNECT`], a primary that vanished is left within 15 s.
const COMMIT: Duration = Duration::from_secs(8);
/// Pause after a connection that failed, and its growth up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Times that a change is tried which another node's change has crossed.
const TRIES: usize = 5;

/// Where the database is and how it is reached.
#[derive(Clone)]
pub struct Address {
    /// One for each host, so that one which is silent keeps nobody from the next.
    hosts: Vec<Config>,
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
        Ok(Self {
            hosts: (0..config.get_hosts().len())
                .map(|at| alone(&config, at))
                .collect(),
            tls: MakeRustlsConnect::new(tls(ca_file)?),
        })
    }

    /// A connection that can write, and the task that moves its bytes: of the first host that gives
    /// one.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let mut refusals = Vec::new();
        for config in &self.hosts {
            // Boxed, since the state of a TLS handshake is large.
            let attempt = Box::pin(connect(config, &self.tls));
            let why = match tokio::time::timeout(CONNECT / hosts, attempt).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(why)) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            refusals.push(match hosts {
                1 => why,
                _ => format!("{}: {why}", place(config)),
            });
        }
        Err(self.named(&refusals.join(", ")))
    }

    fn named(&self, why: &str) -> Error {
        Error::Unavailable(format!("{self}: {why}").into())
    }
}

/// The same for one of its hosts only.
fn alone(config: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match &config.get_hosts()[at] {
        Host::Tcp(name) => one.host(name),
        Host::Unix(path) => one.host_path(path),
    };
    if let Some(address) = config.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(at).or(ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    one
}

async fn connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Client, String> {
    let (client, connection) = config.connect(tls.clone()).await.map_err(|e| chain(&e))?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told by its own error.
        let _ = connection.await;
    });
    let shown = client.query_typed(READ_ONLY, &[]).await;
    match shown.map_err(|e| chain(&e))?.first() {
        Some(row) if row.get::<_, &str>(0) == "on" => {
            Err("it is a read-only replica; name the primary".into())
        }
        _ => Ok(client),
    }
}

/// A host, with its port unless that is the usual one.
fn place(config: &Config) -> String {
    let name = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    match config.get_ports().first() {
        Some(port) if *port != USUAL_PORT => format!("{name}:{port}"),
        _ => name,
    }
}

impl std::fmt::Display for Address {
    /// Without user and password: `the database "invited" on db.example.com`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.hosts[0].get_dbname().unwrap_or_default();
        let places: Vec<_> = self.hosts.iter().map(place).collect();
        write!(f, "the database {name:?} on {}", places.join(", "))
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
pub(super) struct Readers(Pool<Address>);

impl Manager for Address {
    type Type = Client;
    type Error = Error;

    async fn create(&self) -> Result<Client, Error> {
        self.connect().await
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<Error> {
        if client.is_closed() {
            return Err(RecycleError::message("it is closed"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers(…)")
    }
}

/// Connects, brings the tables up to date, starts the writer.
pub(super) async fn open(address: Address, jobs: mpsc::Receiver<Job>) -> Result<Readers, Error> {
    let mut client = address.connect().await?;
    migrate::postgres(&mut client, Clock::System.now().0)
        .await
        .map_err(|error| address.named(&error.to_string()))?;
    let pool = Pool::builder(address.clone())
        .max_size(READERS)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(READ_WAIT))
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
            let client = self.connection().await?;
            match tokio::time::timeout(READ_WAIT, execute(&client, &statement)).await {
                Ok(Err(error)) if error.is_closed() => {}
                Ok(answer) => return answer.map_err(|error| classify(&error)),
                Err(_) => {
                    // It would answer somebody else with what this one asked for.
                    self.give_up(&Object::take(client));
                    return Err(self.address().named("no answer in time"));
                }
            }
        }
        Err(self.address().named("it closes every connection"))
    }

    fn address(&self) -> &Address {
        self.0.manager()
    }

    async fn connection(&self) -> Result<Object<Address>, Error> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => self.address().named(&format!(
                "all {READERS} connections that read have been busy for {} s",
                READ_WAIT.as_secs()
            )),
            other => Error::Unavailable(Box::new(other)),
        })
    }

    /// Has the server stop what it may still be at. Otherwise every read that waits for a lock there
    /// would leave a connection behind, until the server has none left for anybody.
    fn give_up(&self, client: &Client) {
        let (token, tls) = (client.cancel_token(), self.address().tls.clone());
        tokio::spawn(async move {
            // A server that does not hear this is not there.
            let _ = tokio::time::timeout(CONNECT, token.cancel_query(tls)).await;
        });
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
        let changes: Vec<_> = together.iter().map(|job| &job.change).collect();
        match commit_together(client, &changes).await {
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

/// All changes in one flight; those that are one statement of the same kind share a single one.
async fn commit_together(client: &Client, changes: &[&Change]) -> Result<Vec<Vec<Rows>>, Failed> {
    let many = changes.iter().find_map(|change| change.one_of_many());
    let many = many.map(|(_, many)| many);
    let shared: Vec<_> = changes
        .iter()
        .filter_map(|change| alike(change, many))
        .collect();

    let mut sent: Vec<Sent<'_>> = vec![order(client, "begin")];
    if let Some(many) = many {
        sent.push(Box::pin(execute_many(client, many, &shared)));
    }
    for change in changes
        .iter()
        .filter(|change| alike(change, many).is_none())
    {
        sent.extend(change.0.iter().map(|statement| ask(client, statement)));
    }
    sent.push(order(client, "commit"));
    // The commit of a transaction that failed is no error, so the statements decide.
    let answers = finish(tokio::time::timeout(COMMIT, in_one_flight(sent)).await)?;

    let mut answers = answers.into_iter().skip(1);
    let done = many.and_then(|_| answers.next()).unwrap_or_default();
    let all = done.len() == shared.len();
    let done: HashSet<_> = if all {
        HashSet::new()
    } else {
        done.iter().filter_map(|row| row.0.first()).collect()
    };
    let answers_of = |change: &&Change| {
        if let Some(params) = alike(change, many) {
            let there = all || params.first().is_some_and(|first| done.contains(first));
            return vec![vec![Row(Vec::new())]; usize::from(there)];
        }
        let mut answers: Vec<_> = answers.by_ref().take(change.0.len()).collect();
        answers.truncate(refused_at(change, &answers).unwrap_or(answers.len()));
        answers
    };
    Ok(changes.iter().map(answers_of).collect())
}

/// The parameters of a change that is one of `many`.
fn alike<'a>(change: &'a Change, many: Option<&Many>) -> Option<&'a Vec<Value>> {
    let (statement, its) = change.one_of_many()?;
    many.is_some_and(|many| std::ptr::eq(its, many))
        .then_some(&statement.params)
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
        Ok(Err(error)) if error.as_db_error().is_some_and(|told| !leaves_open(told)) => {
            Err(Failed::RolledBack(classify(&error)))
        }
        Ok(Err(_)) | Err(_) => Err(Failed::Unknown),
    }
}

/// Whether an error does not say what became of the transaction. While it shuts down, a server may
/// end the session at any point of the flight (class 57), and so may a pooler whose own connection
/// broke (class 08); a distributed engine may lose sight of its own commit (40003).
fn leaves_open(told: &DbError) -> bool {
    let ends_session = told.parsed_severity().map_or_else(
        || matches!(told.severity(), "FATAL" | "PANIC"),
        |severity| matches!(severity, Severity::Fatal | Severity::Panic),
    );
    ends_session
        || told.code().code().starts_with("08")
        || *told.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
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
    let params = params.iter().map(|value| (value, value.sql_type()));
    let mut answer = pin!(client.query_typed_raw(sql, params).await?);
    let mut rows = Vec::new();
    while let Some(answered) = answer.try_next().await? {
        rows.push(row(&answered)?);
    }
    if rows.is_empty() && answer.rows_affected().is_some_and(|changed| changed > 0) {
        rows.push(Row(Vec::new()));
    }
    Ok(rows)
}

/// Runs one statement for all rows of parameters, which become one array for each column.
async fn execute_many(
    client: &Client,
    many: &'static Many,
    rows: &[&Vec<Value>],
) -> Result<Rows, tokio_postgres::Error> {
    let arrays: Vec<(Box<dyn ToSql + Sync + Send + '_>, Type)> = many
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| array(*column, rows.iter().map(move |row| &row[at])))
        .collect();
    let params: Vec<_> = arrays
        .iter()
        .map(|(array, kind)| (&**array as &(dyn ToSql + Sync), kind.clone()))
        .collect();
    let rows = client.query_typed(many.sql, &params).await?;
    rows.iter().map(row).collect()
}

/// Values as one array; what does not belong there is null.
fn array<'a>(
    column: Column,
    values: impl Iterator<Item = &'a Value>,
) -> (Box<dyn ToSql + Sync + Send + 'a>, Type) {
    match column {
        Column::Bytes => {
            let array = values.map(|value| match value {
                Value::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::BYTEA_ARRAY)
        }
        Column::Int => {
            let array = values.map(|value| match value {
                Value::Int(int) => Some(*int),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::INT8_ARRAY)
        }
        Column::Text => {
            let array = values.map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            });
            (Box::new(array.collect::<Vec<_>>()), Type::TEXT_ARRAY)
        }
    }
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

/// The error, its causes and what can be done about it: tokio-postgres says no more than "db error"
/// by itself. The server's details are left out, since they quote values.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let told = match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    match advice(error.code(), &told) {
        Some(advice) => format!("{told}; {advice}"),
        None => told,
    }
}

/// What an operator can do; rustls and tokio-postgres have no codes, only words.
fn advice(code: Option<&SqlState>, told: &str) -> Option<&'static str> {
    match code {
        Some(&SqlState::INVALID_PASSWORD) => return Some("look at INVITED_DATABASE_PASSWORD"),
        Some(&SqlState::INVALID_CATALOG_NAME) => return Some("make it first: createdb"),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Some("the tables must belong to this user, who must be allowed to make them");
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS) => {
            return Some(
                "each node takes up to 9: raise the limit there, or put PgBouncer before it",
            );
        }
        _ => {}
    }
    let by_words = [
        ("password missing", "set INVITED_DATABASE_PASSWORD"),
        (
            "server does not support TLS",
            "switch TLS on there, or write sslmode=prefer in the address",
        ),
        ("certificate expired", "renew it there"),
        ("peer certificate: Expired", "renew it there"),
        ("not valid for name", "connect by a name that is in it"),
        ("database does not allow writes", "name the primary"),
        ("UnknownIssuer", UNKNOWN_AUTHORITY),
        ("BadSignature", UNKNOWN_AUTHORITY),
        ("CaUsedAsEndEntity", UNKNOWN_AUTHORITY),
    ];
    let fitting = by_words.iter().find(|(words, _)| told.contains(words));
    fitting.map(|(_, advice)| *advice)
}

const UNKNOWN_AUTHORITY: &str = "name the authority that signed it in database_ca_file";
