//! `/keys`: makes, lists and deletes API keys.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::AdminKey;
use super::create::span_schema;
use super::{Answer, KeyView, PREFIX, Part, answer, created, form};
use crate::api_key::Scope;
use crate::app::NewKey;
use crate::config::file::Period;
use crate::error::Error;
use crate::http::Site;

/// What a key is made from.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateKey {
    /// A name that helps to remember what the key is for.
    #[schema(max_length = 200, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    name: Option<String>,
    /// What it may do; `create` by default.
    scopes: Option<Vec<Scope>>,
    /// After this span the key is refused: seconds, or a text such as `90d`.
    #[schema(schema_with = span_schema)]
    expires_in: Option<Period>,
    /// How many invites it may make in one UTC day.
    #[schema(minimum = 1)]
    max_per_day: Option<i64>,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedKey {
    /// `ID/SECRET`, shown only now.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

/// Make a key. The answer is the only one that has its secret.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    operation_id = "create_key",
    request_body = CreateKey,
    responses((status = 201, body = CreatedKey, headers(("Location" = String, description = "Where the key can be deleted")))),
)]
pub(super) async fn create(
    State(site): State<Site>,
    _: AdminKey,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let asked: CreateKey = form::json(&headers, &body)?;
    let new = NewKey {
        name: asked.name,
        expires_in: asked.expires_in.map(|span| span.0),
        scopes: asked.scopes.unwrap_or_default(),
        max_per_day: asked.max_per_day,
    };
    let key = site.app.create_key(site.host(), new).await?;
    let (stored, _) = site
        .app
        .store
        .find_key(&site.host().domain, &key.id)
        .await?
        .ok_or(Error::KeyUnknown)?;
    let location = format!("{}{PREFIX}/keys/{}", site.root(), key.id);
    let made = CreatedKey {
        key: key.full_text(),
        view: (&stored).into(),
    };
    created(&location, &made)
}

/// All keys of the host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

/// List the keys, oldest first.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    operation_id = "list_keys",
    responses((status = 200, body = KeyList)),
)]
pub(super) async fn list(State(site): State<Site>, _: AdminKey) -> Answer {
    let keys = site.app.store.list_keys(&site.host().domain).await?;
    let list = KeyList {
        keys: keys.iter().map(KeyView::from).collect(),
    };
    answer(StatusCode::OK, &list)
}

/// Delete a key. Its very next use is refused.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "keys",
    operation_id = "delete_key",
    params(("id" = String, Path, description = "The part of the key before the slash")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(State(site): State<Site>, _: AdminKey, Part(id): Part) -> Answer {
    site.app.delete_key(site.host(), &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
