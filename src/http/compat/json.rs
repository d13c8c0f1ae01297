//! What the two doors for portals share: the fields of a request, an invite in Prosody's terms,
//! and refusals. Which statuses there are is part of the contract with portals, so they are not
//! those of [`Error::status`] throughout.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http::Site;
use crate::http::error::{log, respond};
use crate::invite::{Invite, Kind};
use crate::jid::{Domain, Localpart};
use crate::token::InviteToken;

/// COMPAT: Snikket's portal and Prose take `expires` for a number, so an invite that never expires
/// does so at the end of the year 9999.
const NEVER: i64 = 253_402_300_799;
/// Most groups or roles of one invite.
const MAX_LIST: usize = 100;
/// Longest text of a field, in bytes.
const MAX_TEXT: usize = 2048;

/// The members of a request's JSON object. `null` is absence, as in Lua.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// COMPAT: the type must be exactly this; `mod_http_admin_api` and `mod_invites_register_api`
    /// refuse even a charset.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let content_type = headers.get(header::CONTENT_TYPE);
        if content_type.is_none_or(|value| value != "application/json") {
            return Err(Error::invalid(
                "Content-Type",
                "it must be application/json and nothing more",
            ));
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|e| Error::invalid("body", format!("not a JSON object: {e}")))
    }

    pub(super) fn text(&self, field: &'static str) -> Result<&str, Error> {
        self.maybe_text(field)?
            .ok_or_else(|| Error::invalid(field, "a text is expected"))
    }

    /// A text that is there is not empty.
    pub(super) fn maybe_text(&self, field: &'static str) -> Result<Option<&str>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => {
                Err(Error::invalid(field, "it is empty"))
            }
            Some(Value::String(text)) if text.len() <= MAX_TEXT => Ok(Some(text)),
            Some(Value::String(_)) => Err(Error::invalid(field, "it is too long")),
            Some(_) => Err(Error::invalid(field, "a text is expected")),
        }
    }

    /// A name at `host`.
    pub(super) fn maybe_name(
        &self,
        host: &Domain,
        field: &'static str,
    ) -> Result<Option<Localpart>, Error> {
        let parse = |text: &str| {
            Localpart::at(host, text)
                .map_err(|why| Error::invalid(field, format!("this name {why}")))
        };
        self.maybe_text(field)?.map(parse).transpose()
    }

    pub(super) fn maybe_int(&self, field: &'static str) -> Result<Option<i64>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            // Lua may write a whole number as 60.0.
            Some(Value::Number(number)) => number
                .as_i64()
                .or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
                .map(Some)
                .ok_or_else(|| Error::invalid(field, "a whole number is expected")),
            Some(_) => Err(Error::invalid(field, "a whole number is expected")),
        }
    }

    pub(super) fn maybe_texts(&self, field: &'static str) -> Result<Option<Vec<String>>, Error> {
        let list = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list.as_slice(),
            // Lua's empty table is written as either.
            Some(Value::Object(map)) if map.is_empty() => &[],
            Some(_) => return Err(Error::invalid(field, "a list of texts is expected")),
        };
        if list.len() > MAX_LIST {
            return Err(Error::invalid(field, format!("at most {MAX_LIST} of them")));
        }
        let text = |item: &Value| match item {
            Value::String(text) if !text.is_empty() && text.len() <= MAX_TEXT => Ok(text.clone()),
            _ => Err(Error::invalid(field, "a list of texts is expected")),
        };
        list.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn maybe_object(
        &self,
        field: &'static str,
    ) -> Result<Option<&Map<String, Value>>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(Error::invalid(field, "an object is expected")),
        }
    }
}

/// What both doors say of an invite.
pub(super) fn invite(site: &Site, invite: &Invite, token: &InviteToken) -> Value {
    let host = &site.host().domain;
    let mut answer = json!({
        "type": if invite.kind == Kind::Contact { "roster" } else { "register" },
        "jid": invite.localpart.as_ref()
            .map_or_else(|| host.to_string(), |name| format!("{name}@{host}")),
        "uri": site.app.uri(invite, token),
        "created_at": invite.created_at.0,
        "expires": invite.expires_at.map_or(NEVER, |end| end.0),
    });
    if let Some(inviter) = invite.inviter() {
        answer["inviter"] = json!(inviter.as_str());
    }
    answer
}

/// A good answer. It holds tokens, so nothing keeps it.
pub(super) fn answer(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal in the form of Prosody's stanza errors (RFC 6120 §8.3), with our code in `error`.
pub(super) fn refuse(error: &Error) -> Response {
    log(error);
    let (status, kind, condition) = status(error);
    let mut body = json!({
        "error": error.code(),
        "type": kind,
        "condition": condition,
        "text": error.to_string(),
    });
    if let Some(field) = error.field() {
        body["field"] = json!(field);
    }
    let mut response = respond(error, "application/json", body.to_string());
    *response.status_mut() = status;
    response
}

/// Portals know these statuses only: to them an invite that is over is as unknown as any other.
fn status(error: &Error) -> (StatusCode, &'static str, &'static str) {
    match error {
        Error::Invalid { .. } => (StatusCode::BAD_REQUEST, "modify", "bad-request"),
        Error::KeyNeeded | Error::KeyRefused => {
            (StatusCode::UNAUTHORIZED, "auth", "not-authorized")
        }
        Error::InviteBusy
        | Error::InviteNotForThis
        | Error::NameMismatch
        | Error::ScopeTooSmall { .. }
        | Error::RegistrationRefused(_) => (StatusCode::FORBIDDEN, "auth", "forbidden"),
        Error::InviteExpired
        | Error::InviteRevoked
        | Error::InviteUnknown
        | Error::InviteUsedUp => (StatusCode::NOT_FOUND, "cancel", "item-not-found"),
        Error::NameHeld | Error::NameTaken => (StatusCode::CONFLICT, "cancel", "conflict"),
        Error::KeyLimit { .. } | Error::TooManyFailures { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "wait", "resource-constraint")
        }
        other => {
            let status = StatusCode::from_u16(other.status());
            (
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                "wait",
                "internal-server-error",
            )
        }
    }
}
