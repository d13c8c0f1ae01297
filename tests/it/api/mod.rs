//! Our own API: what it takes, what it answers, and that a refusal leaves nothing behind.

mod bulk;
mod fields;
mod invites;
mod keys;
mod limits;
mod lists;
mod scopes;
