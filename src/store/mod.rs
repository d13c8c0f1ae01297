//! The only room that knows SQL. One concrete [`Store`]; each change is a short list of guarded
//! statements; an engine knows only how to run such lists.
//!
//! * Nothing is answered before it is durable: [`Store::commit`] returns after the commit.
//! * "May this be used?" is answered inside the statement that uses it, never by an earlier read.
//! * Every statement names the host.
//! * To add a table: a migration for each engine, a file here with its statements beside the
//!   functions that use them, and the statements in that file's `SQL` list, so that the test
//!   which prepares every statement sees them.

mod api_keys;
mod backup;
mod change;
mod copy;
pub mod foreign;
mod history;
mod invite_changes;
mod invites;
mod leases;
mod migrate;
mod moving_in;
mod postgres;
mod registrations;
mod requests;
mod sqlite;

use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Cause, Error as CrateError};
use change::{Change, Rows, Statement};

pub use api_keys::NewKey;
pub use copy::{Place, Progress, all_columns};
pub use history::Sweep;
pub use invite_changes::AlteredInvite;
pub use invites::{CreatedBy, Creation, InvitePage, ListInvites};
pub use moving_in::KnownRegistration;
pub use postgres::Address as PostgresAddress;
pub use registrations::Attempt;
pub use requests::Request;
pub(crate) use sqlite::sync_folder_of;

/// What a caller of the store can tell apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue of changes stayed full.
    #[error("the queue of changes is full")]
    Busy,
    /// A unique constraint had the last word.
    #[error("the change contradicts what is stored")]
    Conflict,
    /// Changes of other nodes crossed this one, again and again; nothing was changed.
    #[error("the change was crossed by others")]
    Crossed,
    /// The database was lost between asking and answering; the change may or may not be there.
    #[error("the database was lost while committing")]
    OutcomeUnknown,
    /// The database could not be opened, read or written; nothing was changed.
    #[error("{0}")]
    Unavailable(#[source] Cause),
}

impl From<Error> for CrateError {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy | Error::Crossed => Self::StoreBusy,
            Error::Conflict => Self::Internal(Box::new(Error::Conflict)),
            Error::OutcomeUnknown => Self::OutcomeUnknown,
            Error::Unavailable(cause) => Self::StoreUnavailable(cause),
        }
    }
}

/// How many changes may wait; beyond that the answer is "busy".
const QUEUE: usize = 4096;
/// How long a change waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(2);

/// Where the answer to a change goes.
type Answer = oneshot::Sender<Result<Vec<Rows>, Error>>;

/// A change on its way to the writer.
struct Job {
    change: Change,
    answer: Answer,
}

/// The database. Cheap to clone; when the last clone is dropped the writer finishes its queue.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<Job>,
    reads: Readers,
}

/// What reads, by engine.
#[derive(Debug, Clone)]
enum Readers {
    Postgres(postgres::Readers),
    Sqlite(sqlite::Readers),
}

impl Store {
    /// Opens the `SQLite` file at `path` for a command, makes it if it is not there, makes durable what is in it,
    /// and brings its tables up to date. A file from a newer version is refused. Must be called where a
    /// Tokio runtime is.
    pub fn open_sqlite(path: &Path) -> Result<Self, Error> {
        Self::open_sqlite_with(path, sqlite::Patience::COMMAND)
    }

    /// [`Store::open_sqlite`] for a daemon: waits until nobody reads the file, so that the log begins anew.
    pub fn open_sqlite_to_serve(path: &Path) -> Result<Self, Error> {
        Self::open_sqlite_with(path, sqlite::Patience::DAEMON)
    }

    fn open_sqlite_with(path: &Path, patience: sqlite::Patience) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let reads = sqlite::open(path, patience, receiver, sender.downgrade())?;
        Ok(Self {
            writes: sender,
            reads: Readers::Sqlite(reads),
        })
    }

    /// Brings everything into the `SQLite` file itself, out of the log beside it.
    pub fn settle(&self) -> Result<(), Error> {
        match &self.reads {
            Readers::Postgres(_) => Ok(()),
            Readers::Sqlite(readers) => readers.settle(),
        }
    }

    /// Returns when nothing that this process writes can be called durable any more, which only a new
    /// process can mend. The reason is logged.
    pub async fn lost(&self) {
        match &self.reads {
            Readers::Postgres(_) => std::future::pending().await,
            Readers::Sqlite(readers) => readers.lost().await,
        }
    }

    /// Connects to the `PostgreSQL` database at `address` and brings its tables up to date. Any
    /// number of nodes may do that; a database of a newer version is refused.
    pub async fn open_postgres(address: PostgresAddress) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let reads = Readers::Postgres(postgres::open(address, receiver).await?);
        Ok(Self {
            writes: sender,
            reads,
        })
    }

    /// Runs `change` whole or not at all; returns when it is durable. A caller that goes away
    /// meanwhile does not cancel it.
    async fn commit(&self, change: Change) -> Result<Vec<Rows>, Error> {
        let (answer, receiver) = oneshot::channel();
        let sent = match self.writes.try_send(Job { change, answer }) {
            Err(mpsc::error::TrySendError::Full(job)) => {
                Box::pin(self.writes.send_timeout(job, QUEUE_WAIT)).await
            }
            Err(mpsc::error::TrySendError::Closed(job)) => {
                Err(mpsc::error::SendTimeoutError::Closed(job))
            }
            Ok(()) => Ok(()),
        };
        match sent {
            Ok(()) => receiver.await.map_err(|_| Error::OutcomeUnknown)?,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Error::Busy),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => {
                Err(Error::Unavailable("the writer has stopped".into()))
            }
        }
    }

    /// Runs one `select` that touches a few rows.
    async fn read(&self, sql: &'static str, params: Vec<change::Value>) -> Result<Rows, Error> {
        let statement = Statement::new(sql, params);
        match &self.reads {
            // Boxed, since every handler's future would have room for it, and be moved with it.
            Readers::Postgres(readers) => Box::pin(readers.look_up(&statement)).await,
            Readers::Sqlite(readers) => readers.look_up(&statement),
        }
    }

    /// [`Store::read`], where what another process has changed may show 10 ms late; what this one has
    /// changed shows at once.
    async fn recall(&self, sql: &'static str, params: Vec<change::Value>) -> Result<Rows, Error> {
        match &self.reads {
            Readers::Postgres(_) => self.read(sql, params).await,
            Readers::Sqlite(readers) => readers.recall(&Statement::new(sql, params)),
        }
    }

    /// Runs one `select` that may touch many rows.
    async fn scan(&self, sql: &'static str, params: Vec<change::Value>) -> Result<Rows, Error> {
        let statement = Statement::new(sql, params);
        match &self.reads {
            Readers::Postgres(readers) => Box::pin(readers.scan(&statement)).await,
            Readers::Sqlite(readers) => readers.scan(statement).await,
        }
    }

    /// Whether the database can be read now, and what is written found again.
    pub async fn check(&self) -> Result<(), Error> {
        if let Readers::Sqlite(readers) = &self.reads {
            readers.check_files()?;
        }
        let read = self.read("select count(*) from schema_migrations", Vec::new());
        read.await.map(drop)
    }

    /// Every statement that the store can run, for the test that prepares them all.
    #[doc(hidden)]
    pub fn all_sql() -> impl Iterator<Item = &'static str> {
        [
            api_keys::SQL,
            history::SQL,
            invite_changes::SQL,
            invites::SQL,
            leases::SQL,
            moving_in::SQL,
            registrations::SQL,
            requests::SQL,
        ]
        .concat()
        .into_iter()
    }
}
