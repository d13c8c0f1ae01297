//! Tests of the parts together; folders mirror `src/`.

mod app;
mod cli;
mod config;
mod history;
mod postgres;
mod store;
mod support;
mod tidy;
