//! `/invites/bulk`: many invites in one durable request, all or none.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::caller::AnyKey;
use super::create::{CreateInvite, repeat_key};
use super::invites::view_created;
use super::{Answer, InviteView, answer, form, table};
use crate::app::{AcceptedKey, By, MAX_BULK};
use crate::error::Error;
use crate::http::{Site, media_type, whole_body};
use crate::invite::NewInvite;
use crate::jid::Domain;

/// Largest body, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request waits for others with large bodies.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Many invites to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateInvites<'a> {
    /// Read one by one, so that a complaint can name the one that is wrong.
    #[serde(borrow)]
    #[schema(value_type = Vec<CreateInvite>, min_items = 1, max_items = 10_000)]
    invites: Vec<&'a RawValue>,
}

/// Many invites, in the order in which they were asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedInvites {
    invites: Vec<InviteView>,
    /// Rows of a table that had nothing in them and made none.
    empty_rows: usize,
}

/// Make up to 10 000 invites, all or none. Any key may. As `text/csv`, the first line has the
/// names of the fields, with commas, semicolons or tabs in between; roles and groups are separated by
/// blanks or `;`, and `max_uses` may be `unlimited`. Rows with nothing in them are skipped.
#[utoipa::path(
    post,
    path = "/invites/bulk",
    tag = "invites",
    operation_id = "create_invites",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The same key with the same body answers the same invites")),
    request_body(content((CreateInvites = "application/json"), (String = "text/csv"))),
    responses((status = 201, body = CreatedInvites)),
)]
pub(super) async fn create_many(
    State(site): State<Site>,
    AnyKey(key): AnyKey,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let read: fn(&Domain, &str, &AcceptedKey) -> Result<Asked, Error> =
        match media_type(&headers).as_str() {
            "application/json" => from_json,
            "text/csv" => from_csv,
            _ => return Err(Error::UnsupportedMediaType("application/json or text/csv").into()),
        };
    let place = tokio::time::timeout(PLACE_TIMEOUT, site.large_bodies().acquire());
    let _place = place.await.map_err(|_| Error::StoreBusy)?;
    let body = whole_body(body, MAX_BODY, BODY_TIMEOUT).await?;
    let text = form::text(&body)?;
    let repeat = repeat_key(&headers, "create_invites", text)?;
    let asked = read(&site.host().domain, text, &key)?;
    let made = (site.app).create_invites(site.host(), asked.new, By::Key(&key), repeat);
    let (_, made) = made.await.map_err(|error| match error {
        Error::Item { index, problem } => Error::Item {
            index: asked.places[index - 1],
            problem,
        },
        other => other,
    })?;
    let list = CreatedInvites {
        invites: made.iter().map(|made| view_created(&site, made)).collect(),
        empty_rows: asked.empty_rows,
    };
    answer(axum::http::StatusCode::CREATED, &list)
}

/// What is to be made.
#[derive(Default)]
struct Asked {
    new: Vec<NewInvite>,
    /// Where each stands in the list or table, from 1.
    places: Vec<usize>,
    empty_rows: usize,
}

impl Asked {
    fn add(&mut self, place: usize, new: Result<NewInvite, Error>) -> Result<(), Error> {
        self.new.push(new.map_err(item(place))?);
        self.places.push(place);
        Ok(())
    }
}

fn from_json(host: &Domain, text: &str, key: &AcceptedKey) -> Result<Asked, Error> {
    let list: CreateInvites<'_> = form::read(text)?;
    check_count(list.invites.len())?;
    let mut asked = Asked::default();
    for (at, json) in list.invites.iter().enumerate() {
        let new = form::read::<CreateInvite>(json.get());
        asked.add(at + 1, new.and_then(|new| new.into_new(host, key)))?;
    }
    Ok(asked)
}

fn from_csv(host: &Domain, text: &str, key: &AcceptedKey) -> Result<Asked, Error> {
    let table = table::read(text)?;
    let mut asked = Asked {
        empty_rows: table.empty_rows,
        ..Asked::default()
    };
    for (place, fields) in table.rows {
        let new = form::read_value::<CreateInvite>(Value::Object(fields));
        asked.add(place, new.and_then(|new| new.into_new(host, key)))?;
    }
    Ok(asked)
}

pub(super) fn check_count(count: usize) -> Result<(), Error> {
    if (1..=MAX_BULK).contains(&count) {
        return Ok(());
    }
    let reason = format!("there must be 1 to {MAX_BULK} of them");
    Err(Error::invalid("invites", reason))
}

/// Names the place of what is wrong, from 1.
pub(super) fn item(place: usize) -> impl Fn(Error) -> Error {
    move |problem| Error::Item {
        index: place,
        problem: Box::new(problem),
    }
}
