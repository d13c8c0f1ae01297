//! Asks Prosody whether one of its own tokens is good. Its module `mod_invited_tokens`
//! answers on Prosody's HTTP port to whoever has the bridge secret.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::config::{Config, Host};
use crate::error::{Cause, Error};
use crate::jid::Localpart;

/// For the whole question; Prosody looks into its store only.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest token that Prosody is asked about, in bytes.
const MAX_TOKEN: usize = 4096;
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// The owner of a good token.
pub(super) struct Bearer {
    pub(super) username: Localpart,
    /// Whether the owner, with this token, may administer the host.
    pub(super) admin: bool,
}

/// What Prosody's module says; nothing of a token that is not good.
#[derive(Deserialize)]
struct Answer {
    username: Option<String>,
    #[serde(default)]
    admin: bool,
}

/// The owner of a token; `None` if it is not good at this host, or if Prosody is not to be asked.
pub(super) async fn bearer(
    config: &Config,
    host: &Host,
    token: &str,
) -> Result<Option<Bearer>, Error> {
    let Some(url) = host
        .prosody_url
        .as_ref()
        .filter(|_| token.len() <= MAX_TOKEN)
    else {
        return Ok(None);
    };
    let answer = async {
        let secret = tokio::fs::read_to_string(&config.bridge.secret_file).await?;
        let question = json!({"host": host.domain.to_string(), "token": token});
        let answer = ask(&url.parse()?, secret.trim(), question.to_string()).await?;
        let answer: Answer = serde_json::from_slice(&answer)?;
        let username = answer.username.map(|name| name.parse()).transpose()?;
        Ok::<_, Cause>(username.map(|username| Bearer {
            username,
            admin: answer.admin,
        }))
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(bearer)) => Ok(bearer),
        Ok(Err(why)) => Err(Error::XmppUnavailable(
            format!("prosody_url: {url}: {why}").into(),
        )),
        Err(_) => Err(Error::XmppUnavailable(
            format!("prosody_url: {url}: no answer within {PATIENCE:?}").into(),
        )),
    }
}

async fn ask(url: &Uri, secret: &str, question: String) -> Result<Bytes, Cause> {
    let authority = url.authority().ok_or("it names no server")?;
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect(format!("{}:{port}", authority.host())).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this set, also if we lose patience.
    let mut background = JoinSet::new();
    background.spawn(connection);
    let request = hyper::Request::post(url.path())
        .header(header::HOST, authority.as_str())
        .header(header::AUTHORIZATION, format!("Bearer {secret}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(question)))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    match status {
        StatusCode::OK => Ok(body?.to_bytes()),
        StatusCode::UNAUTHORIZED => Err("Prosody was given another secret".into()),
        StatusCode::NOT_FOUND => Err("there is nothing; is mod_invited_tokens loaded?".into()),
        other => Err(format!("Prosody answered {other}").into()),
    }
}
