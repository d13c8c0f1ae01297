//! Tests of the parts together; folders mirror `src/`.

mod app;
mod bridge;
mod cli;
mod config;
mod store;
mod support;
mod tidy;
