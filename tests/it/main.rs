//! Tests of the parts together; folders mirror `src/`.

mod api;
mod app;

mod bridge;
mod certificates;
mod cli;
mod cli_bad_input;
mod compat;
mod config;
mod database_address;
mod history;
mod host_headers;
mod http_options;
mod import;
mod import_config;
mod links;
mod moving;
mod names;
mod openapi;
mod pages;
mod postgres;
mod questions;
mod store;
mod support;
mod tidy;
