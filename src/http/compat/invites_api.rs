//! `/invites_api`, as `mod_invites_api` offers it: one request with a key makes one invite.
//!
//! Kept: addresses, statuses, headers. Not kept: the 500 for a missing query, invites made by
//! `HEAD`, by link previews and by `redirect=false`.

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::app::{App, By};
use crate::config::Host;
use crate::error::Error;
use crate::http::error::{log, wants_page};
use crate::http::{Peer, Site};
use crate::invite::NewInvite;

/// Answers every method.
pub async fn handle(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    // Whole, since parts of it would be copies.
    request: Request,
) -> Response {
    let (method, headers) = (request.method(), request.headers());
    let query = request.uri().query().unwrap_or_default();
    let mut response = if *method == Method::OPTIONS {
        Response::new(Body::empty())
    } else {
        match create(&site.app, site.host(), method, query, headers).await {
            Ok((status, location)) => respond(status, location),
            Err(Error::KeyRefused) => {
                let limited = site.note_failure(peer).err();
                refuse(&site, headers, &limited.unwrap_or(Error::KeyRefused))
            }
            Err(error) => refuse(&site, headers, &error),
        }
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = if site.host().invites_api_get {
            "OPTIONS, GET, POST"
        } else {
            "OPTIONS, POST"
        };
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    // As in the documented example.
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("Keep-Alive"));
    response
}

/// Makes one account invite if the request may: the status of the answer and its `Location`. Prosody's
/// own port asks for the same through the bridge.
pub(in crate::http) async fn create(
    app: &App,
    host: &Host,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
) -> Result<(StatusCode, HeaderValue), Error> {
    match *method {
        Method::GET if is_prefetch(headers) => return Err(Error::Prefetch),
        Method::GET if host.invites_api_get => {}
        Method::POST => {}
        _ => return Err(Error::MethodNotAllowed),
    }
    let query = Query::parse(query);
    let key = presented_key(headers, &query).ok_or(Error::KeyRefused)?;
    let key = app.accept_key(host, &key).await?;
    let mut new = NewInvite::account();
    new.details.source = Some(format!("api/token/{}", key.id()));
    let created = Box::pin(app.create_invite(host, new, By::Key(&key))).await?;
    let url = app.landing_url(host, &created.invite, &created.token);
    let location = HeaderValue::try_from(url).map_err(|e| Error::Internal(Box::new(e)))?;
    let status = if query.redirect {
        StatusCode::SEE_OTHER
    } else {
        StatusCode::CREATED
    };
    Ok((status, location))
}

fn respond(status: StatusCode, location: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    // With those that follow there are seven, which a map without room would be made anew for.
    response.headers_mut().reserve(8);
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// As Prosody reads it: with an `Authorization` header the query does not count, and that header
/// is `Bearer`, one blank, the key.
fn presented_key(headers: &HeaderMap, query: &Query) -> Option<String> {
    match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            let well_formed = scheme == "Bearer" && !key.contains(char::is_whitespace);
            well_formed.then(|| key.to_owned())
        }
        None => query.key.clone(),
    }
}

/// Browsers fetch links that a person may follow; such a request must not leave an invite behind.
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers
            .get(*name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains("prefetch"))
    })
}

fn refuse(site: &Site, headers: &HeaderMap, error: &Error) -> Response {
    if wants_page(headers) {
        log(error);
    }
    site.refuse(headers, error)
}

#[derive(Debug, Default, PartialEq)]
struct Query {
    key: Option<String>,
    redirect: bool,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "key" => parsed.key = Some(value.into_owned()),
                "redirect" => parsed.redirect = !matches!(&*value, "false" | "0"),
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, key: Option<&str>, redirect: bool) {
        let key = key.map(str::to_owned);
        assert_eq!(Query::parse(query), Query { key, redirect });
    }

    #[test]
    fn any_redirect_but_false_and_0_redirects() {
        check("", None, false);
        check("key=a/b", Some("a/b"), false);
        check("key=a%2Fb&redirect=true", Some("a/b"), true);
        check("key=a/b&redirect", Some("a/b"), true);
        check("redirect=&key=a/b", Some("a/b"), true);
        check("key=a/b&redirect=false", Some("a/b"), false);
        check("key=a/b&redirect=0", Some("a/b"), false);
    }

    #[test]
    fn a_bearer_header_is_read_as_prosody_reads_it() {
        for (value, key) in [
            ("Bearer a/b", Some("a/b")),
            ("bearer a/b", None),
            ("Basic a/b", None),
            ("Bearer a/b c", None),
            ("Bearer", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            let query = Query::parse("key=c/d");
            assert_eq!(presented_key(&headers, &query).as_deref(), key, "{value}");
        }
    }
}
