//! `invited serve`: the only place where everything is wired.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use super::{Failure, Outcome, logging, open_by, read_or_make};
use crate::app::App;
use crate::config::Config;
use crate::http::Front;
use crate::http::bridge::Bridge;
use crate::http::listen::{self, Limits};
use crate::http::tls::Tls;
use crate::secret::{self, Secret};
use crate::store::Store;

/// Connections that XMPP servers may hold at a time; the module asks at most 256 things for each host.
const BRIDGE_CONNECTIONS: usize = 1024;

/// How long a connection of an XMPP server may wait for its next question at the least: longer than
/// the module's own limit of 1 s, or a question would cross the end of its connection.
const BRIDGE_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(config: Config) -> Outcome {
    logging::start(&config);
    let secret_file = config.bridge.secret_file.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let app = runtime.block_on(open_by(config, Store::open_sqlite_to_serve))?;
    let secret = read_or_make(&secret_file, secret::random_base64url::<32>).map_err(|failure| {
        let Failure::Usage(why) = failure else {
            return failure;
        };
        let file = app.config.path.display();
        Failure::Usage(format!("{file}: bridge.secret_file: {why}"))
    })?;
    runtime.block_on(serve(app, Secret::new(secret)))
}

async fn serve(app: App, secret: Secret) -> Outcome {
    // Before anybody is told that we are ready: a signal that nobody waits for ends the process.
    let signals = Signals::new()?;
    let front = Front::new(&app).map_err(Failure::Usage)?;
    let config = Arc::clone(&app.config);
    let bridge = bind(config.bridge.listen, "bridge.listen", &config)?;
    let tls = tls(&config)?;
    let mut public = Vec::new();
    for (key, addresses) in [
        ("http_ports", &config.http.listen),
        ("https_ports", &config.http.listen_tls),
    ] {
        let mut listening = false;
        for &address in addresses {
            let tls = tls.as_ref().filter(|_| key == "https_ports");
            match bind(address, key, &config) {
                Ok(listener) => {
                    listening = true;
                    public.push((listener, tls.map(|tls| tls.acceptor(address.port()))));
                }
                // Many machines have no IPv6; the default interfaces name both.
                Err(_) if address.is_ipv6() && listening && !has_ipv6() => {
                    tracing::info!("not listening on {address}: this machine has no IPv6");
                }
                Err(error) => return Err(error),
            }
        }
    }

    for doubt in config.doubts() {
        tracing::warn!("{doubt}");
    }
    let (stop, stopped) = watch::channel(false);
    let limits = Limits {
        head_timeout: config.http.request_timeout,
        max_head: config.http.max_buffer_size,
        places: Arc::new(Semaphore::new(config.http.max_connections)),
    };
    let bridge_limits = Limits {
        head_timeout: config.http.request_timeout.max(BRIDGE_PATIENCE),
        max_head: config.http.max_buffer_size,
        places: Arc::new(Semaphore::new(BRIDGE_CONNECTIONS)),
    };
    let mut doors = Vec::new();
    for (listener, tls) in public {
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!("listening on {scheme}://{}", listener.local_addr()?);
        doors.push(tokio::spawn(listen::serve(
            listener,
            tls,
            front.clone(),
            limits.clone(),
            stopped.clone(),
        )));
    }
    tracing::info!("listening for XMPP servers on {}", bridge.local_addr()?);
    let answer = Bridge::new(app.clone(), secret);
    doors.push(tokio::spawn(listen::serve(
        bridge,
        None,
        answer,
        bridge_limits,
        stopped,
    )));
    let sweeper = tokio::spawn({
        let app = app.clone();
        async move { app.keep_swept().await }
    });

    // No supervisor may be there to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        () = wait_for_end(tls, signals) => {}
        () = app.store.lost() => end_at_once(),
    }
    tracing::info!("stopping: finishing what has begun");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    sweeper.abort();
    app.close_questions();
    // Receivers are there as long as the doors are.
    let _ = stop.send(true);
    for door in doors {
        let _ = door.await;
    }
    if let Err(error) = app.store.settle() {
        tracing::warn!("the log beside the database stays: {error}");
        if app.store.check().await.is_err() {
            // Closing would bring it into whatever stands where the database was.
            end_at_once();
        }
    }
    Ok(())
}

/// Without closing or answering anything: a supervisor's restart beats a server that cannot write.
fn end_at_once() -> ! {
    std::process::exit(70)
}

/// The certificates, if HTTPS is on.
fn tls(config: &Arc<Config>) -> Result<Option<Tls>, Failure> {
    if config.http.lacks_certificate {
        tracing::warn!(
            "HTTPS is off: there is no certificate in {}",
            config.http.certificates.folder.display()
        );
    }
    if config.http.listen_tls.is_empty() {
        return Ok(None);
    }
    Tls::load(config).map(Some).map_err(Failure::Usage)
}

fn bind(address: SocketAddr, key: &str, config: &Config) -> Result<TcpListener, Failure> {
    listen::bind(address).map_err(|e| {
        Failure::Usage(format!(
            "{}: {key}: cannot listen on {address}: {e}",
            config.path.display()
        ))
    })
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The signals that we know.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Returns when the daemon is to stop. Until then SIGHUP has the certificates read again, and
/// nothing else: everything that the configuration says takes a restart.
async fn wait_for_end(tls: Option<Tls>, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => {}
        }
        if let Some(tls) = tls.clone() {
            // It logs what goes wrong, and a panic in it leaves the old certificates.
            let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
        } else {
            tracing::info!("SIGHUP has certificates read again, and there are none");
        }
    }
}
