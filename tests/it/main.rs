//! Tests of the parts together; folders mirror `src/`.

mod app;
mod certificates;
mod cli;
mod config;
mod http_options;
mod store;
mod support;
mod tidy;
