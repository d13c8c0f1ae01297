//! `/register_api`, as `mod_invites_register_api` offers it: whoever has a token may look at its
//! invite, register with it, or decline it. What portals for newcomers are built on.
//!
//! Kept: addresses, statuses, fields. Not kept: resets that work again and again and leave old
//! sessions open, passwords and names that no policy sees, invites of a fixed name for any other.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::json::{self, Fields, Id};
use crate::error::Error;
use crate::http::{Peer, Site, pages};
use crate::invite::{Invite, Kind};
use crate::jid::Localpart;
use crate::token::InviteToken;

/// `GET` and `DELETE /register_api/invite/TOKEN`.
pub async fn invite(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Id(token): Id,
    method: Method,
) -> Response {
    let answer = match method {
        Method::GET | Method::HEAD => show(&site, peer, &token).await.map(Some),
        Method::DELETE => decline(&site, peer, &token).await.map(|()| None),
        _ => Err(Error::MethodNotAllowed),
    };
    finish(answer, "OPTIONS, GET, DELETE")
}

/// `POST /register_api/register`.
pub async fn register(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match method {
        Method::POST => make_account(&site, peer, &headers, &body).await.map(Some),
        _ => Err(Error::MethodNotAllowed),
    };
    finish(answer, "OPTIONS, POST")
}

async fn show(site: &Site, peer: Peer, token: &str) -> Result<Value, Error> {
    let (invite, token) = find(site, peer, token).await?;
    let mut answer = json::invite(site, &invite, &token);
    answer["site_name"] = json!(site.host().site_name);
    answer["domain"] = json!(site.host().domain.to_string());
    answer["token"] = json!(token.expose());
    if invite.kind == Kind::Reset {
        answer["reset"] = json!(invite.fixed_name().map(Localpart::as_str));
    }
    // Who made the invite, and what was noted about it, is not for the invitee.
    let mut data = invite.details;
    (data.source, data.note) = (None, None);
    answer["additional_data"] = json!(data);
    Ok(answer)
}

async fn make_account(
    site: &Site,
    peer: Peer,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Error> {
    let fields = Fields::read(headers, body)?;
    let (invite, token) = find(site, peer, fields.text("token")?).await?;
    let username = match (fields.maybe_text("username")?, invite.fixed_name()) {
        (Some(name), _) => name,
        (None, Some(fixed)) => fixed.as_str(),
        (None, None) => return Err(Error::invalid("username", "a text is expected")),
    };
    let password = fields.text("password")?;
    let jid = pages::register(site, token.expose(), username, password).await?;
    Ok(json!({ "jid": jid.to_string() }))
}

/// Only what is one person's to decline.
async fn decline(site: &Site, peer: Peer, token: &str) -> Result<(), Error> {
    let (invite, _) = find(site, peer, token).await?;
    if invite.kind == Kind::Contact || invite.max_uses != Some(1) {
        return Err(Error::InviteNotForThis);
    }
    if site.app.revoke_invite(site.host(), &invite).await? {
        Ok(())
    } else {
        Err(Error::InviteRevoked)
    }
}

/// Every look-up of this door: an invite that gives an account now.
async fn find(site: &Site, peer: Peer, token: &str) -> Result<(Invite, InviteToken), Error> {
    let (invite, token) = site.look_up(peer, token).await?;
    if invite.allow_registration {
        Ok((invite, token))
    } else {
        Err(Error::InviteUnknown)
    }
}

fn finish(answer: Result<Option<Value>, Error>, methods: &'static str) -> Response {
    let mut response = match answer {
        Ok(Some(value)) => json::answer(&value),
        Ok(None) => json::done(),
        Err(error) => json::refuse(&error),
    };
    if response.status() == 405 {
        let allow = HeaderValue::from_static(methods);
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
