//! The threads of the store, and the one that makes the log durable.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::wire::classify;
use crate::store::change::{Change, Rows};
use crate::store::{Answer, Error, Job};

/// Pages of the log after which it is brought into the file: 16 MiB, seldom enough that a page which
/// is written again and again is written once, and soon done.
const LOG_PAGES: u32 = 4_000;
/// What the writer keeps in memory, in KiB.
const WRITER_CACHE: i64 = 1024;

/// The log beside the file, for [`make_durable`]. From now on `connection` itself makes nothing
/// durable but what the log needs to stay in order.
pub(super) fn open_log(connection: &Connection, path: &Path) -> Result<File, Error> {
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
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
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
pub(super) type Committed = Vec<(Answer, Vec<Rows>)>;

/// Whether the log is being made durable, as the two threads see it.
#[derive(Debug, Default)]
pub(super) struct Syncing(AtomicU8);

impl Syncing {
    const IDLE: u8 = 0;
    const BUSY: u8 = 1;
    /// Busy, and the writer wants to know when that ends.
    const AWAITED: u8 = 2;

    pub(super) fn begin(&self) {
        self.0.store(Self::BUSY, Ordering::Release);
    }

    /// Whether it goes on; then the writer is woken at its end.
    pub(super) fn awaited(&self) -> bool {
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
pub(super) async fn answer_callers(mut durable: mpsc::UnboundedReceiver<Committed>) {
    while let Some(batch) = durable.recv().await {
        for (answer, rows) in batch {
            // A caller that went away does not need the answer.
            let _ = answer.send(Ok(rows));
        }
    }
}

/// Hands on what the log holds for good. Meanwhile the writer gathers the next group; this does
/// what `synchronous = full` would do within the commit.
pub(super) fn make_durable(
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
