//! What people see: landing page, set-up page per app, registration, and pages for what went
//! wrong. Rendered on the server, complete without JavaScript.
//!
//! To add a page: a template, a file here with its handler, a line in `http/mod.rs`.

pub mod apps;
mod landing;
pub(super) mod memo;
pub mod qr;
mod register;
pub mod templates;

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use minijinja::context;
use serde::Serialize;

use super::Site;
use super::error::{log, respond, title};
use crate::clock::{Timestamp, span_text};
use crate::config::INVITES_PAGE;
use crate::error::Error;
use crate::invite::{Invite, Kind};
use memo::Blank;

pub use landing::{landing, qr_code, setup};
pub(super) use register::register;
pub use register::{form, submit};

/// Nothing but our own style sheet and images; forms go nowhere else; nobody frames us.
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                   base-uri 'none'; frame-ancestors 'none'";

/// An invite as templates see it.
#[derive(Debug, Serialize)]
struct InviteView {
    kind: &'static str,
    inviter: Option<String>,
    /// The inviter's address, where it is the invitee's to add.
    contact: Option<String>,
    username: Option<String>,
    uri: String,
    expires: Option<String>,
    expires_iso: Option<String>,
    expires_in: Option<String>,
    uses_left: Option<i64>,
}

impl InviteView {
    fn new(invite: &Invite, uri: String, now: Timestamp) -> Self {
        let kind = match (invite.kind, invite.allow_registration) {
            (Kind::Account, _) => "account",
            (Kind::Contact, false) => "contact",
            (Kind::Contact, true) => "contact_account",
            (Kind::Reset, _) => "reset",
        };
        Self {
            kind,
            inviter: invite.inviter().map(ToString::to_string),
            contact: (invite.inviter()).map(|inviter| format!("{inviter}@{}", invite.host)),
            username: invite.fixed_name().map(ToString::to_string),
            uri,
            expires: invite.expires_at.map(Timestamp::long_text),
            expires_iso: invite.expires_at.map(Timestamp::iso),
            expires_in: invite.expires_at.map(|end| span_text(end.0 - now.0)),
            uses_left: invite.uses_left().filter(|&left| left > 1),
        }
    }
}

/// What every page's context begins with.
fn base_context(site: &Site) -> minijinja::Value {
    context! {
        site_name => site.host().site_name.as_str(),
        host => site.host().domain.to_string(),
        lang => "en",
        assets => site.assets(),
        webchat_url => site.host().webchat_url.as_deref(),
    }
}

/// Renders `template`; a template that fails gives the plainest of pages.
fn page(site: &Site, status: StatusCode, template: &str, context: minijinja::Value) -> Response {
    finish(status, render(site, template, context))
}

/// A page that many may ask for: it depends on nothing but the site, `parts` and `blanks`, whose
/// stand-ins are in the context.
fn shared_page(
    site: &Site,
    template: &str,
    parts: &[&str],
    blanks: &[Blank<'_>],
    context: impl FnOnce() -> minijinja::Value,
) -> Result<Bytes, Error> {
    let index = site.index.to_string();
    let mut key = Vec::with_capacity(256);
    for part in [&index, template].iter().chain(parts) {
        // With its length, so that no two lists of parts run together.
        key.extend_from_slice(&part.len().to_le_bytes());
        key.extend_from_slice(part.as_bytes());
    }
    (site.shared.pages).page(key, blanks, || render(site, template, context()))
}

fn render(site: &Site, template: &str, context: minijinja::Value) -> Result<String, Error> {
    let context = context! { ..context, ..base_context(site) };
    site.templates().render(template, context)
}

fn finish(status: StatusCode, html: Result<impl Into<Body>, Error>) -> Response {
    match html {
        Ok(html) => html_response(status, html),
        Err(error) => {
            log(&error);
            html_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                "<!doctype html><title>Error</title><p>Something went wrong on our side.",
            )
        }
    }
}

fn html_response(status: StatusCode, html: impl Into<Body>) -> Response {
    let mut response = Response::new(html.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

/// The headers of every page, those that say what went wrong included. With room for what an answer
/// has besides: they are cloned for each.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(20);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address is a secret, so nothing keeps the page.
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
});

/// Adds [`HEADERS`].
pub fn add_page_headers(response: &mut Response) {
    let own = std::mem::replace(response.headers_mut(), HEADERS.clone());
    response.headers_mut().extend(own);
}

/// The page for an error: what happened, and what to do next.
pub fn problem_page(site: &Site, error: &Error) -> Response {
    let status = error.status();
    let (title, hint) = match error {
        Error::InviteUnknown => (
            "There is no such invite",
            Some(
                "Check that the whole link was copied. If it was, ask whoever sent it for a new one.",
            ),
        ),
        Error::InviteExpired => (
            "This invite has expired",
            Some("Ask whoever sent it for a new one."),
        ),
        Error::InviteUsedUp => (
            "This invite has been used",
            Some("If that was you, log in with your app. Otherwise ask for a new one."),
        ),
        Error::InviteRevoked => (
            "This invite was withdrawn",
            Some("Ask whoever sent it for a new one."),
        ),
        Error::InviteBusy => (
            "Somebody is using this invite right now",
            Some("Wait a minute and open the link again."),
        ),
        Error::NotFound => ("There is nothing here", Some("Check the address.")),
        other => (title(other.status()), None),
    };
    let detail = match error {
        // The heading says it all.
        Error::InviteUnknown
        | Error::InviteExpired
        | Error::InviteUsedUp
        | Error::InviteRevoked
        | Error::InviteBusy
        | Error::NotFound => None,
        other if site.tells_causes(other) => Some(other.chain()),
        other => Some(other.to_string()),
    };
    let errors = &site.host().errors;
    let hint = errors.messages.0.get(&status).map(String::as_str).or(hint);
    if hint.is_none() && !errors.always_show {
        let mut response = respond(error, "text/html; charset=utf-8", String::new());
        add_page_headers(&mut response);
        return response;
    }
    let hint = hint.or(errors.default_message.as_deref());
    let parts = [
        &status.to_string(),
        title,
        detail.as_deref().unwrap_or_default(),
        hint.unwrap_or_default(),
    ];
    let html = shared_page(
        site,
        "problem.html",
        &parts,
        &[],
        || context! { status, title, detail => &detail, hint },
    )
    .unwrap_or_else(|e| {
        log(&e);
        format!("<!doctype html><title>{title}</title><p>{title}").into()
    });
    let mut response = respond(error, "text/html; charset=utf-8", html);
    add_page_headers(&mut response);
    response
}

/// Where a link to a page leads whose `?` was encoded along with its token, by a mailer for instance.
pub(super) fn straightened(site: &Site, uri: &Uri) -> Option<Response> {
    let (path, token) = uri
        .path()
        .split_once("%3F")
        .or_else(|| uri.path().split_once("%3f"))?;
    let paths = &site.host().paths;
    let pages = [&paths.invites_page, &paths.register, INVITES_PAGE];
    // Below our own pages alone, so that nobody is led elsewhere.
    if !pages.iter().any(|page| path.starts_with(page)) {
        return None;
    }
    let more = uri.query().map(|more| format!("&{more}"));
    let address = format!("{}{path}?{token}{}", site.root(), more.unwrap_or_default());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let address = HeaderValue::try_from(address).ok()?;
    response.headers_mut().insert(header::LOCATION, address);
    add_page_headers(&mut response);
    Some(response)
}

/// The start page, for people who strip the link down to the host.
pub async fn index(axum::extract::State(site): axum::extract::State<Site>) -> Response {
    let mut response = page(&site, StatusCode::OK, "index.html", context! {});
    add_page_headers(&mut response);
    response
}
