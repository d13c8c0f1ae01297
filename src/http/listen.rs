//! Listeners: accepts connections, keeps slow and greedy ones within bounds, drains on shutdown.
//!
//! Our own loop, since `axum::serve` sets no timer and so has no limit for the head of a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::Peer;

/// How long running requests may take after shutdown has begun; a registration takes 40 s at most.
const DRAIN: Duration = Duration::from_secs(45);
/// How long to wait after `accept` failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection is held to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the TLS handshake, for the head of a request, and for a connection that waits for the
    /// next one.
    pub head_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub max_head: usize,
    /// Places for connections, shared by all public listeners.
    pub places: Arc<Semaphore>,
}

/// What answers requests.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request; `peer` is the other end of the connection.
    fn answer(
        &self,
        request: hyper::Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response> + Send;
}

/// Connections that wait for `accept`.
const BACKLOG: i32 = 1024;

/// Listens. An IPv6 address takes IPv6 only, so that `*` and `::` can stand side by side.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `listener`, over TLS if there is an acceptor, until `stop` turns true, then lets running
/// requests finish.
pub async fn serve<A: Answer>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: A,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let mut timer = pin!(keep_a_timer(limits.head_timeout));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &limits.places) => accepted,
            never = &mut timer => match never {},
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address, place) = accepted;
        let peer = Peer {
            ip: address.ip().to_canonical(),
            https: tls.is_some(),
        };
        let (answer, limits, tls) = (answer.clone(), limits.clone(), tls.clone());
        let (watcher, mut stop) = (graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => talk(stream, peer, answer, &limits, watcher).await,
                Some(tls) => {
                    let handshake = tokio::time::timeout(limits.head_timeout, tls.accept(stream));
                    let stream = tokio::select! {
                        done = handshake => done,
                        _ = stop.wait_for(|stop| *stop) => return,
                    };
                    if let Ok(Ok(stream)) = stream {
                        talk(stream, peer, answer, &limits, watcher).await;
                    }
                }
            }
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

async fn talk<A: Answer, S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    peer: Peer,
    answer: A,
    limits: &Limits,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(answer.answer(request, peer).await) }
    });
    // hyper's own limit sleeps while an answer is on its way: a client that asks and never reads
    // would keep its place for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.head_timeout));
    let stream = Box::pin(stream);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.max_head)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    // What a client does wrong is no event of ours; the text could hold its request.
    let _ = watcher.watch(connection).await;
}

/// COMPAT: tokio interrupts its driver, by a system call, for each timer that is due before all others.
/// Connections start one with each request, which would often be the only one. This one is always
/// there and due no later.
async fn keep_a_timer(head_timeout: Duration) -> Infallible {
    let mut timer = tokio::time::interval(head_timeout);
    loop {
        timer.tick().await;
    }
}

/// A connection that has a place. It is accepted first: a listener that nobody asks must not hold
/// a place that another one needs.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and complete; waiting to fill packets only delays them.
                let _ = stream.set_nodelay(true);
                let place = Arc::clone(places)
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!("could not accept a connection: {error}");
                // The error is there again at once until somebody frees a file descriptor.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Answers when it is told to.
    #[derive(Clone)]
    struct Slow(Arc<Semaphore>);

    impl Answer for Slow {
        async fn answer(&self, _: hyper::Request<Incoming>, _: Peer) -> Response {
            self.0.acquire().await.expect("it stays open").forget();
            Response::new(Body::from("done"))
        }
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        stream
    }

    async fn answer_to(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn who_waits_for_a_place_gets_it_however_long_that_takes() {
        let listener = bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let head_timeout = Duration::from_millis(20);
        let limits = Limits {
            max_head: 16 * 1024,
            head_timeout,
            places: Arc::new(Semaphore::new(1)),
        };
        let answers = Arc::new(Semaphore::new(0));
        let (stop, stopped) = watch::channel(false);
        let slow = Slow(Arc::clone(&answers));
        let serving = tokio::spawn(serve(listener, None, slow, limits, stopped));

        let (first, second) = (ask(address).await, ask(address).await);
        // It is time itself that must do no harm.
        tokio::time::sleep(head_timeout * 5).await;
        answers.add_permits(2);
        for stream in [first, second] {
            let answer = answer_to(stream).await;
            assert!(answer.ends_with("done"), "{answer:?}");
        }
        stop.send(true).expect("it is served");
        serving.await.expect("it ends");
    }
}
