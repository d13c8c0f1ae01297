//! From what came to what is asked. Every complaint names its field; unknown fields are refused.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::http::media_type;
use crate::jid::{Domain, Localpart};
use crate::text;

/// Longest reason in an answer, in characters; it may quote what came.
const MAX_REASON: usize = 300;

/// The body as JSON; nothing at all is an empty object.
pub(super) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    if body.is_empty() {
        return read("{}");
    }
    if media_type(headers) != "application/json" {
        return Err(Error::UnsupportedMediaType("application/json"));
    }
    read(text(body)?)
}

/// The body as text.
pub(super) fn text(body: &[u8]) -> Result<&str, Error> {
    text::utf8(body).map_err(|why| Error::invalid("body", format!("line {}: {why}", why.line())))
}

/// JSON text as one of our structs.
pub(super) fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Error> {
    // Serde would take a list of the fields' values, too.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Error::invalid("body", "a JSON object is expected"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        unreadable(&path, error.inner())
    })?;
    json.end().map_err(|error| unreadable("", &error))?;
    Ok(value)
}

/// A JSON value as one of our structs.
pub(super) fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(value.into_deserializer()).map_err(|error| {
        let path = error.path().to_string();
        unreadable(&path, error.inner())
    })
}

/// The parameters of the address as one of our structs.
pub(super) fn query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Error> {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let name = name.into_owned();
        if fields.contains_key(&name) {
            return Err(unreadable(&name, &"it is given twice"));
        }
        fields.insert(name, Value::String(value.into_owned()));
    }
    read_value(Value::Object(fields))
}

fn unreadable(field: &str, why: &dyn ToString) -> Error {
    let why = why.to_string();
    let (field, reason) = match field {
        // The root has no name.
        "" | "." | "?" => ("body", why.as_str()),
        // A name says more than a line does.
        _ => (field, why.split(" at line ").next().unwrap_or_default()),
    };
    Error::Unreadable {
        field: field.chars().take(100).collect(),
        reason: reason.chars().take(MAX_REASON).collect(),
    }
}

/// For fields in which null is not the same as nothing.
pub(super) fn given<'t, T: Deserialize<'t>, D: Deserializer<'t>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A name at `host` in a field.
pub(super) fn name(host: &Domain, field: &'static str, text: &str) -> Result<Localpart, Error> {
    Localpart::at(host, text).map_err(|why| Error::invalid(field, format!("this name {why}")))
}

/// How much of a list is asked for: 1 to 500, or 100.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Limit(pub(super) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<String> for Limit {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.parse() {
            Ok(limit @ 1..=500) => Ok(Self(limit)),
            _ => Err("a whole number between 1 and 500 is expected"),
        }
    }
}

/// Where the next part of a list begins, as clients hand it back; nothing of theirs to read.
pub(super) fn cursor(place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The place that a cursor stands for.
pub(super) fn place<const N: usize>(cursor: &str) -> Result<[u8; N], Error> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::invalid("cursor", "it is the `next_cursor` of the part before"))
}
