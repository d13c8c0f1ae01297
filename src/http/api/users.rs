//! `/users`: who invited whom.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::AdminKey;
use super::{Answer, Part, UserView, answer, form};
use crate::http::Site;

/// Show who invited a local user, and whom the user invited.
#[utoipa::path(
    get,
    path = "/users/{name}",
    tag = "users",
    operation_id = "show_user",
    params(("name" = String, Path, description = "The part of the address before the @")),
    responses((status = 200, body = UserView)),
)]
pub(super) async fn show(State(site): State<Site>, _: AdminKey, Part(name): Part) -> Answer {
    let name = form::name(&site.host().domain, "name", &name)?;
    let user = UserView::find(&site.app, site.host(), &name).await?;
    answer(StatusCode::OK, &user)
}

/// How many invites were taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    revoked: usize,
}

/// Take back every invite that a local user made, and resets of that user's password.
#[utoipa::path(
    post,
    path = "/users/{name}/revoke-invites",
    tag = "users",
    operation_id = "revoke_invites_of_user",
    params(("name" = String, Path, description = "The part of the address before the @")),
    responses((status = 200, body = Revoked)),
)]
pub(super) async fn revoke_invites(
    State(site): State<Site>,
    _: AdminKey,
    Part(name): Part,
) -> Answer {
    let name = form::name(&site.host().domain, "name", &name)?;
    let revoked = site.app.revoke_invites_of(site.host(), &name).await?;
    answer(StatusCode::OK, &Revoked { revoked })
}
