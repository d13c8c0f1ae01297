//! The `SQLite` engine: one thread owns the writing connection and commits in groups, another
//! makes them durable and answers; a few connections that cannot write serve reads.

mod anew;
mod file;
mod holders;
mod opened;
mod recent;
mod sync;
mod trust;
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
use anew::{begin_anew, checkpoint};
use file::{connect, create_private, named};
use opened::OpenedFiles;
use recent::Recent;
use sync::{Syncing, answer_callers, make_durable, make_quick, spawn};
use trust::Trust;
use wire::{classify, execute};
use writer::write;

pub(super) use anew::Patience;
pub(crate) use file::sync_folder_of;
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
    trust: Trust,
    /// After the connections: it is dropped after them.
    files: Arc<OpenedFiles>,
}

/// Opens the file, makes durable what it has, brings it up to date, starts the writer.
pub(super) fn open(
    path: &Path,
    patience: Patience,
    jobs: mpsc::Receiver<Job>,
    wake: mpsc::WeakSender<Job>,
) -> Result<Readers, Error> {
    let (writer, files) = begin(path, patience)?;
    make_quick(&writer).map_err(|e| named(path, e))?;
    let connections = (0..READERS)
        .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map(Mutex::new))
        .collect::<Result<Vec<_>, _>>()?;
    let files = Arc::new(files);
    let trust = Trust::new();
    let (committed, to_sync) = std::sync::mpsc::channel();
    let syncing = Arc::new(Syncing::default());
    let recent = Arc::new(Recent::default());
    let shared = (
        Arc::clone(&files),
        trust.clone(),
        Arc::clone(&syncing),
        Arc::clone(&recent),
    );
    spawn("store-writer", move || {
        let (files, trust, syncing, recent) = shared;
        write(writer, jobs, &files, &trust, &recent, &committed, &syncing);
    })?;
    let (durable, to_answer) = mpsc::unbounded_channel();
    tokio::spawn(answer_callers(to_answer));
    let shared = (Arc::clone(&files), trust.clone());
    spawn("store-sync", move || {
        let (files, trust) = shared;
        make_durable(&files, &trust, &to_sync, &syncing, &wake, &durable);
    })?;
    Ok(Readers(Arc::new(Pool {
        connections,
        next: AtomicUsize::new(0),
        recent,
        trust,
        files,
    })))
}

/// Makes the file if it is not there, and brings it up to date.
pub(super) fn prepare(path: &Path) -> Result<(), Error> {
    let (writer, files) = begin(path, Patience::COMMAND)?;
    drop(writer);
    drop(files);
    Ok(())
}

fn begin(path: &Path, patience: Patience) -> Result<(Connection, OpenedFiles), Error> {
    create_private(path)?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let files = begin_anew(&writer, path, patience)?;
    migrate::sqlite(&mut writer, Clock::System.now().0).map_err(|error| named(path, error))?;
    Ok((writer, files))
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

    /// Whether what is written can be called durable.
    pub(super) fn check_files(&self) -> Result<(), Error> {
        let pool = &self.0;
        pool.trust.check()?;
        let checked = pool.files.check();
        checked.map_err(|why| Error::Unavailable(why.into()))
    }

    /// Returns when nothing can be stored any more; the reason is logged.
    pub(super) async fn lost(&self) {
        self.0.trust.lost().await;
    }

    /// Brings everything into the one file, for those who copy it by hand when the daemon is gone.
    pub(super) fn settle(&self) -> Result<(), Error> {
        self.check_files()?;
        let path = self.0.files.path();
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let done = checkpoint(&connection, "pragma wal_checkpoint(truncate)").map_err(classify)?;
        if done.busy {
            let who = holders::holders(path);
            return Err(Error::Unavailable(format!("{who} uses it").into()));
        }
        let synced = self.0.files.sync();
        synced.map_err(|why| Error::Unavailable(why.into()))
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
