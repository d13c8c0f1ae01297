//! What supervisors and monitoring ask.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;

/// `/readyz`: 200 if requests can be served, else 503 and the reason.
pub(super) async fn ready(app: &App) -> Response {
    match app.store.check().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// `/metrics`: counters in the text form of Prometheus.
pub(super) fn metrics(app: &App) -> Response {
    let mut response = app.metrics.encode().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}
