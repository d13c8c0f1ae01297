//! Tests of the parts together; folders mirror `src/`.

mod api;
mod app;
mod cli;
mod config;
mod openapi;
mod store;
mod support;
mod tidy;
