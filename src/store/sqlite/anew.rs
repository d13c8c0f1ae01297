//! The beginning: everything in the log is brought into the database, and the log begun anew, before
//! anything is answered (`docs/decisions/0020-*`).

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::file::{BUSY_TIMEOUT, named};
use super::holders::holders;
use super::opened::OpenedFiles;
use super::trust::has_log;
use super::wire::classify;
use crate::store::Error;

/// What an opening does about others who use the database.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Patience {
    /// How long it waits for somebody who writes.
    writers: Duration,
    /// How long it waits for somebody who reads, and whether it gives up then.
    readers: Duration,
    alone: bool,
}

impl Patience {
    /// A daemon goes on writing for months, so its log begins anew. Less than systemd waits for a start (90 s).
    pub(in crate::store) const DAEMON: Self = Self {
        writers: Duration::from_secs(60),
        readers: Duration::from_secs(60),
        alone: true,
    };
    /// The readers may be those of a busy daemon, or a backup, and nothing is lost beside them.
    pub(in crate::store) const COMMAND: Self = Self {
        writers: Duration::from_secs(20),
        readers: Duration::from_millis(200),
        alone: false,
    };
}

/// How long one attempt may keep others from writing.
const ATTEMPT: Duration = Duration::from_millis(20);
/// After so long it is said who is waited for.
const SILENCE: Duration = Duration::from_secs(1);

/// Makes durable what is there, in an order that a power cut at any moment does not harm: first the log as it
/// is; then, out of it, the database; then the empty log.
pub(super) fn begin_anew(
    connection: &Connection,
    path: &Path,
    patience: Patience,
) -> Result<OpenedFiles, Error> {
    // Whoever closes the last connection brings the log into the database, whatever the disk said before.
    let close_quietly = |quietly| {
        let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        let set = connection.set_db_config(option, quietly);
        set.map(drop).map_err(|e| named(path, classify(e)))
    };
    close_quietly(true)?;
    connection.busy_timeout(ATTEMPT).map_err(classify)?;
    let files = renew_log(connection, path, patience)?;
    let mut wait = Wait::new(path, patience.readers);
    while !empty_log(connection).map_err(|e| named(path, classify(e)))? {
        if let Err(why) = wait.a_moment() {
            if patience.alone {
                return Err(why);
            }
            break;
        }
    }
    files.sync().map_err(unavailable)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(classify)?;
    close_quietly(false)?;
    Ok(files)
}

/// The log as it is, durable.
fn renew_log(
    connection: &Connection,
    path: &Path,
    patience: Patience,
) -> Result<OpenedFiles, Error> {
    let mut wait = Wait::new(path, patience.writers);
    loop {
        match connection.execute_batch("begin immediate") {
            Ok(()) => break,
            Err(e) if is_busy(&e) => wait.a_moment()?,
            Err(e) => return Err(named(path, classify(e))),
        }
    }
    let files = OpenedFiles::look(path).and_then(|files| {
        files.check_kinship()?;
        files.rewrite_log()?;
        files.distrust_index()?;
        Ok(files)
    });
    // Others may write while the disk works.
    let ended = connection.execute_batch("rollback");
    let files = files.map_err(unavailable)?;
    ended.map_err(|e| named(path, classify(e)))?;
    files.sync().map_err(unavailable)?;
    Ok(files)
}

/// Brings the log into the database, and begins it anew unless somebody reads it.
///
/// `SQLite` syncs the log before it copies, and the database before it empties the log.
fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    // Most of the work, beside those who write.
    checkpoint(connection, "pragma wal_checkpoint(passive)")?;
    let done = checkpoint(connection, "pragma wal_checkpoint(truncate)");
    match done {
        Ok(done) => Ok(!done.busy && done.copied == done.frames),
        Err(e) if is_busy(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What a checkpoint answers.
pub(super) struct Checkpoint {
    /// Somebody kept it from being complete.
    pub(super) busy: bool,
    /// Pages in the log, and how many of them are in the database.
    pub(super) frames: i64,
    pub(super) copied: i64,
}

pub(super) fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<Checkpoint> {
    connection.prepare_cached(pragma)?.query_row([], |row| {
        Ok(Checkpoint {
            busy: row.get(0)?,
            frames: row.get(1)?,
            copied: row.get(2)?,
        })
    })
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn unavailable(why: String) -> Error {
    Error::Unavailable(why.into())
}

/// Waiting for others, and saying for whom.
struct Wait<'a> {
    path: &'a Path,
    since: Instant,
    limit: Duration,
    said: String,
}

impl<'a> Wait<'a> {
    fn new(path: &'a Path, limit: Duration) -> Self {
        let (since, said) = (Instant::now(), String::new());
        Self {
            path,
            since,
            limit,
            said,
        }
    }

    /// An error when it has been long enough.
    fn a_moment(&mut self) -> Result<(), Error> {
        let waited = self.since.elapsed();
        let path = self.path.display();
        if waited >= self.limit {
            let seconds = self.limit.as_secs();
            let who = holders(self.path);
            return Err(unavailable(format!(
                "{path} has been in use for {seconds} s by {who}; end that first"
            )));
        }
        if waited >= SILENCE {
            let who = holders(self.path);
            if who != self.said {
                if has_log() {
                    tracing::warn!("waiting for {who}, which uses {path}");
                } else {
                    eprintln!("invited: waiting for {who}, which uses {path}");
                }
                self.said = who;
            }
        }
        std::thread::sleep(ATTEMPT);
        Ok(())
    }
}
