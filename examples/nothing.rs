//! A server that does nothing, on the HTTP stack that `invited` uses: what the stack itself costs.
//! `scripts/bench` measures against it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use invited::http::Peer;
use invited::http::listen::{self, Answer, Limits};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

#[derive(Clone)]
struct Nothing(Router);

impl Answer for Nothing {
    async fn answer(&self, request: hyper::Request<hyper::body::Incoming>, _: Peer) -> Response {
        match self.0.clone().oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn created() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(
        header::LOCATION,
        HeaderValue::from_static("http://localhost/invite?AAAAAAAAAAAAAAAAAAAAAAAA"),
    );
    response
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).expect("usage: nothing PORT");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let router = Router::new().route("/invites_api", any(created));
    let limits = Limits {
        max_head: 16 * 1024,
        head_timeout: Duration::from_secs(10),
        places: Arc::new(Semaphore::new(4096)),
    };
    let (_stop, stopped) = watch::channel(false);
    listen::serve(listener, None, Nothing(router), limits, stopped).await;
    Ok(())
}
