//! The rooms of `invited`, one line each. `docs/architecture.md` is the map.
//!
//! The library exists so that tests and benches reach the parts; it is not a public interface.

pub mod api_key;
pub mod clock;
pub mod error;
pub mod invite;
pub mod jid;
pub mod registration;
pub mod secret;
pub mod text;
pub mod token;
pub mod uri;

pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod import;
pub mod store;
pub mod xmpp;

/// Many small, short-lived texts per request, freed on other threads than they were made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
