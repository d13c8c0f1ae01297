//! Who asks: the API key in `Authorization: Bearer KEY`, and nowhere else.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::Refusal;
use crate::api_key::Scope;
use crate::app::AcceptedKey;
use crate::error::Error;
use crate::http::{Peer, Site};

/// Whoever shows a good key.
pub(super) struct AnyKey(pub(super) AcceptedKey);

/// Whoever shows a good key that may do everything.
pub(super) struct AdminKey;

impl FromRequestParts<Site> for AnyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let key = match bearer(&parts.headers) {
            Some(text) => site.app.recognise_key(site.host(), text).await,
            None => Err(Error::KeyNeeded),
        };
        match key {
            Ok(key) => Ok(Self(key)),
            Err(Error::KeyRefused) => {
                if let Some(peer) = parts.extensions.get::<Peer>() {
                    site.note_failure(*peer)?;
                }
                Err(Error::KeyNeeded.into())
            }
            Err(other) => Err(other.into()),
        }
    }
}

impl FromRequestParts<Site> for AdminKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let AnyKey(key) = AnyKey::from_request_parts(parts, site).await?;
        if key.may(Scope::Admin) {
            Ok(Self)
        } else {
            Err(Error::ScopeTooSmall { field: None }.into())
        }
    }
}

/// The key in the header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(key.trim())
        .filter(|key| !key.is_empty())
}
