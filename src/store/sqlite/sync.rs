//! The threads of the store, and the one that makes the log durable.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::opened::OpenedFiles;
use super::trust::Trust;
use super::wire::classify;
use crate::store::change::{Change, Rows};
use crate::store::{Answer, Error, Job};

/// How long nobody may look whether the files are still there while nothing is written.
const WATCH: Duration = Duration::from_secs(1);
/// What the writer keeps in memory, in KiB.
const WRITER_CACHE: i64 = 1024;

/// From now on `connection` itself makes nothing durable but what the log needs to stay in order, and the
/// writer brings the log into the file.
pub(super) fn make_quick(connection: &Connection) -> Result<(), Error> {
    let settings = || {
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    };
    settings().map_err(classify)
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
///
/// If that fails, or the log is not the one that a restart would find, nobody is answered any more.
pub(super) fn make_durable(
    files: &OpenedFiles,
    trust: &Trust,
    committed: &std::sync::mpsc::Receiver<Committed>,
    syncing: &Syncing,
    writer: &mpsc::WeakSender<Job>,
    durable: &mpsc::UnboundedSender<Committed>,
) {
    loop {
        let batch = match committed.recv_timeout(WATCH) {
            Ok(mut batch) => {
                batch.extend(committed.try_iter().flatten());
                batch
            }
            Err(RecvTimeoutError::Timeout) => Committed::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let is_durable = match batch.len() {
            0 => files.check(),
            _ => files.sync_log().and_then(|()| files.check()),
        };
        if let Err(why) = is_durable {
            trust.lose(why);
        }
        if syncing.end()
            && let Some(writer) = writer.upgrade()
        {
            // A change of nothing wakes it. If there is no room for one, it is awake.
            let (answer, _) = oneshot::channel();
            let change = Change::new();
            let _ = writer.try_send(Job { change, answer });
        }
        if trust.is_lost() {
            return;
        }
        // Without the runtime there is nobody who waits.
        let _ = durable.send(batch);
    }
}
