//! Tests of the parts together; folders mirror `src/`.

mod app;
mod cli;
mod config;
mod history;
mod import;
mod store;
mod support;
mod tidy;
