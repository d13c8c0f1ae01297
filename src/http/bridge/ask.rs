//! Asks a running daemon how it is, for `invited doctor`.

use std::net::SocketAddr;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::Cause;

/// Status and body of `GET path` on the bridge listener.
pub async fn ask(listen: SocketAddr, path: &str) -> Result<(u16, String), Cause> {
    let stream = TokioIo::new(TcpStream::connect(reachable(listen)).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, listen.to_string())
        .body(Empty::<Bytes>::new())?;
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

/// When the module of `host` asked last, in Unix seconds, out of the text of `/metrics`.
pub fn last_question(metrics: &str, host: &str) -> Option<i64> {
    let name = format!("invited_bridge_last_question_timestamp_seconds{{host=\"{host}\"}} ");
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .and_then(|value| value.parse().ok())
}
