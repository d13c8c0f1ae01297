//! A connection, and what is prepared on it.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Statement};

/// A connection. Where it leads to one process of the server and no other, statements that run often
/// are prepared on it, so that they are planned once.
pub struct Session {
    pub(in crate::store) client: Client,
    /// `None` behind a pooler, which may hand each transaction to another process: a statement
    /// prepared by one is unknown to the next, or is another one there.
    prepared: Option<Mutex<Vec<Prepared>>>,
}

struct Prepared {
    sql: &'static str,
    types: Vec<Type>,
    statement: Statement,
}

impl Session {
    pub(super) async fn new(client: Client, prepared: bool) -> Result<Self, Error> {
        let ours = prepared && is_one_process(&client).await?;
        Ok(Self {
            client,
            prepared: ours.then(Mutex::default),
        })
    }

    /// `sql`, prepared for parameters of these types; `None` if that must not or cannot be. Running
    /// it as it is then tells why, or does what is wanted.
    pub(super) async fn prepare(
        &self,
        sql: &'static str,
        types: &[Type],
    ) -> Result<Option<Statement>, Error> {
        let Some(prepared) = &self.prepared else {
            return Ok(None);
        };
        let lock = || prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock()
            .iter()
            .find(|known| std::ptr::eq(known.sql, sql) && known.types == types)
            .map(|known| known.statement.clone());
        if known.is_some() {
            return Ok(known);
        }
        let statement = match self.client.prepare_typed(sql, types).await {
            Err(error) if error.as_db_error().is_some() => return Ok(None),
            statement => statement?,
        };
        lock().push(Prepared {
            sql,
            types: types.to_vec(),
            statement: statement.clone(),
        });
        Ok(Some(statement))
    }

    /// Forgets what is prepared, after an error that may come of it.
    pub(super) fn forget(&self) {
        if let Some(prepared) = &self.prepared {
            let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.clear();
        }
    }
}

/// Whether the process that answers is the one that the session began with. A pooler tells its clients
/// numbers of its own, since it cannot know which process they will be at when they want to cancel
/// something.
async fn is_one_process(client: &Client) -> Result<bool, Error> {
    let answering = client.query_typed("select pg_backend_pid()", &[]).await;
    let answering = match answering {
        Ok(rows) => rows.first().and_then(|row| row.try_get::<_, i32>(0).ok()),
        // An engine that has no processes.
        Err(error) if error.as_db_error().is_some() => None,
        Err(error) => return Err(error),
    };
    Ok(answering.is_some() && answering == begun_with(client).await)
}

/// The number of the process that the session began with. tokio-postgres tells it to nobody but the
/// server that is to cancel something, so that is what [`Told`] is.
async fn begun_with(client: &Client) -> Option<i32> {
    let mut told = Vec::new();
    let token = client.cancel_token();
    token.cancel_query_raw(Told(&mut told), AsIs).await.ok()?;
    // Last comes the request: its length, its code, the process, its secret (PostgreSQL, "Message
    // Formats", CancelRequest).
    let request = told.last_chunk::<16>()?;
    let process = request[8..12].try_into().ok()?;
    Some(i32::from_be_bytes(process))
}

/// Keeps what it is told, and agrees to TLS if asked.
struct Told<'a>(&'a mut Vec<u8>);

impl AsyncRead for Told<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Told<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Told<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS that encrypts nothing: what is told never leaves the process.
struct AsIs;

impl<'a> TlsConnect<Told<'a>> for AsIs {
    type Stream = Told<'a>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Told<'a>>>;

    fn connect(self, stream: Told<'a>) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
