//! Our own API, `/api/v1`. `docs/api.md` is its manual; the `OpenAPI` document comes from the same
//! code that answers.
//!
//! Only `Authorization: Bearer KEY` lets anybody in. A key of scope `create` makes plain
//! invites (`app/rights.rs`); one of scope `admin` does everything. Errors are problem documents.
//!
//! To add an operation: a function with `#[utoipa::path]` here, a line in [`operations`], a curl
//! line in `docs/api.md`, a test under `tests/it/api`. Admin only unless it says otherwise.

mod bulk;
mod caller;
mod create;
mod form;
mod invites;
mod keys;
mod openapi;
mod registrations;
mod table;
mod users;
mod views;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
use super::error::problem;
use crate::error::Error;

pub use openapi::document;
pub use views::{InviteView, KeyView, RegistrationView, UserView};

/// Where the API is mounted.
pub const PREFIX: &str = "/api/v1";
/// The operation that reads its body itself, since that may be larger than others.
pub(super) const BULK: &str = "/api/v1/invites/bulk";

/// Every operation.
fn operations() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .routes(routes!(invites::list, invites::create))
        .routes(routes!(bulk::create_many))
        .routes(routes!(invites::show, invites::alter))
        .routes(routes!(invites::revoke))
        .routes(routes!(invites::restore))
        .routes(routes!(invites::registrations))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::delete))
        .routes(routes!(registrations::list))
        .routes(routes!(users::show))
        .routes(routes!(users::revoke_invites))
        .routes(routes!(openapi::serve))
}

/// What answers below [`PREFIX`].
pub(super) fn router() -> Router<Site> {
    let (router, _) = operations().split_for_parts();
    router
        .fallback(async || problem(&Error::NotFound))
        .method_not_allowed_fallback(async || problem(&Error::MethodNotAllowed))
}

/// What every operation answers.
type Answer = Result<Response, Refusal>;

/// An error as this API tells it.
struct Refusal(Error);

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        match error.into() {
            // The key was deleted since it was looked at.
            Error::KeyRefused => Self(Error::KeyNeeded),
            other => Self(other),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}

/// An answer with a JSON body, which nothing keeps: most have tokens in them.
fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|e| Error::Internal(Box::new(e)))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((status, headers, body).into_response())
}

/// An answer about something new, and where it is.
fn created(location: &str, body: &impl Serialize) -> Answer {
    let mut response = answer(StatusCode::CREATED, body)?;
    let location = HeaderValue::try_from(location).map_err(|e| Error::Internal(Box::new(e)))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The one part of the path that is not fixed.
struct Part(String);

impl FromRequestParts<Site> for Part {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, site).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Error::NotFound.into()),
        }
    }
}
