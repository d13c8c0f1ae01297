//! The listener for XMPP servers: `docs/bridge.md` is its contract. Health and metrics are here
//! too, since nothing on this listener is public.
//!
//! To add an operation: a line in [`Bridge::answer_question`], a function in `operations.rs`, a
//! row in `docs/bridge.md`.

mod ask;
mod health;
mod operations;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::error::{log, problem, problem_json, respond};
use super::{Peer, listen, request_body};
use crate::app::App;
use crate::error::Error;
use crate::secret::Secret;
use operations::Question;

pub use ask::{ask, ask_server, last_question, untrusted_proxies};

/// Largest question, in bytes.
const MAX_BODY: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers XMPP servers and whoever watches over the daemon.
#[derive(Debug, Clone)]
pub struct Bridge(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    app: App,
    secret: Secret,
}

impl Bridge {
    /// `secret` is what servers must show.
    pub fn new(app: App, secret: Secret) -> Self {
        Self(Arc::new(Parts { app, secret }))
    }

    /// Answers a request whose body is complete.
    pub async fn dispatch(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET | &Method::HEAD, "/healthz") => "ok\n".into_response(),
            (&Method::GET | &Method::HEAD, "/readyz") => health::ready(&self.0.app).await,
            (&Method::GET | &Method::HEAD, "/metrics") => health::metrics(&self.0.app),
            (&Method::POST, path) => match path.strip_prefix("/bridge/v1/") {
                Some(operation) => self.question(operation, request).await,
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    async fn question(&self, operation: &str, request: Request) -> Response {
        let (head, body) = request.into_parts();
        match self.answer_question(operation, &head.headers, body).await {
            Ok(answer) => {
                let mut response = Response::new(Body::from(answer.to_string()));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                response
            }
            Err(error) => {
                log(&error);
                let (kind, condition) = stanza_error(&error, operation);
                let mut problem = problem_json(&error);
                problem["xmpp"] = json!({"type": kind, "condition": condition});
                respond(&error, "application/problem+json", problem.to_string())
            }
        }
    }

    async fn answer_question(
        &self,
        operation: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Value, Error> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if !self.0.secret.matches(shown) {
            tracing::warn!(operation, "an XMPP server showed a wrong secret");
            return Err(Error::Unauthorized);
        }
        let body = to_bytes(body, MAX_BODY)
            .await
            .map_err(|e| Error::invalid("body", e.to_string()))?;
        let fields: Map<String, Value> = serde_json::from_slice(&body)
            .map_err(|e| Error::invalid("body", format!("not a JSON object: {e}")))?;
        tracing::trace!(operation, "an XMPP server asks");
        let app = &self.0.app;
        let question = Question::new(app, &fields)?;
        app.metrics.note_question(question.host(), app.clock.now());
        match operation {
            "answers" => question.take_answer(),
            "api_create" => question.api_create().await,
            "ask" => question.ask_server().await,
            "check_name" => question.check_name().await,
            "claim_contact" => question.claim_contact().await,
            "confirm" => question.confirm().await,
            "create" => question.create().await,
            "creators" => question.creators().await,
            "health" => question.health().await,
            "key_create" => question.key_create().await,
            "key_delete" => question.key_delete().await,
            "key_list" => question.key_list().await,
            "lookup" => question.look_up().await,
            "open" => question.open().await,
            "pending" => question.pending().await,
            "questions" => question.next_questions().await,
            "release" => question.release().await,
            "reserve" => question.reserve().await,
            "revoke" => question.revoke().await,
            "revoke_all" => question.revoke_all().await,
            _ => Err(Error::NotFound),
        }
    }
}

impl listen::Answer for Bridge {
    async fn answer(&self, request: hyper::Request<Incoming>, _peer: Peer) -> Response {
        let (head, body) = request.into_parts();
        match request_body(body, MAX_BODY, BODY_TIMEOUT).await {
            Ok(body) => self.dispatch(Request::from_parts(head, body)).await,
            Err(error) => problem(&error),
        }
    }
}

/// The stanza error that suits a refusal (RFC 6120 §8.3.3, XEP-0445 §3).
fn stanza_error(error: &Error, operation: &str) -> (&'static str, &'static str) {
    let presenting = operation == "lookup" || operation == "claim_contact";
    match error {
        Error::InviteUnknown | Error::InviteExpired => ("cancel", "item-not-found"),
        Error::InviteUsedUp | Error::InviteRevoked if presenting => ("cancel", "item-not-found"),
        Error::InviteUsedUp
        | Error::InviteRevoked
        | Error::InviteNotForThis
        | Error::NameHeld
        | Error::NameMismatch => ("cancel", "not-allowed"),
        Error::InviteBusy => ("wait", "resource-constraint"),
        Error::Invalid { .. } => ("modify", "not-acceptable"),
        Error::NameTaken | Error::TokenTaken => ("cancel", "conflict"),
        _ => ("wait", "internal-server-error"),
    }
}
