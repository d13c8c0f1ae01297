//! Tests of the parts together; folders mirror `src/`.

mod app;

mod bridge;
mod certificates;
mod cli;
mod compat;
mod config;
mod history;
mod http_options;
mod moving;
mod postgres;
mod store;
mod support;
mod tidy;
