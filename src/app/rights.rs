//! What a key may put into an invite: the table in `docs/api.md`.
//!
//! To add a scope: a variant of [`Scope`], its lines here, a column in the manual's table, which
//! `tests/it/api/scopes.rs` reads.

use super::keys::AcceptedKey;
use crate::api_key::Scope;
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Details, Kind, NewInvite};

/// Refuses an invite that is more than the key may make, by the first field that is too much.
///
/// A key of scope `create` makes an account invite of one use, which may have a name, a note and a
/// life no longer than the host's. Who gets hold of it can fill the server, but rule nothing.
/// What a key may do never changes, so this need not be asked again where the invite is stored.
pub(super) fn check(host: &Host, new: &NewInvite, key: &AcceptedKey) -> Result<(), Error> {
    if key.may(Scope::Admin) {
        return Ok(());
    }
    // All of them by name: whoever adds a field has to decide here who may set it.
    let NewInvite {
        kind,
        localpart: _,
        allow_registration,
        max_uses,
        lifetime,
        landing_url,
        token,
        details,
    } = new;
    let Details {
        source: _,
        note: _,
        roles,
        groups,
        extra,
    } = details;
    let longer = |life| life > host.invite_expiry;
    let too_much = [
        ("kind", *kind != Kind::Account),
        ("allow_registration", !allow_registration),
        ("max_uses", *max_uses != Some(1)),
        (
            "expires_in",
            host.lifetime(*kind, *lifetime).is_none_or(longer),
        ),
        ("roles", !roles.is_empty()),
        ("groups", !groups.is_empty()),
        ("token", token.is_some()),
        ("extra", !extra.is_empty()),
        ("landing_page", landing_url.is_some()),
    ];
    match too_much.into_iter().find(|(_, is)| *is) {
        Some((field, _)) => Err(Error::ScopeTooSmall { field: Some(field) }),
        None => Ok(()),
    }
}
