//! What an invite is made from, alone or as one of many.

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};

use super::form::{self, given};
use crate::app::{AcceptedKey, RepeatKey};
use crate::config::file::Period;
use crate::error::Error;
use crate::http::media_type;
use crate::invite::{Details, Kind, Lifetime, NewInvite};
use crate::jid::Domain;
use crate::secret;

/// Most roles or groups, and the longest name of one, in characters.
const MAX_NAMES: usize = 20;
const MAX_NAME: usize = 100;
/// Largest `extra`, in bytes of JSON.
const MAX_EXTRA: usize = 8 * 1024;

/// What an invite is made from; whatever is left out or null has a default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateInvite {
    /// `account` by default.
    kind: Option<Kind>,
    /// `account`: the only name that the account may have. `reset`: the account.
    #[schema(min_length = 1, max_length = 1023)]
    username: Option<String>,
    /// `contact`: the local user whose contact the invitee becomes.
    #[schema(min_length = 1, max_length = 1023)]
    inviter: Option<String>,
    /// `contact`: whether people without an account can make one.
    allow_registration: Option<bool>,
    /// How many accounts or contacts it gives, 1 by default; null for no limit.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000)]
    #[expect(
        clippy::option_option,
        reason = "null is no limit, nothing is the default"
    )]
    max_uses: Option<Option<i64>>,
    /// How long it is good: seconds, or a text such as `7d`.
    #[schema(schema_with = span_schema)]
    expires_in: Option<Period>,
    /// A remark that the invitee does not see.
    #[schema(max_length = 1000)]
    note: Option<String>,
    /// Roles of the new account, primary first, each of 1 to 100 characters.
    #[schema(max_items = 20)]
    roles: Option<Vec<String>>,
    /// Groups that the new account joins, each of 1 to 100 characters.
    #[schema(max_items = 20)]
    groups: Option<Vec<String>>,
    /// A token of your choice, for an account invite with several uses; not of 24 letters, as random
    /// ones have.
    #[schema(min_length = 10, max_length = 128, pattern = "^[A-Za-z0-9_-]+$")]
    token: Option<String>,
    /// Whatever else is to go along with the invite, at most 8 KiB.
    #[schema(value_type = Option<Object>)]
    extra: Option<Map<String, Value>>,
}

impl CreateInvite {
    /// What the app is asked for.
    pub(super) fn into_new(self, host: &Domain, key: &AcceptedKey) -> Result<NewInvite, Error> {
        let kind = self.kind.unwrap_or(Kind::Account);
        if kind != Kind::Contact && self.inviter.is_some() {
            return Err(Error::invalid("inviter", "only contact invites have one"));
        }
        if kind == Kind::Contact && self.username.is_some() {
            return Err(Error::invalid(
                "username",
                "a contact invite has no name; `inviter` is whose contact it makes",
            ));
        }
        let localpart = match (&self.username, &self.inviter) {
            (Some(text), _) => Some(form::name(host, "username", text)?),
            (None, Some(text)) => Some(form::name(host, "inviter", text)?),
            (None, None) => None,
        };
        let details = Details {
            source: Some(format!("api/token/{}", key.id())),
            note: self.note,
            roles: names("roles", kind, self.roles)?,
            groups: names("groups", kind, self.groups)?,
            extra: extra(self.extra)?,
        };
        Ok(NewInvite {
            kind,
            localpart,
            allow_registration: self.allow_registration.unwrap_or(kind != Kind::Contact),
            max_uses: self.max_uses.unwrap_or(Some(1)),
            lifetime: lifetime(self.expires_in),
            landing_url: None,
            token: match self.token {
                Some(text) => Some(text.parse().map_err(|why: crate::token::NotAToken| {
                    Error::invalid("token", why.to_string())
                })?),
                None => None,
            },
            details,
        })
    }
}

/// The span that was asked for, or the host's.
pub(super) fn lifetime(span: Option<Period>) -> Lifetime {
    span.map_or(Lifetime::Default, |span| Lifetime::Seconds(span.0))
}

fn names(field: &'static str, kind: Kind, list: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let list = list.unwrap_or_default();
    if kind == Kind::Reset && !list.is_empty() {
        return Err(Error::invalid(
            field,
            "a reset changes nothing but the password",
        ));
    }
    let good = |name: &String| {
        (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
    };
    if list.len() > MAX_NAMES || !list.iter().all(good) {
        let reason =
            format!("at most {MAX_NAMES} names of 1 to {MAX_NAME} characters are expected");
        return Err(Error::invalid(field, reason));
    }
    Ok(list)
}

fn extra(extra: Option<Map<String, Value>>) -> Result<Map<String, Value>, Error> {
    let extra = extra.unwrap_or_default();
    let size = serde_json::to_vec(&extra).map_or(usize::MAX, |json| json.len());
    if size > MAX_EXTRA {
        return Err(Error::invalid("extra", "it is larger than 8 KiB"));
    }
    Ok(extra)
}

/// A number of seconds or a text.
pub(super) fn span_schema() -> Schema {
    Schema::OneOf(
        OneOfBuilder::new()
            .item(
                ObjectBuilder::new()
                    .schema_type(SchemaType::Type(Type::Integer))
                    .minimum(Some(1))
                    .maximum(Some(3_153_600_000_i64)),
            )
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)))
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null)))
            .description(Some(
                "How long it is good: seconds, or a text such as `7d` or `12 hours`.",
            ))
            .build(),
    )
}

/// What `Idempotency-Key` says (draft-ietf-httpapi-idempotency-key-header), for a request to
/// `operation` with this body.
pub(super) fn repeat_key(
    headers: &HeaderMap,
    operation: &str,
    body: &str,
) -> Result<Option<RepeatKey>, Error> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()))
        .ok_or_else(|| {
            Error::invalid("Idempotency-Key", "1 to 255 ASCII characters are expected")
        })?;
    Ok(Some(RepeatKey {
        key: key.to_owned(),
        fingerprint: secret::hash(&[operation, &media_type(headers), body]),
    }))
}
