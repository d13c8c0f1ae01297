//! Listeners: accepts connections, keeps slow and greedy ones within bounds, drains on shutdown.
//!
//! Our own loop, since `axum::serve` sets no timer and so has no limit for the head of a request.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Largest head of a request, in bytes; Prosody's limit is 10 KiB.
const MAX_HEAD: usize = 16 * 1024;
/// How long running requests may take after shutdown has begun; a registration takes 40 s at most.
const DRAIN: Duration = Duration::from_secs(45);
/// How long to wait after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection is held to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the head of a request, and for a connection that waits for the next one.
    pub head_timeout: Duration,
    /// Places for connections, shared by all public listeners.
    pub places: Arc<Semaphore>,
}

/// What answers requests.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request; `peer` is the other end of the connection.
    fn answer(
        &self,
        request: hyper::Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Response> + Send;
}

/// Serves `listener` until `stop` turns true, then lets running requests finish.
pub async fn serve<A: Answer>(
    listener: TcpListener,
    answer: A,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &limits.places) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer, place) = accepted;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer.clone();
            async move { Ok::<_, Infallible>(answer.answer(request, peer.ip().to_canonical()).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(MAX_HEAD)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What a client does wrong is no event of ours; the text could hold its request.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let place = Arc::clone(places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and complete; waiting to fill packets only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!("could not accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
