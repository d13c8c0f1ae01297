//! The `SQLite` engine: one thread owns the writing connection and commits in groups, another
//! makes them durable and answers; a few connections that cannot write serve reads.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Row, Rows, Statement, Value};
use super::{Answer, Error, Job, migrate};
use crate::clock::Clock;

/// How many changes share one commit at the most.
const BATCH: usize = 256;
/// Pages of the log after which it is brought into the file: 16 MiB, seldom enough that a page which
/// is written again and again is written once, and soon done.
const LOG_PAGES: u32 = 4_000;
/// What the writer keeps in memory, in KiB.
const WRITER_CACHE: i64 = 4 * 1024;
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
pub(super) fn open(
    path: &Path,
    jobs: mpsc::Receiver<Job>,
    wake: mpsc::WeakSender<Job>,
) -> Result<Readers, Error> {
    create_private(path)?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate::sqlite(&mut writer, Clock::System.now().0).map_err(|error| named(path, error))?;
    let file = OpenedFile::look(path)?;
    let connections = (0..READERS)
        .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Mutex::new))
        .collect::<Result<Vec<_>, _>>()?;
    let log = open_log(&writer, path).map_err(|e| named(path, e))?;
    let (committed, to_sync) = std::sync::mpsc::channel();
    let syncing = Arc::new(Syncing::default());
    let writers_syncing = Arc::clone(&syncing);
    let writers_file = file.clone();
    spawn("store-writer", move || {
        write(writer, jobs, &writers_file, &committed, &writers_syncing);
    })?;
    let (durable, to_answer) = mpsc::unbounded_channel();
    tokio::spawn(answer_callers(to_answer));
    spawn("store-sync", move || {
        make_durable(&log, &to_sync, &syncing, &wake, &durable);
    })?;
    Ok(Readers(Arc::new(Pool {
        connections,
        next: AtomicUsize::new(0),
        file,
    })))
}

impl Readers {
    /// Runs one `select` that touches a few rows, on the spot: handing it to another thread costs
    /// more than it takes.
    pub(super) fn look_up(&self, statement: &Statement) -> Result<Rows, Error> {
        self.0.run(statement)
    }

    /// Runs one `select` that may take long, on the blocking pool.
    pub(super) async fn scan(&self, statement: Statement) -> Result<Rows, Error> {
        let pool = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || pool.run(&statement))
            .await
            .map_err(|e| Error::Unavailable(Box::new(e)))?
    }

    /// Whether the file that was opened still stands where it did.
    pub(super) fn check_file(&self) -> Result<(), Error> {
        self.0.file.check()
    }
}

impl Pool {
    fn run(&self, statement: &Statement) -> Result<Rows, Error> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let idle = (0..self.connections.len()).find_map(|n| self.at(turn + n).try_lock().ok());
        let connection = idle.unwrap_or_else(|| {
            let connection = self.at(turn).lock();
            connection.unwrap_or_else(PoisonError::into_inner)
        });
        execute(&connection, statement).map_err(classify)
    }

    fn at(&self, turn: usize) -> &Mutex<Connection> {
        &self.connections[turn % self.connections.len()]
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

/// The log beside the file, for [`make_durable`]. From now on `connection` itself makes nothing
/// durable but what the log needs to stay in order.
fn open_log(connection: &Connection, path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let unavailable = |e: std::io::Error| Error::Unavailable(Box::new(e));
    let log = File::open(name).map_err(unavailable)?;
    // The log may just have been made, and only its folder knows.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(unavailable)?;
    let settings = || {
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
    };
    settings().map_err(classify)?;
    Ok(log)
}

/// Starts a thread without which nothing can be stored: if it fails, the process ends, since a
/// supervisor's restart beats a server that cannot write.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    struct EndProcess;
    impl Drop for EndProcess {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::exit(70);
            }
        }
    }
    let work = move || {
        let _guard = EndProcess;
        yield_to_requests();
        work();
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|e| Error::Unavailable(Box::new(e)))
}

/// Where processors are short, this thread waits for its turn instead of interrupting one that serves
/// a request whenever it is woken (`SCHED_BATCH`, sched(7)); meanwhile its group grows.
fn yield_to_requests() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    // 47 of 99 is what the crate takes for a niceness of 0.
    let usual = ThreadPriorityValue::try_from(47).map(ThreadPriority::Crossplatform);
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    if let Ok(usual) = usual
        && let Err(error) = set_thread_priority_and_policy(thread_native_id(), usual, batch)
    {
        // It serves all the same.
        tracing::debug!("the scheduler keeps to its usual policy: {error}");
    }
}

/// What is committed and waits to be durable.
type Committed = Vec<(Answer, Vec<Rows>)>;

/// Whether the log is being made durable, as the two threads see it.
#[derive(Debug, Default)]
struct Syncing(AtomicU8);

impl Syncing {
    const IDLE: u8 = 0;
    const BUSY: u8 = 1;
    /// Busy, and the writer wants to know when that ends.
    const AWAITED: u8 = 2;

    fn begin(&self) {
        self.0.store(Self::BUSY, Ordering::Release);
    }

    /// Whether it goes on; then the writer is woken at its end.
    fn awaited(&self) -> bool {
        let now = self.0.compare_exchange(
            Self::BUSY,
            Self::AWAITED,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        now != Err(Self::IDLE)
    }

    /// Whether the writer waits for this.
    fn end(&self) -> bool {
        self.0.swap(Self::IDLE, Ordering::AcqRel) == Self::AWAITED
    }
}

/// Answers what is durable, group by group. A task wakes those who wait more cheaply than a thread
/// that is not the runtime's.
async fn answer_callers(mut durable: mpsc::UnboundedReceiver<Committed>) {
    while let Some(batch) = durable.recv().await {
        for (answer, rows) in batch {
            // A caller that went away does not need the answer.
            let _ = answer.send(Ok(rows));
        }
    }
}

/// Hands on what the log holds for good. Meanwhile the writer gathers the next group; this does
/// what `synchronous = full` would do within the commit.
fn make_durable(
    log: &File,
    committed: &std::sync::mpsc::Receiver<Committed>,
    syncing: &Syncing,
    writer: &mpsc::WeakSender<Job>,
    durable: &mpsc::UnboundedSender<Committed>,
) {
    while let Ok(mut batch) = committed.recv() {
        batch.extend(committed.try_iter().flatten());
        // After a failure nobody knows what is on the disk, not even a second call (fsync(2)).
        log.sync_data()
            .unwrap_or_else(|e| panic!("the database's log could not be made durable: {e}"));
        if syncing.end()
            && let Some(writer) = writer.upgrade()
        {
            // A change of nothing wakes it. If there is no room for one, it is awake.
            let (answer, _) = oneshot::channel();
            let change = Change::new();
            let _ = writer.try_send(Job { change, answer });
        }
        // Without the runtime there is nobody who waits.
        let _ = durable.send(batch);
    }
}

/// The writer: takes the first change and whatever comes while the group before is being made
/// durable, commits them together, passes them on. It waits for nothing else.
fn write(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    file: &OpenedFile,
    committed: &std::sync::mpsc::Sender<Committed>,
    syncing: &Syncing,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = jobs.blocking_recv() {
        if first.change.0.is_empty() {
            continue;
        }
        let mut first = Some(first);
        let next = || match first.take().or_else(|| jobs.try_recv().ok()) {
            None if syncing.awaited() => jobs.blocking_recv(),
            next => next,
        };
        let result = match file.check() {
            Ok(()) => commit_together(&mut connection, next, &mut batch),
            Err(error) => {
                batch.extend(first);
                let reason = error.to_string();
                answer_all(&mut batch, || Error::Unavailable(reason.clone().into()));
                continue;
            }
        };
        let done = settle_batch(&mut connection, &mut batch, result);
        if !done.is_empty() {
            syncing.begin();
            committed
                .send(done)
                .expect("the other thread ends after this one");
        }
    }
}

/// Brings everything into the one file, for those who copy it by hand when the daemon is gone.
pub(super) fn settle(path: &Path) -> Result<(), Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(classify)
}

/// What of a group is committed; the rest of it is answered.
fn settle_batch(
    connection: &mut Connection,
    batch: &mut Vec<Job>,
    result: rusqlite::Result<Vec<Vec<Rows>>>,
) -> Committed {
    match result {
        Ok(results) => {
            let answers = batch.drain(..).map(|job| job.answer);
            answers.zip(results).collect()
        }
        // One guilty change must not take the others with it: each runs alone.
        Err(error) if is_conflict(&error) => {
            let mut done = Vec::new();
            for job in std::mem::take(batch) {
                let mut alone = Some(job);
                match commit_together(connection, || alone.take(), batch) {
                    Ok(results) => {
                        let answers = batch.drain(..).map(|job| job.answer);
                        done.extend(answers.zip(results));
                    }
                    Err(error) => {
                        let error = classify(error);
                        if let Some(job) = batch.pop() {
                            let _ = job.answer.send(Err(error));
                        }
                    }
                }
            }
            done
        }
        // A full disk or a foreign lock is nobody's guilt, and each try may wait for long.
        Err(error) => {
            let reason = error.to_string();
            answer_all(batch, || Error::Unavailable(reason.clone().into()));
            Committed::new()
        }
    }
}

/// Runs all changes that `next` gives, which end up in `batch`, in one transaction. An error means
/// that it was rolled back.
fn commit_together(
    connection: &mut Connection,
    mut next: impl FnMut() -> Option<Job>,
    batch: &mut Vec<Job>,
) -> rusqlite::Result<Vec<Vec<Rows>>> {
    let mut run = || {
        connection
            .prepare_cached("begin immediate")?
            .raw_execute()?;
        let mut results = Vec::with_capacity(BATCH);
        let mut last = None;
        while batch.len() < BATCH
            && let Some(job) = next()
        {
            let change = &job.change;
            let result = apply(connection, change, &mut last);
            batch.push(job);
            results.push(result?);
        }
        drop(last);
        connection.prepare_cached("commit")?.raw_execute()?;
        Ok(results)
    };
    let result = run();
    if result.is_err() && !connection.is_autocommit() {
        // If this fails too, the next `begin` says so.
        let _ = connection.execute_batch("rollback");
    }
    // What `begin` kept from running shares its error.
    if result.is_err() && batch.is_empty() {
        batch.extend(next());
    }
    result
}

/// The statement that ran last: in a group of like changes it is looked up once.
type Last<'c> = Option<(&'static str, CachedStatement<'c>)>;

/// Runs the statements of one change, up to the one that undoes it, if there is one.
fn apply<'c>(
    connection: &'c Connection,
    change: &Change,
    last: &mut Last<'c>,
) -> rusqlite::Result<Vec<Rows>> {
    let may_be_undone = change.may_be_undone();
    if may_be_undone {
        connection
            .prepare_cached("savepoint change")?
            .raw_execute()?;
    }
    let mut answers = Vec::with_capacity(change.0.len());
    for statement in &change.0 {
        let sql = statement.many.map_or(statement.sql, |many| many.sqlite);
        let prepared = match last.take() {
            Some((before, prepared)) if std::ptr::eq(before, sql) => prepared,
            _ => connection.prepare_cached(sql)?,
        };
        let (_, prepared) = last.insert((sql, prepared));
        let rows = answers_of(prepared, &statement.params)?;
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
    answers_of(&mut *connection.prepare_cached(sql)?, params)
}

fn answers_of(prepared: &mut rusqlite::Statement<'_>, params: &[Value]) -> rusqlite::Result<Rows> {
    for (index, value) in params.iter().enumerate() {
        let index = index + 1;
        prepared.raw_bind_parameter(index, value)?;
    }
    let columns = prepared.column_count();
    if columns == 0 {
        let changed = prepared.raw_execute()?;
        return Ok(vec![Row(Vec::new()); usize::from(changed > 0)]);
    }
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
