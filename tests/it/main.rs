//! Tests of the parts together; folders mirror `src/`.

mod app;
mod cli;
mod compat;
mod config;
mod store;
mod support;
mod tidy;
