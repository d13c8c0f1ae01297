//! Tests of the parts together; folders mirror `src/`.

mod app;
mod bridge;
mod cli;
mod compat;
mod config;
mod history;
mod moving;
mod postgres;
mod store;
mod support;
mod tidy;
