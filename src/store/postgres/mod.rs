//! The `PostgreSQL` engine: one task owns the writing connection and commits in groups; a pool
//! serves reads.
//!
//! * Every statement is sent unnamed and with its types, so that nothing of a session is needed:
//!   `PgBouncer` may hand each transaction to another connection. Only where a session is one
//!   process of the server, as far as that can be told, what runs often is prepared there.
//! * A group is one flight: `begin`, all statements, `commit`, without waiting in between.
//! * The server's word decides. Where there is none, the outcome is unknown, and is told as such;
//!   nothing is sent twice.

mod address;
mod errors;
mod session;
mod url;
mod verify_ca;
mod wire;
mod writer;

use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType,
};
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::change::{Rows, Statement};
use super::{Error, Job, migrate};
use crate::clock::Clock;
use address::CONNECT;
use errors::classify;
use session::Session;
use wire::{execute, look_up};

pub use address::Address;
pub(super) use errors::chain;
pub(super) use wire::rows;

/// Connections that read.
const READERS: usize = 8;
/// How long a read waits for a connection of the pool.
const READ_WAIT: Duration = Duration::from_secs(5);

/// The connections that read.
#[derive(Clone)]
pub(super) struct Readers(Pool<Address>);

impl Manager for Address {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session, Error> {
        self.connect().await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() {
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
    let mut session = address.connect().await?;
    migrate::postgres(&mut session.client, Clock::System.now().0)
        .await
        .map_err(|error| address.named(&error.to_string()))?;
    let pool = Pool::builder(address.clone())
        .max_size(READERS)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(READ_WAIT))
        .build()
        .map_err(|e| Error::Unavailable(Box::new(e)))?;
    tokio::spawn(writer::write(pool.clone(), session, jobs));
    Ok(Readers(pool))
}

impl Readers {
    /// Runs one `select` that touches a few rows: planning it anew would cost more than it does.
    pub(super) async fn look_up(&self, statement: &Statement) -> Result<Rows, Error> {
        self.run(statement, true).await
    }

    /// Runs one `select` that may touch many, and whose best plan depends on its parameters.
    pub(super) async fn scan(&self, statement: &Statement) -> Result<Rows, Error> {
        self.run(statement, false).await
    }

    /// A connection that turns out to be dead is replaced once: reading twice does no harm.
    async fn run(&self, statement: &Statement, prepared: bool) -> Result<Rows, Error> {
        for _ in 0..READERS {
            let session = self.connection().await?;
            let answer = async {
                if prepared {
                    look_up(&session, statement).await
                } else {
                    execute(&session.client, statement).await
                }
            };
            match tokio::time::timeout(READ_WAIT, answer).await {
                Ok(Err(error)) if error.is_closed() => {}
                Ok(answer) => return answer.map_err(|error| classify(&error)),
                Err(_) => {
                    // It would answer somebody else with what this one asked for.
                    self.give_up(&Object::take(session).client);
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
