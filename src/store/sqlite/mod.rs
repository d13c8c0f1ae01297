//! The `SQLite` engine: one thread owns the writing connection and commits in groups, another
//! makes them durable and answers; a few connections that cannot write serve reads.

mod file;
mod recent;
mod sync;
mod wire;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use super::change::{Rows, Statement};
use super::{Error, Job, migrate};
use crate::clock::Clock;
use file::{OpenedFile, connect, create_private, named};
use recent::Recent;
use sync::{Syncing, answer_callers, make_durable, open_log, spawn};
use wire::{classify, execute};
use writer::write;

pub(super) use file::{BUSY_TIMEOUT, create_new_private};
pub(super) use wire::rows;

const READERS: usize = 4;

/// The connections that read.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    recent: Arc<Recent>,
    file: OpenedFile,
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
    let recent = Arc::new(Recent::default());
    let writers = (file.clone(), Arc::clone(&syncing), Arc::clone(&recent));
    spawn("store-writer", move || {
        let (file, syncing, recent) = writers;
        write(writer, jobs, &file, &recent, &committed, &syncing);
    })?;
    let (durable, to_answer) = mpsc::unbounded_channel();
    tokio::spawn(answer_callers(to_answer));
    spawn("store-sync", move || {
        make_durable(&log, &to_sync, &syncing, &wake, &durable);
    })?;
    Ok(Readers(Arc::new(Pool {
        connections,
        next: AtomicUsize::new(0),
        recent,
        file,
    })))
}

impl Readers {
    /// Runs one `select` that touches a few rows, on the spot: handing it to another thread costs
    /// more than it takes.
    pub(super) fn look_up(&self, statement: &Statement) -> Result<Rows, Error> {
        self.0.run(statement)
    }

    /// [`Readers::look_up`], or what it gave a moment ago.
    pub(super) fn recall(&self, statement: &Statement) -> Result<Rows, Error> {
        let pool = &self.0;
        pool.recent.or_read(statement, || pool.run(statement))
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

/// Brings everything into the one file, for those who copy it by hand when the daemon is gone.
pub(super) fn settle(path: &Path) -> Result<(), Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .map_err(classify)
}
