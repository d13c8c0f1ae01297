//! Asks a running daemon, for the command line: how it is, and what the XMPP server knows.

use std::net::SocketAddr;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::app::{Known, Wanted};
use crate::config::Host;
use crate::error::Cause;
use crate::secret::Secret;

/// Status and body of `GET path` on the bridge listener.
pub async fn ask(listen: SocketAddr, path: &str) -> Result<(u16, String), Cause> {
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, listen.to_string())
        .body(Full::default())?;
    send(listen, request).await
}

/// What the XMPP server says by its module, which is connected to the daemon.
pub async fn ask_server(
    listen: SocketAddr,
    secret: &Secret,
    host: &Host,
    wanted: &Wanted,
) -> Result<Known, Cause> {
    let mut question = serde_json::to_value(wanted)?;
    question["host"] = host.domain.as_str().into();
    let request = hyper::Request::post("/bridge/v1/ask")
        .header(hyper::header::HOST, listen.to_string())
        .header(
            hyper::header::AUTHORIZATION,
            format!("Bearer {}", secret.expose()),
        )
        .body(Full::from(question.to_string()))?;
    match send(listen, request).await? {
        (200, body) => Ok(serde_json::from_str(&body)?),
        (status, _) => Err(format!("it answers with status {status}").into()),
    }
}

async fn send(
    listen: SocketAddr,
    request: hyper::Request<Full<Bytes>>,
) -> Result<(u16, String), Cause> {
    let stream = TokioIo::new(TcpStream::connect(reachable(listen)).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A listener on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, listen.port())
}

/// How many addresses speak for others without being trusted proxies, out of the text of `/metrics`.
pub fn untrusted_proxies(metrics: &str) -> u64 {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix("invited_untrusted_proxies_total "))
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// When the module of `host` asked last, in Unix seconds, out of the text of `/metrics`.
pub fn last_question(metrics: &str, host: &str) -> Option<i64> {
    let name = format!("invited_bridge_last_question_timestamp_seconds{{host=\"{host}\"}} ");
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .and_then(|value| value.parse().ok())
}
