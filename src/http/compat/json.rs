//! What the two doors for portals share: the fields of a request, an invite in Prosody's terms,
//! and refusals. Which statuses there are is part of the contract with portals, so they are not
//! those of [`Error::status`] throughout.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::http::error::{log, respond};
use crate::http::{Site, media_type};
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
    /// COMPAT: Prose sends a charset, which older modules refuse. Any other type is refused: for this one
    /// a browser asks before the page of another site may post.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        if media_type(headers) != "application/json" {
            return Err(Error::invalid(
                "Content-Type",
                "it must be application/json",
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

    /// COMPAT: Snikket's portal sends what was left empty in a form as an empty text.
    pub(super) fn maybe_text(&self, field: &'static str) -> Result<Option<&str>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
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

    /// COMPAT: Snikket's portal sends the text of a form, such as `"604800"`.
    pub(super) fn maybe_int(&self, field: &'static str) -> Result<Option<i64>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            // Lua may write a whole number as 60.0.
            Some(Value::Number(number)) => number
                .as_i64()
                .or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
                .map(Some)
                .ok_or_else(|| Error::invalid(field, "a whole number is expected")),
            Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text
                .parse()
                .map(Some)
                .map_err(|_| Error::invalid(field, "a whole number is expected")),
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

/// An answer to what has nothing to say. COMPAT: Prose reads JSON out of every answer.
pub(super) fn done() -> Response {
    answer(&Value::Null)
}

/// A refusal as Prosody sends it with `mod_rest` to who accepts JSON: a stanza error (RFC 6120 §8.3) in `error`, of
/// which nothing may be missing, and the status. Our own code and the field stand beside it.
///
/// COMPAT: portals stumble over an `error` in any other form.
pub(in crate::http) fn refuse(error: &Error) -> Response {
    log(error);
    let (status, kind, condition) = status(error);
    let mut body = json!({
        "type": "error",
        "code": status.as_u16(),
        "error": { "type": kind, "condition": condition, "text": error.to_string() },
        "reason": error.code(),
    });
    if let Some(field) = error.field() {
        body["field"] = json!(field);
    }
    let mut response = respond(error, "application/json", body.to_string());
    *response.status_mut() = status;
    response
}

/// Portals know these statuses only: to them an invite that is over is as unknown as any other.
/// Types and conditions are those that Prosody has for a status, as far as portals know them.
fn status(error: &Error) -> (StatusCode, &'static str, &'static str) {
    let status = match error {
        Error::Invalid { .. } => StatusCode::BAD_REQUEST,
        Error::KeyNeeded | Error::KeyRefused => StatusCode::UNAUTHORIZED,
        Error::InviteBusy | Error::RegistrationRefused(_) => StatusCode::FORBIDDEN,
        Error::InviteExpired | Error::InviteRevoked | Error::InviteUsedUp => StatusCode::NOT_FOUND,
        other => StatusCode::from_u16(other.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let (kind, condition) = match status.as_u16() {
        400 => ("modify", "bad-request"),
        401 => ("auth", "not-authorized"),
        403 => ("auth", "forbidden"),
        404 => ("cancel", "item-not-found"),
        405 => ("cancel", "not-allowed"),
        408 => ("wait", "remote-server-timeout"),
        409 => ("cancel", "conflict"),
        413 => ("modify", "resource-constraint"),
        429 => ("wait", "resource-constraint"),
        _ => ("wait", "internal-server-error"),
    };
    (status, kind, condition)
}

/// The one part of the path that is not fixed. One that cannot be read names nothing.
pub struct Id(pub(super) String);

impl FromRequestParts<Site> for Id {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        match Path::from_request_parts(parts, site).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(refuse(&Error::InviteUnknown)),
        }
    }
}
