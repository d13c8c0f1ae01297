//! Doors that speak as Prosody's modules do, so that what was written for those works unmodified.

pub mod admin_api;
pub mod invites_api;
mod json;
mod prosody;
pub mod register_api;
