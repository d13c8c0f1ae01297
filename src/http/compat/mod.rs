//! Doors that speak as Prosody's modules do, so that what was written for those works unmodified.

pub mod invites_api;
