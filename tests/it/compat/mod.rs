//! The JSON that portals speak: `/admin_api` and `/register_api`, and the pages they link to.

mod admin_api;
mod pages;
mod portals;
mod register_api;
mod support;
