//! `invited serve`: the only place where everything is wired.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use super::{Failure, Outcome, logging, open, read_or_make};
use crate::app::App;
use crate::config::Config;
use crate::http::Front;
use crate::http::bridge::Bridge;
use crate::http::listen::{self, Limits};
use crate::secret::{self, Secret};

/// Connections that XMPP servers may hold at a time; the module itself asks at most 256 things.
const BRIDGE_CONNECTIONS: usize = 1024;

pub(super) fn run(config: Config) -> Outcome {
    logging::start(&config);
    let secret_file = config.bridge.secret_file.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let app = runtime.block_on(open(config))?;
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
    let front = Front::new(&app).map_err(Failure::Usage)?;
    let config = Arc::clone(&app.config);
    let bridge = bind(config.bridge.listen, "bridge.listen", &config).await?;
    let mut public = Vec::new();
    for &address in &config.http.listen {
        match bind(address, "http_ports", &config).await {
            Ok(listener) => public.push(listener),
            // Many machines have no IPv6; the default interfaces name both.
            Err(_)
                if address.ip() == std::net::Ipv6Addr::LOCALHOST
                    && !public.is_empty()
                    && !has_ipv6() =>
            {
                tracing::info!("not listening on {address}: this machine has no IPv6");
            }
            Err(error) => return Err(error),
        }
    }

    let (stop, stopped) = watch::channel(false);
    let limits = Limits {
        head_timeout: config.http.request_timeout,
        places: Arc::new(Semaphore::new(config.http.max_connections)),
    };
    let bridge_limits = Limits {
        head_timeout: config.http.request_timeout,
        places: Arc::new(Semaphore::new(BRIDGE_CONNECTIONS)),
    };
    let mut doors = Vec::new();
    for listener in public {
        tracing::info!("listening on http://{}", listener.local_addr()?);
        doors.push(tokio::spawn(listen::serve(
            listener,
            front.clone(),
            limits.clone(),
            stopped.clone(),
        )));
    }
    tracing::info!("listening for XMPP servers on {}", bridge.local_addr()?);
    let answer = Bridge::new(app.clone(), secret);
    doors.push(tokio::spawn(listen::serve(
        bridge,
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
    wait_for_end().await?;
    tracing::info!("stopping: finishing what has begun");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    sweeper.abort();
    // Receivers are there as long as the doors are.
    let _ = stop.send(true);
    for door in doors {
        let _ = door.await;
    }
    Ok(())
}

async fn bind(address: SocketAddr, key: &str, config: &Config) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        Failure::Usage(format!(
            "{}: {key}: cannot listen on {address}: {e}",
            config.path.display()
        ))
    })
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

async fn wait_for_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
