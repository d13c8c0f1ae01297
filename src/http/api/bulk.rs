//! `/invites/bulk`: many invites in one durable request, all or none.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::caller::AnyKey;
use super::create::{CreateInvite, repeat_key};
use super::invites::view_created;
use super::{Answer, InviteView, answer, form};
use crate::app::{AcceptedKey, By, MAX_BULK};
use crate::error::Error;
use crate::http::{Site, whole_body};
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
}

/// Make up to 10 000 invites, all or none. Any key may. As `text/csv`, the first line has the
/// names of the fields; roles and groups are separated by blanks or `;`, and `max_uses` may be
/// `unlimited`.
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
    let read: fn(&Domain, &str, &AcceptedKey) -> Result<Vec<NewInvite>, Error> =
        match form::media_type(&headers).as_str() {
            "application/json" => from_json,
            "text/csv" => from_csv,
            _ => return Err(Error::UnsupportedMediaType("application/json or text/csv").into()),
        };
    let place = tokio::time::timeout(PLACE_TIMEOUT, site.large_bodies().acquire());
    let _place = place.await.map_err(|_| Error::StoreBusy)?;
    let body = match whole_body(body, MAX_BODY, BODY_TIMEOUT).await {
        Ok(body) => body,
        Err(response) => return Ok(response.into_response()),
    };
    let text = form::text(&body)?;
    let repeat = repeat_key(&headers, "create_invites", text)?;
    let new = read(&site.host().domain, text, &key)?;
    let (_, made) = site
        .app
        .create_invites(site.host(), new, By::Key(&key), repeat)
        .await?;
    let list = CreatedInvites {
        invites: made.iter().map(|made| view_created(&site, made)).collect(),
    };
    answer(axum::http::StatusCode::CREATED, &list)
}

fn from_json(host: &Domain, text: &str, key: &AcceptedKey) -> Result<Vec<NewInvite>, Error> {
    let asked: CreateInvites<'_> = form::read(text)?;
    check_count(asked.invites.len())?;
    let items = asked.invites.iter().enumerate();
    items
        .map(|(at, json)| {
            form::read::<CreateInvite>(json.get())
                .and_then(|asked| asked.into_new(host, key))
                .map_err(item(at))
        })
        .collect()
}

fn from_csv(host: &Domain, text: &str, key: &AcceptedKey) -> Result<Vec<NewInvite>, Error> {
    let wrong = |error: csv::Error| Error::invalid("body", format!("not CSV: {error}"));
    // Spreadsheets put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = reader.headers().map_err(wrong)?.clone();
    let mut seen = Map::new();
    for column in &columns {
        // Every field that exists may be null.
        form::read_value::<CreateInvite>(json!({ column: null }))?;
        if seen.insert(column.to_owned(), Value::Null).is_some() {
            return Err(Error::invalid(
                "body",
                format!("two columns are {column:?}"),
            ));
        }
    }
    let mut new = Vec::new();
    for (at, row) in reader.records().enumerate() {
        check_count(at + 1)?;
        let row = row.map_err(wrong)?;
        let fields: Map<String, Value> = columns
            .iter()
            .zip(&row)
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| (column.to_owned(), field_of_cell(column, cell)))
            .collect();
        let asked = form::read_value::<CreateInvite>(Value::Object(fields));
        let asked = asked.and_then(|asked| asked.into_new(host, key));
        new.push(asked.map_err(item(at))?);
    }
    Ok(new)
}

/// The cell as JSON has it; what does not fit stays a text, and is refused as such.
fn field_of_cell(column: &str, cell: &str) -> Value {
    let as_json = || serde_json::from_str(cell).unwrap_or_else(|_| json!(cell));
    match column {
        "max_uses" if cell == "unlimited" => Value::Null,
        "allow_registration" | "extra" | "max_uses" => as_json(),
        "groups" | "roles" => {
            let names = cell.split(|c: char| c == ';' || c.is_whitespace());
            names.filter(|name| !name.is_empty()).collect()
        }
        _ => json!(cell),
    }
}

fn check_count(count: usize) -> Result<(), Error> {
    if (1..=MAX_BULK).contains(&count) {
        return Ok(());
    }
    let reason = format!("there must be 1 to {MAX_BULK} of them");
    Err(Error::invalid("invites", reason))
}

fn item(at: usize) -> impl Fn(Error) -> Error {
    move |problem| Error::Item {
        index: at + 1,
        problem: Box::new(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_the_fields_that_they_are() {
        for (column, cell, value) in [
            ("max_uses", "5", json!(5)),
            ("max_uses", "unlimited", json!(null)),
            ("max_uses", "five", json!("five")),
            ("roles", "a; b  c", json!(["a", "b", "c"])),
            ("allow_registration", "true", json!(true)),
            ("extra", "{\"a\": 1}", json!({"a": 1})),
            ("username", "42", json!("42")),
            ("expires_in", "3600", json!("3600")),
        ] {
            assert_eq!(field_of_cell(column, cell), value, "{column} {cell}");
        }
    }
}
