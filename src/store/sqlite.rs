//! The `SQLite` engine: one thread owns the writing connection and commits in groups; a few
//! connections that cannot write serve reads.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::mpsc;

use super::change::{Change, Row, Rows, Statement, Value};
use super::{Error, Job, migrate};
use crate::clock::Clock;

/// How many changes share one commit at the most.
const BATCH: usize = 256;
/// How long a statement waits for another process's lock, such as a backup's.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: usize = 4;

/// The connections that read.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    file: OpenedFile,
}

/// Which file was opened, to notice when another one stands in its place.
#[derive(Debug, Clone, PartialEq)]
struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Opens the file, brings it up to date, starts the writer.
pub(super) fn open(path: &Path, jobs: mpsc::Receiver<Job>) -> Result<Readers, Error> {
    create_private(path)?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate::sqlite(&mut writer, Clock::System.now().0).map_err(|error| named(path, error))?;
    let file = OpenedFile::look(path)?;
    let connections = (0..READERS)
        .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Mutex::new))
        .collect::<Result<Vec<_>, _>>()?;
    let writers_file = file.clone();
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || write(writer, jobs, &writers_file))
        .map_err(|e| Error::Unavailable(Box::new(e)))?;
    Ok(Readers(Arc::new(Pool {
        connections,
        next: AtomicUsize::new(0),
        file,
    })))
}

impl Readers {
    /// Runs one `select` on the blocking pool.
    pub(super) async fn run(&self, statement: Statement) -> Result<Rows, Error> {
        let pool = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let turn = pool.next.fetch_add(1, Ordering::Relaxed) % pool.connections.len();
            let connection = pool.connections[turn]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            execute(&connection, &statement).map_err(classify)
        })
        .await
        .map_err(|e| Error::Unavailable(Box::new(e)))?
    }

    /// Whether the file that was opened still stands where it did.
    pub(super) fn check_file(&self) -> Result<(), Error> {
        self.0.file.check()
    }
}

impl OpenedFile {
    fn look(path: &Path) -> Result<Self, Error> {
        let meta = std::fs::metadata(path)
            .map_err(|e| Error::Unavailable(format!("{}: {e}", path.display()).into()))?;
        Ok(Self {
            path: path.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
        })
    }

    /// A file that was deleted or replaced would take every write with it, so no write is
    /// accepted any more.
    fn check(&self) -> Result<(), Error> {
        if Self::look(&self.path)? == *self {
            return Ok(());
        }
        Err(Error::Unavailable(
            format!(
                "{} was replaced while it was open; restart invited",
                self.path.display()
            )
            .into(),
        ))
    }
}

/// Makes an empty file that only its owner reads. An existing one is left as it is.
fn create_private(path: &Path) -> Result<(), Error> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| {
            let hint = match e.kind() {
                std::io::ErrorKind::PermissionDenied => "; run this as the user who owns it",
                _ => "",
            };
            Error::Unavailable(format!("{}: {e}{hint}", path.display()).into())
        })
}

/// Makes a file that only its owner reads; an error if there is one already.
pub(super) fn create_new_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// The one place where a connection is opened and set up.
fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let setup = || {
        let connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        // With `normal` an acknowledged commit may vanish at a power cut.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    setup().map_err(|e| named(path, classify(e)))
}

fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Unavailable(cause) => {
            Error::Unavailable(format!("{}: {cause}", path.display()).into())
        }
        other => other,
    }
}

/// The writer: takes the first change and everything already queued, commits them together,
/// answers after the commit. It never waits for more; the commit in progress is the gathering
/// time.
fn write(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, file: &OpenedFile) {
    // If this thread fails, nothing can be stored any more: a supervisor's restart beats a
    // server that cannot write.
    struct EndProcess;
    impl Drop for EndProcess {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::exit(70);
            }
        }
    }
    let _guard = EndProcess;

    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = jobs.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        if let Err(error) = file.check() {
            let reason = error.to_string();
            answer_all(&mut batch, || Error::Unavailable(reason.clone().into()));
            continue;
        }
        commit_batch(&mut connection, &mut batch);
    }
}

/// Brings everything into the one file, for those who copy it by hand when the daemon is gone.
pub(super) fn settle(path: &Path) -> Result<(), Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(classify)
}

fn commit_batch(connection: &mut Connection, batch: &mut Vec<Job>) {
    match commit_together(connection, batch.iter().map(|job| &job.change)) {
        Ok(results) => {
            for (job, rows) in batch.drain(..).zip(results) {
                // A caller that went away does not need the answer.
                let _ = job.answer.send(Ok(rows));
            }
        }
        // One guilty change must not take the others with it: each runs alone.
        Err(error) if is_conflict(&error) => {
            for job in batch.drain(..) {
                let result = commit_together(connection, std::iter::once(&job.change))
                    .map(|mut results| results.pop().unwrap_or_default())
                    .map_err(classify);
                let _ = job.answer.send(result);
            }
        }
        // A full disk or a foreign lock is nobody's guilt, and each try may wait for long.
        Err(error) => {
            let reason = error.to_string();
            answer_all(batch, || Error::Unavailable(reason.clone().into()));
        }
    }
}

/// Runs all changes in one transaction. An error means that it was rolled back.
fn commit_together<'a>(
    connection: &mut Connection,
    changes: impl Iterator<Item = &'a Change>,
) -> rusqlite::Result<Vec<Vec<Rows>>> {
    connection
        .prepare_cached("begin immediate")?
        .raw_execute()?;
    let run = || {
        let results = changes
            .map(|change| apply(connection, change))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        connection.prepare_cached("commit")?.raw_execute()?;
        Ok(results)
    };
    let result = run();
    if result.is_err() && !connection.is_autocommit() {
        // If this fails too, the next `begin` says so.
        let _ = connection.execute_batch("rollback");
    }
    result
}

/// Runs the statements of one change, up to the one that undoes it, if there is one.
fn apply(connection: &Connection, change: &Change) -> rusqlite::Result<Vec<Rows>> {
    let may_be_undone = change.may_be_undone();
    if may_be_undone {
        connection
            .prepare_cached("savepoint change")?
            .raw_execute()?;
    }
    let mut answers = Vec::with_capacity(change.0.len());
    for statement in &change.0 {
        let rows = execute(connection, statement)?;
        if statement.must && rows.is_empty() {
            if may_be_undone {
                connection
                    .prepare_cached("rollback to change")?
                    .raw_execute()?;
            }
            break;
        }
        answers.push(rows);
    }
    if may_be_undone {
        connection.prepare_cached("release change")?.raw_execute()?;
    }
    Ok(answers)
}

fn execute(connection: &Connection, statement: &Statement) -> rusqlite::Result<Rows> {
    rows(connection, statement.sql, &statement.params)
}

/// Runs one statement.
pub(super) fn rows(connection: &Connection, sql: &str, params: &[Value]) -> rusqlite::Result<Rows> {
    let mut prepared = connection.prepare_cached(sql)?;
    for (index, value) in params.iter().enumerate() {
        let index = index + 1;
        prepared.raw_bind_parameter(index, value)?;
    }
    let columns = prepared.column_count();
    let mut answer = prepared.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = answer.next()? {
        let values = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(int) => Value::Int(int),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Real(_) => {
                    return Err(rusqlite::Error::IntegralValueOutOfRange(column, 0));
                }
            })
        });
        rows.push(Row(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(rows)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn answer_all(batch: &mut Vec<Job>, error: impl Fn() -> Error) {
    for job in batch.drain(..) {
        let _ = job.answer.send(Err(error()));
    }
}

fn is_conflict(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn classify(error: rusqlite::Error) -> Error {
    if is_conflict(&error) {
        Error::Conflict
    } else {
        Error::Unavailable(Box::new(error))
    }
}
