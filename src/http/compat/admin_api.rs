//! `/admin_api/invites`, as `mod_http_admin_api` offers it: portals make, list and take back
//! invites on behalf of an administrator.
//!
//! Kept: addresses, statuses, fields. Not kept: 401 without `WWW-Authenticate`, unchecked fields,
//! an answer of success for the deletion of what never was, links that stay good for contacts.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::json::{self, Fields, Id};
use super::prosody;
use crate::api_key::Scope;
use crate::app::{AcceptedKey, By};
use crate::config::Host;
use crate::error::Error;
use crate::http::{Peer, Site};
use crate::invite::{Invite, Kind, Lifetime, NewInvite, State as InviteState};
use crate::jid::Domain;
use crate::store::ListInvites;
use crate::token::InviteToken;

/// Invites that are read at once for the list.
const PAGE: usize = 1_000;

/// `GET /admin_api/invites`.
pub async fn list(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    finish(&site, try_list(&site, peer, &headers).await.map(Some))
}

/// `GET /admin_api/invites/TOKEN`.
pub async fn show(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    headers: HeaderMap,
) -> Response {
    finish(&site, try_show(&site, peer, &headers, &id).await.map(Some))
}

/// `POST /admin_api/invites/account`, `…/group` and `…/reset`.
pub async fn create(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Id(kind): Id,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let made = try_create(&site, peer, &headers, &kind, &body).await;
    finish(&site, made.map(Some))
}

/// `DELETE /admin_api/invites/TOKEN`.
pub async fn delete(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    headers: HeaderMap,
) -> Response {
    let deleted = try_delete(&site, peer, &headers, &id).await;
    finish(&site, deleted.map(|()| None))
}

async fn try_list(site: &Site, peer: Peer, headers: &HeaderMap) -> Result<Value, Error> {
    Caller::of(site, peer, headers).await?;
    let mut which = ListInvites {
        registering: true,
        state: Some(InviteState::Open),
        limit: PAGE,
        ..ListInvites::default()
    };
    let mut invites = Vec::new();
    loop {
        let page = site.app.list_invites(site.host(), &which).await?;
        invites.extend(page.invites);
        match page.next {
            Some(next) => which.after = Some(next),
            None => break,
        }
    }
    // Imported ones may be older than their place in the list.
    invites.sort_by_key(|invite| invite.created_at);
    let listed = invites
        .iter()
        .filter_map(|invite| Some(view(site, invite, &site.app.token_of(invite)?)));
    Ok(Value::Array(listed.collect()))
}

async fn try_show(site: &Site, peer: Peer, headers: &HeaderMap, id: &str) -> Result<Value, Error> {
    Caller::of(site, peer, headers).await?;
    let token = InviteToken::in_link(id).map_err(|_| Error::InviteUnknown)?;
    let (invite, token) = site.app.look_up(site.host(), token.expose()).await?;
    gives_account(&invite)?;
    Ok(view(site, &invite, &token))
}

async fn try_create(
    site: &Site,
    peer: Peer,
    headers: &HeaderMap,
    kind: &str,
    body: &[u8],
) -> Result<Value, Error> {
    let caller = Caller::of(site, peer, headers).await?;
    let fields = if body.is_empty() {
        Fields::default()
    } else {
        Fields::read(headers, body)?
    };
    let mut new = new_invite(&site.host().domain, kind, &fields)?;
    new.details.source = Some(caller.source());
    let created = site
        .app
        .create_invite(site.host(), new, caller.by())
        .await
        .map_err(|error| match error {
            Error::Invalid {
                field: "expires_in",
                reason,
            } => Error::invalid("ttl", reason),
            Error::Invalid {
                field: "extra",
                reason,
            } => Error::invalid("additional_data", reason),
            other => other,
        })?;
    Ok(view(site, &created.invite, &created.token))
}

/// An invite that is over is deleted already, as far as a portal can tell; only what never was
/// is unknown.
async fn try_delete(site: &Site, peer: Peer, headers: &HeaderMap, id: &str) -> Result<(), Error> {
    Caller::of(site, peer, headers).await?;
    let token = InviteToken::in_link(id).map_err(|_| Error::InviteUnknown)?;
    let invite = site.app.find_invite(site.host(), &token).await?;
    gives_account(&invite)?;
    site.app.revoke_invite(site.host(), &invite).await?;
    Ok(())
}

/// Contact-only invites are their inviter's matter and not shown here.
fn gives_account(invite: &Invite) -> Result<(), Error> {
    if invite.allow_registration {
        Ok(())
    } else {
        Err(Error::InviteUnknown)
    }
}

fn new_invite(host: &Domain, kind: &str, fields: &Fields) -> Result<NewInvite, Error> {
    let mut new = NewInvite::account();
    let ttl = fields.maybe_int("ttl")?;
    new.lifetime = ttl.map_or(Lifetime::Default, Lifetime::Seconds);
    if let Some(data) = fields.maybe_object("additional_data")? {
        new.details.extra.clone_from(data);
    }
    let groups = fields.maybe_texts("groups")?;
    match kind {
        "account" => new.localpart = fields.maybe_name(host, "username")?,
        "group" if groups.is_none() => {
            return Err(Error::invalid("groups", "a list of texts is expected"));
        }
        // Whoever says how long it is to live means a link for the whole group.
        "group" if ttl.is_some() => new.max_uses = None,
        "group" => {}
        "reset" => {
            new.kind = Kind::Reset;
            new.localpart = fields.maybe_name(host, "username")?;
        }
        _ => {
            return Err(Error::invalid(
                "type",
                "there are invites/account, invites/group and invites/reset",
            ));
        }
    }
    if new.kind == Kind::Account {
        new.details.groups = groups.unwrap_or_default();
        new.details.roles = fields.maybe_texts("roles")?.unwrap_or_default();
    }
    new.details.note = fields.maybe_text("note")?.map(str::to_owned);
    Ok(new)
}

/// An invite as portals know it; its id is the token.
fn view(site: &Site, invite: &Invite, token: &InviteToken) -> Value {
    let mut answer = json::invite(site, invite, token);
    answer["id"] = json!(token.expose());
    answer["reusable"] = json!(invite.max_uses != Some(1));
    answer["reset"] = json!(invite.kind == Kind::Reset);
    answer["landing_page"] = json!(site.app.landing_url(site.host(), invite, token));
    answer["groups"] = json!(invite.details.groups);
    answer["roles"] = json!(invite.details.roles);
    let optional = [
        ("source", invite.details.source.as_ref()),
        ("note", invite.details.note.as_ref()),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            answer[key] = json!(value);
        }
    }
    // COMPAT: Prose reads no invite without it.
    answer["additional_data"] = json!(invite.details.extra);
    answer
}

/// Who asks.
enum Caller<'a> {
    /// A user of Prosody who may administer the host.
    Admin(&'a Host, prosody::Bearer),
    Key(AcceptedKey),
}

impl<'a> Caller<'a> {
    /// A key of ours with the scope `admin`, or a token of Prosody's whose owner is an admin.
    async fn of(site: &'a Site, peer: Peer, headers: &HeaderMap) -> Result<Self, Error> {
        let token = bearer(headers).ok_or(Error::KeyNeeded)?;
        let host = site.host();
        match site.app.recognise_key(host, token).await {
            Ok(key) if key.may(Scope::Admin) => return Ok(Self::Key(key)),
            Ok(_) => return Err(Error::ScopeTooSmall { field: None }),
            Err(Error::KeyRefused) => {}
            Err(error) => return Err(error),
        }
        site.check_failures(peer)?;
        match prosody::bearer(&site.app.config, host, token).await? {
            Some(bearer) if bearer.admin => Ok(Self::Admin(host, bearer)),
            Some(_) => Err(Error::ScopeTooSmall { field: None }),
            None => {
                site.note_failure(peer)?;
                Err(Error::KeyNeeded)
            }
        }
    }

    fn source(&self) -> String {
        match self {
            Self::Admin(host, bearer) => format!("{}@{}/admin_api", bearer.username, host.domain),
            Self::Key(key) => format!("api/token/{}", key.id()),
        }
    }

    fn by(&self) -> By<'_> {
        match self {
            Self::Admin(..) => By::Operator,
            Self::Key(key) => By::Key(key),
        }
    }
}

/// As Prosody reads it: `Bearer`, one blank, the token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value
        .strip_prefix("Bearer ")
        .filter(|token| !token.is_empty() && !token.contains(char::is_whitespace))
}

fn finish(site: &Site, answer: Result<Option<Value>, Error>) -> Response {
    match answer {
        Ok(Some(value)) => json::answer(&value),
        Ok(None) => json::done(),
        Err(error) => {
            let mut response = json::refuse(&error);
            if response.status() == 401 {
                let realm = format!("Bearer realm=\"{}/admin_api\"", site.host().domain.ascii());
                if let Ok(value) = HeaderValue::try_from(realm) {
                    response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, value);
                }
            }
            response
        }
    }
}
