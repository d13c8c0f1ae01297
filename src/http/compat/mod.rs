//! Doors that speak as Prosody's modules do, so that what was written for those works unmodified.

pub mod admin_api;
pub mod invites_api;
pub(super) mod json;
mod prosody;
pub mod register_api;

use crate::config::Paths;

/// Where portals ask, who read refusals in a form of their own ([`json::refuse`]).
pub(super) fn portals(paths: &Paths) -> [&str; 2] {
    [&paths.admin_api, &paths.invites_register_api]
}
