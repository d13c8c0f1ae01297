//! `/invites`: makes, finds, changes and takes back invites.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{AdminKey, AnyKey};
use super::create::{CreateInvite, lifetime, repeat_key, span_schema};
use super::form::{self, Limit, given};
use super::{Answer, InviteView, PREFIX, Part, RegistrationView, answer, created};
use crate::app::{Alteration, By, Created, FindBy};
use crate::config::file::Period;
use crate::error::Error;
use crate::http::Site;
use crate::invite::{Invite, InviteId, Kind, State as InviteState};
use crate::store::ListInvites;
use crate::token::InviteToken;

/// Make an invite. Any key may.
#[utoipa::path(
    post,
    path = "/invites",
    tag = "invites",
    operation_id = "create_invite",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The same key with the same body answers the same invite")),
    request_body = CreateInvite,
    responses((status = 201, body = InviteView, headers(("Location" = String, description = "Where the invite is in this API")))),
)]
pub(super) async fn create(
    State(site): State<Site>,
    AnyKey(key): AnyKey,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let asked: CreateInvite = form::json(&headers, &body)?;
    let new = asked.into_new(&site.host().domain, &key)?;
    let repeat = repeat_key(&headers, "create_invite", form::text(&body)?)?;
    let made = if repeat.is_some() {
        let list = site
            .app
            .create_invites(site.host(), vec![new], By::Key(&key), repeat)
            .await;
        let (_, made) = list.map_err(|error| match error {
            // A list of one has no numbers.
            Error::Item { problem, .. } => *problem,
            other => other,
        })?;
        made.into_iter().next().ok_or(Error::InviteUnknown)?
    } else {
        site.app
            .create_invite(site.host(), new, By::Key(&key))
            .await?
    };
    let location = format!("{}{PREFIX}/invites/{}", site.root(), made.invite.id);
    created(&location, &view_created(&site, &made))
}

/// An invite just made.
pub(super) fn view_created(site: &Site, made: &Created) -> InviteView {
    let mut view = view(site, &made.invite, Some(&made.token));
    view.warnings.clone_from(&made.doubts);
    view
}

fn view(site: &Site, invite: &Invite, token: Option<&InviteToken>) -> InviteView {
    InviteView::new(&site.app, site.host(), invite, token)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichInvites {
    /// Only those in this state.
    #[param(required = false)]
    state: Option<InviteState>,
    /// Only those of this kind.
    #[param(required = false)]
    kind: Option<Kind>,
    /// Only those that this local user made.
    #[param(required = false, value_type = String, min_length = 1)]
    inviter: Option<String>,
    /// Only those with this name: the fixed one, the inviter or the account to reset.
    #[param(required = false, value_type = String, min_length = 1)]
    username: Option<String>,
    /// How many at the most, 100 by default.
    #[param(required = false, value_type = i32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next_cursor` of the part before.
    #[param(required = false, value_type = String, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<String>,
}

/// A part of a list of invites.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InviteList {
    invites: Vec<InviteView>,
    /// `cursor` of the next part; null at the end.
    next_cursor: Option<String>,
}

/// List invites, oldest first. A part may be short, or empty, though others follow.
#[utoipa::path(
    get,
    path = "/invites",
    tag = "invites",
    operation_id = "list_invites",
    params(WhichInvites),
    responses((status = 200, body = InviteList)),
)]
pub(super) async fn list(
    State(site): State<Site>,
    _: AdminKey,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked: WhichInvites = form::query(query.as_deref())?;
    let host = &site.host().domain;
    let named =
        |field, text: Option<String>| text.map(|text| form::name(host, field, &text)).transpose();
    let which = ListInvites {
        registering: false,
        kind: asked.kind,
        creator: named("inviter", asked.inviter)?,
        localpart: named("username", asked.username)?,
        state: asked.state,
        after: match asked.cursor {
            Some(cursor) => Some(InviteId(form::place(&cursor)?)),
            None => None,
        },
        limit: asked.limit.0,
    };
    let page = site.app.list_invites(site.host(), &which).await?;
    let list = InviteList {
        invites: page
            .invites
            .iter()
            .map(|invite| view(&site, invite, site.app.token_of(invite).as_ref()))
            .collect(),
        next_cursor: page.next.map(|id| form::cursor(&id.0)),
    };
    answer(StatusCode::OK, &list)
}

/// Show an invite.
#[utoipa::path(
    get,
    path = "/invites/{id}",
    tag = "invites",
    operation_id = "show_invite",
    params(("id" = String, Path, description = "The id or the token")),
    responses((status = 200, body = InviteView)),
)]
pub(super) async fn show(State(site): State<Site>, _: AdminKey, Part(id): Part) -> Answer {
    let (invite, token) = find(&site, &id).await?;
    answer(StatusCode::OK, &view(&site, &invite, token.as_ref()))
}

async fn find(site: &Site, id: &str) -> Result<(Invite, Option<InviteToken>), Error> {
    let by: FindBy = id.parse()?;
    site.app.find_invite_by(site.host(), &by).await
}

/// What is to be different; what is left out stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlterInvite {
    /// How long it is good from now on: seconds, or a text such as `7d`.
    #[schema(schema_with = span_schema)]
    expires_in: Option<Period>,
    /// How many accounts or contacts it gives in all; null for no limit.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000)]
    #[expect(
        clippy::option_option,
        reason = "null is no limit, nothing is no change"
    )]
    max_uses: Option<Option<i64>>,
    /// A remark that the invitee does not see; an empty one takes it away.
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Change how long an invite is good, how many uses it has, or the remark.
#[utoipa::path(
    patch,
    path = "/invites/{id}",
    tag = "invites",
    operation_id = "alter_invite",
    params(("id" = String, Path, description = "The id or the token")),
    request_body = AlterInvite,
    responses((status = 200, body = InviteView)),
)]
pub(super) async fn alter(
    State(site): State<Site>,
    _: AdminKey,
    Part(id): Part,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let asked: AlterInvite = form::json(&headers, &body)?;
    let alteration = Alteration {
        lifetime: asked.expires_in.map(|span| lifetime(Some(span))),
        max_uses: asked.max_uses,
        note: asked.note,
    };
    let (invite, token) = find(&site, &id).await?;
    let altered = site
        .app
        .alter_invite(site.host(), &invite, alteration)
        .await?;
    answer(StatusCode::OK, &view(&site, &altered, token.as_ref()))
}

/// Take an invite back. Doing so twice changes nothing.
#[utoipa::path(
    post,
    path = "/invites/{id}/revoke",
    tag = "invites",
    operation_id = "revoke_invite",
    params(("id" = String, Path, description = "The id or the token")),
    responses((status = 200, body = InviteView)),
)]
pub(super) async fn revoke(State(site): State<Site>, _: AdminKey, Part(id): Part) -> Answer {
    let (invite, token) = find(&site, &id).await?;
    site.app.revoke_invite(site.host(), &invite).await?;
    let (invite, _) = find(&site, &invite.id.to_string()).await?;
    answer(StatusCode::OK, &view(&site, &invite, token.as_ref()))
}

/// Make a revoked invite good again.
#[utoipa::path(
    post,
    path = "/invites/{id}/restore",
    tag = "invites",
    operation_id = "restore_invite",
    params(("id" = String, Path, description = "The id or the token")),
    responses((status = 200, body = InviteView)),
)]
pub(super) async fn restore(State(site): State<Site>, _: AdminKey, Part(id): Part) -> Answer {
    let (invite, token) = find(&site, &id).await?;
    site.app.restore_invite(site.host(), &invite).await?;
    let (invite, _) = find(&site, &invite.id.to_string()).await?;
    answer(StatusCode::OK, &view(&site, &invite, token.as_ref()))
}

/// What one invite gave.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegistrationsOfInvite {
    registrations: Vec<RegistrationView>,
}

/// List what an invite gave, and what it is about to give.
#[utoipa::path(
    get,
    path = "/invites/{id}/registrations",
    tag = "invites",
    operation_id = "list_registrations_of_invite",
    params(("id" = String, Path, description = "The id or the token")),
    responses((status = 200, body = RegistrationsOfInvite)),
)]
pub(super) async fn registrations(State(site): State<Site>, _: AdminKey, Part(id): Part) -> Answer {
    let (invite, _) = find(&site, &id).await?;
    let made = site
        .app
        .store
        .list_registrations(&site.host().domain, invite.id)
        .await?;
    let list = RegistrationsOfInvite {
        registrations: made.iter().map(RegistrationView::from).collect(),
    };
    answer(StatusCode::OK, &list)
}
