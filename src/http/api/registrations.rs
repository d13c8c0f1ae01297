//! `/registrations`: who was made by which invite.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::AdminKey;
use super::form::{self, Limit};
use super::views::PastRegistrationView;
use super::{Answer, answer};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::http::Site;
use crate::registration::{PastRegistration, RegistrationId};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichRegistrations {
    /// How many at the most, 100 by default.
    #[param(required = false, value_type = i32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next_cursor` of the part before.
    #[param(required = false, value_type = String, pattern = "^[A-Za-z0-9_-]{32}$")]
    cursor: Option<String>,
}

/// A part of the list of registrations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PastRegistrationList {
    registrations: Vec<PastRegistrationView>,
    /// `cursor` of the next part; null at the end.
    next_cursor: Option<String>,
}

/// List all registrations that happened, oldest first, also those whose invites are forgotten.
#[utoipa::path(
    get,
    path = "/registrations",
    tag = "registrations",
    operation_id = "list_registrations",
    params(WhichRegistrations),
    responses((status = 200, body = PastRegistrationList)),
)]
pub(super) async fn list(
    State(site): State<Site>,
    _: AdminKey,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked: WhichRegistrations = form::query(query.as_deref())?;
    let after = asked.cursor.as_deref().map(after_cursor).transpose()?;
    let made = site
        .app
        .store
        .list_past_registrations(&site.host().domain, after, asked.limit.0)
        .await?;
    let last = made.last().filter(|_| made.len() == asked.limit.0);
    let part = PastRegistrationList {
        next_cursor: last.map(cursor_after),
        registrations: made.iter().map(Into::into).collect(),
    };
    answer(StatusCode::OK, &part)
}

/// The moment and the id.
fn cursor_after(last: &PastRegistration) -> String {
    form::cursor(&[&last.confirmed_at.0.to_be_bytes()[..], &last.id.0].concat())
}

fn after_cursor(cursor: &str) -> Result<(Timestamp, RegistrationId), Error> {
    let place: [u8; 24] = form::place(cursor)?;
    let (mut moment, mut id) = ([0; 8], [0; 16]);
    moment.copy_from_slice(&place[..8]);
    id.copy_from_slice(&place[8..]);
    Ok((Timestamp(i64::from_be_bytes(moment)), RegistrationId(id)))
}
