//! One error, two renderings: a page for people, problem+json (RFC 9457) for programs.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use crate::error::Error;

/// The standard words of a status, such as `Not Found`.
pub fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}

/// The members of a problem document.
pub fn problem_json(error: &Error) -> serde_json::Value {
    let mut problem = json!({
        "type": "about:blank",
        "title": title(error.status()),
        "status": error.status(),
        "code": error.code(),
        "detail": error.to_string(),
    });
    if let Error::Item { index, .. } = error {
        problem["item"] = json!(index);
    }
    if let Some(field) = error.field() {
        problem["field"] = json!(field);
    }
    problem
}

/// A problem document as an answer; also logs faults of ours, once, here where the request ends.
pub fn problem(error: &Error) -> Response {
    log(error);
    respond(
        error,
        "application/problem+json",
        problem_json(error).to_string(),
    )
}

/// The same with all causes in `detail`, for operators who look for a fault.
pub fn problem_with_causes(error: &Error) -> Response {
    log(error);
    let mut problem = problem_json(error);
    problem["detail"] = json!(error.chain());
    respond(error, "application/problem+json", problem.to_string())
}

/// An answer with the error's status and headers, and a body made elsewhere.
pub fn respond(error: &Error, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if error.status() == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Logs a fault of ours with all its causes.
pub fn log(error: &Error) {
    if error.is_fault() {
        tracing::error!(code = error.code(), "a request failed: {}", error.chain());
    }
}

/// Whether the client is a person's browser.
pub fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}
