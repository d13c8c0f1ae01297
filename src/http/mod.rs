//! The HTTP doors. The whole route table is in [`routes`]; which host a request is for follows
//! from its `Host` header, as in Prosody.
//!
//! To add an endpoint: a file in the room it belongs to, a line in [`routes`], a test under
//! `tests/it/http`. Handlers check form, `app` checks meaning; errors are [`crate::error::Error`].

pub mod api;
mod assets;
pub mod bridge;
pub mod compat;
mod cors;
pub mod error;
mod forwarded;
mod limit;
pub mod listen;
pub mod pages;
pub mod rocks;
pub mod tls;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get};
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::app::App;
use crate::config::{Config, Host, INVITES_PAGE};
use crate::error::Error;
use crate::invite::Invite;
use crate::token::InviteToken;
use compat::{admin_api, register_api};
use forwarded::{Proxies, Strangers};
use limit::Failures;
use pages::apps;
use pages::memo::Memo;
use pages::templates::Templates;
use rocks::Rocks;

/// Every public address of one host.
fn routes(site: &Site) -> Router {
    let paths = &site.host().paths;
    let mut router = Router::new()
        .route("/", get(pages::index))
        .nest(api::PREFIX, api::router())
        .route(&paths.invites_api, any(compat::invites_api::handle))
        .route(
            &format!("{}/qr.svg", paths.invites_page),
            get(pages::qr_code),
        )
        .route(
            &format!("{}/invite/{{token}}", paths.invites_register_api),
            any(register_api::invite),
        )
        .route(
            &format!("{}/register", paths.invites_register_api),
            any(register_api::register),
        )
        .route(
            &format!("{}/invites", paths.admin_api),
            get(admin_api::list),
        )
        .route(
            &format!("{}/invites/{{id}}", paths.admin_api),
            get(admin_api::show)
                .post(admin_api::create)
                .delete(admin_api::delete),
        )
        .route(
            &format!(
                "{}/{}/{{*path}}",
                paths.register_apps, site.shared.assets_version
            ),
            get(|Path(path): Path<String>| async move { assets::serve(&path) }),
        );
    // People and programs add a slash to the addresses that people open.
    let mut page = |path: &str, show: MethodRouter<Site>| {
        router = std::mem::take(&mut router)
            .route(path, show.clone())
            .route(&format!("{path}/"), show);
    };
    page(&paths.register, get(pages::form).post(pages::submit));
    let mut invites_page = |path: &str| {
        page(path, get(pages::landing));
        page(&format!("{path}/{{token}}"), get(pages::landing));
        page(&format!("{path}/setup/{{app}}"), get(pages::setup));
    };
    invites_page(&paths.invites_page);
    // Links that Prosody's page module made keep working.
    if paths.invites_page != INVITES_PAGE {
        invites_page(INVITES_PAGE);
    }
    let (not_found, not_allowed) = (site.clone(), site.clone());
    // Bodies have a limit of ours (`http_max_content_size`), which answers as each door does.
    let router = router.layer(DefaultBodyLimit::disable());
    // Costs every request, so it is there only if its lines are wanted.
    let router = if tracing::enabled!(tracing::Level::DEBUG) {
        router.layer(middleware::from_fn(note_route))
    } else {
        router
    };
    router
        .fallback(async move |uri: Uri, headers: HeaderMap| {
            pages::straightened(&not_found, &uri)
                .unwrap_or_else(|| not_found.refuse_at(uri.path(), &headers, &Error::NotFound))
        })
        .method_not_allowed_fallback(move |uri: Uri, headers: HeaderMap| async move {
            not_allowed.refuse_at(uri.path(), &headers, &Error::MethodNotAllowed)
        })
        .with_state(site.clone())
}

/// Tells the log which route it was. The path itself is left out: some have a token in it.
async fn note_route(
    route: Option<MatchedPath>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// One host as handlers see it. Cheap to clone: axum does so several times for each request.
#[derive(Debug, Clone)]
pub struct Site(Arc<SiteParts>);

/// What [`Site`] gives access to.
#[derive(Debug)]
pub struct SiteParts {
    pub app: App,
    /// Position of the host in the configuration.
    index: usize,
    /// Path part of the base address, without a slash at the end.
    root: Arc<str>,
    assets: Arc<str>,
    apps: Arc<[apps::App]>,
    shared: Arc<Shared>,
}

impl Deref for Site {
    type Target = SiteParts;

    fn deref(&self) -> &SiteParts {
        &self.0
    }
}

/// What all hosts have in common.
#[derive(Debug)]
struct Shared {
    templates: Templates,
    pages: Memo,
    assets_version: String,
    failures: Failures,
    large_bodies: Semaphore,
}

/// Large bodies that are in memory at the same time.
const LARGE_BODIES: usize = 2;

impl Site {
    /// The host's configuration.
    pub fn host(&self) -> &Host {
        &self.app.config.hosts[self.index]
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn assets(&self) -> &str {
        &self.assets
    }

    fn apps(&self) -> &[apps::App] {
        &self.apps
    }

    fn templates(&self) -> &Templates {
        &self.shared.templates
    }

    /// Places for requests whose bodies are larger than others'.
    fn large_bodies(&self) -> &Semaphore {
        &self.shared.large_bodies
    }

    /// Counts a refused key or an unknown invite; an error if there were too many.
    fn note_failure(&self, peer: Peer) -> Result<(), Error> {
        self.shared.failures.note(peer.ip, self.app.clock.now())
    }

    /// An error if this client has failed too often of late.
    fn check_failures(&self, peer: Peer) -> Result<(), Error> {
        self.shared.failures.check(peer.ip, self.app.clock.now())
    }

    /// The invite whose token is in `link` ([`InviteToken::in_link`]), if it can be used now.
    ///
    /// A token that somebody chose can be guessed; so whoever names too many that are unknown
    /// sees none of those for a while. Random ones, and those of invites with one use, cannot be
    /// guessed: whoever has one is always answered.
    async fn look_up(&self, peer: Peer, link: &str) -> Result<(Invite, InviteToken), Error> {
        let Ok(token) = InviteToken::in_link(link) else {
            self.note_failure(peer)?;
            return Err(Error::InviteUnknown);
        };
        match self.app.recall(self.host(), &token).await {
            Err(Error::InviteUnknown) => {
                self.note_failure(peer)?;
                Err(Error::InviteUnknown)
            }
            Ok(invite) if token.is_random() || invite.max_uses == Some(1) => Ok((invite, token)),
            Err(other) if token.is_random() => Err(other),
            other => {
                self.check_failures(peer)?;
                other.map(|invite| (invite, token))
            }
        }
    }

    /// The page for an error.
    pub fn problem_page(&self, error: &Error) -> Response {
        pages::problem_page(self, error)
    }

    /// An error for whoever asks: a page for browsers, a problem document for others.
    fn refuse(&self, headers: &HeaderMap, error: &Error) -> Response {
        if error::wants_page(headers) {
            self.problem_page(error)
        } else if self.tells_causes(error) {
            error::problem_with_causes(error)
        } else {
            error::problem(error)
        }
    }

    /// The same where no handler answers: portals read a form of their own.
    fn refuse_at(&self, path: &str, headers: &HeaderMap, error: &Error) -> Response {
        let mut portals = compat::portals(&self.host().paths).into_iter();
        if portals.any(|app| is_below(app, path)) {
            compat::json::refuse(error)
        } else {
            self.refuse(headers, error)
        }
    }

    /// Whether answers say why it is our fault.
    fn tells_causes(&self, error: &Error) -> bool {
        self.host().errors.detailed && error.is_fault()
    }
}

/// Reads templates, lists of apps and certificates; the error names the file.
pub fn check_files(config: &Config) -> Result<(), String> {
    tls::check(config)?;
    Templates::load(config.templates_path.as_deref())?;
    config
        .hosts
        .iter()
        .try_for_each(|host| apps::load(host).map(drop))
}

/// The other end of a connection, or the client that a proxy there speaks for.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub ip: IpAddr,
    pub https: bool,
}

/// Finds the host of a request and lets its router answer.
#[derive(Debug, Clone)]
pub struct Front(Arc<FrontParts>);

#[derive(Debug)]
struct FrontParts {
    doors: HashMap<String, Arc<Door>>,
    default: Option<Arc<Door>>,
    proxies: Proxies,
    strangers: Strangers,
    app: App,
    rocks: Rocks,
    /// Where portals ask, of all hosts.
    portals: BTreeSet<String>,
    max_content_size: usize,
    body_timeout: Duration,
}

/// One host's addresses.
#[derive(Debug)]
struct Door {
    router: Router,
    apps: cors::Apps,
}

impl Front {
    /// Reads templates and lists of apps; the error names the file.
    pub fn new(app: &App) -> Result<Self, String> {
        let config: &Config = &app.config;
        let shared = Arc::new(Shared {
            templates: Templates::load(config.templates_path.as_deref())?,
            pages: Memo::default(),
            assets_version: assets::version(),
            failures: Failures::new(config.http.failures_per_minute),
            large_bodies: Semaphore::new(LARGE_BODIES),
        });
        let mut doors = HashMap::new();
        let mut default = None;
        for (index, host) in config.hosts.iter().enumerate() {
            let root: Arc<str> = path_of(&host.base_url).into();
            let site = Site(Arc::new(SiteParts {
                app: app.clone(),
                index,
                assets: format!(
                    "{root}{}/{}/",
                    host.paths.register_apps, shared.assets_version
                )
                .into(),
                apps: apps::load(host)?.into(),
                root,
                shared: Arc::clone(&shared),
            }));
            let door = Arc::new(Door {
                router: routes(&site),
                apps: cors::Apps::new(host),
            });
            if config.default_host.as_ref() == Some(&host.domain) {
                default = Some(Arc::clone(&door));
            }
            doors.insert(host.http_host.clone(), door);
        }
        Ok(Self(Arc::new(FrontParts {
            doors,
            default,
            proxies: Proxies {
                trusted: config.http.trusted_proxies.clone(),
                legacy: config.http.legacy_x_forwarded,
            },
            strangers: Strangers::default(),
            app: app.clone(),
            rocks: Rocks::pack()?,
            portals: config
                .hosts
                .iter()
                .flat_map(|host| compat::portals(&host.paths))
                .map(str::to_owned)
                .collect(),
            max_content_size: config.http.max_content_size,
            body_timeout: config.http.request_timeout,
        })))
    }

    /// Answers a request whose body is complete; that to [`api::BULK`] may still be on its way.
    pub async fn dispatch(&self, mut request: Request, peer: Peer) -> Response {
        let name = match host_name(&request) {
            Ok(name) => name,
            Err(why) => return self.refuse(request.uri(), &Error::BadRequest(why)),
        };
        // The same for every host.
        if let Some(name) = request.uri().path().strip_prefix("/rocks/") {
            return self.0.rocks.serve(request.method(), name);
        }
        let default = self.0.default.as_ref();
        let door = match name {
            Some(name) => self.0.doors.get(&name).or(default),
            // The header came with HTTP/1.1 (RFC 9112 §3.2).
            None if request.version() == Version::HTTP_10 && default.is_some() => default,
            None => {
                let error = Error::BadRequest("The request has no Host header.");
                return self.refuse(request.uri(), &error);
            }
        };
        let Some(door) = door else {
            return self.refuse(request.uri(), &Error::NoSuchHost);
        };
        let client = forwarded::client(peer, request.headers(), &self.0.proxies);
        if self
            .0
            .strangers
            .note(peer, request.headers(), &self.0.proxies)
        {
            self.0.app.metrics.strangers.inc();
            tracing::warn!(
                "{} speaks for others (X-Forwarded-For or Forwarded) and is not in trusted_proxies, so all of them \
                 count as one client; if it is your proxy, add it there",
                peer.ip
            );
        }
        request.extensions_mut().insert(client);
        let readers = door.apps.at(request.uri().path());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = AssertUnwindSafe(door.router.clone().oneshot(request)).catch_unwind();
        let response = match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => self.refuse(&uri, &Error::Internal("a handler panicked".into())),
        };
        let response = match readers {
            Some(readers) => readers.apply(method == Method::OPTIONS, origin.as_ref(), response),
            None => response,
        };
        let route = response.extensions().get::<MatchedPath>();
        let route = route.map_or("unknown", MatchedPath::as_str);
        // The query is left out: it holds keys and tokens.
        tracing::debug!(%method, route, status = response.status().as_u16(), "answered");
        response
    }

    /// A refusal where no host's router answers.
    fn refuse(&self, uri: &Uri, error: &Error) -> Response {
        let path = uri.path();
        if self.0.portals.iter().any(|app| is_below(app, path)) {
            compat::json::refuse(error)
        } else if matches!(error, Error::NoSuchHost) && !is_below(api::PREFIX, path) {
            (StatusCode::NOT_FOUND, format!("{error}\n")).into_response()
        } else {
            error::problem(error)
        }
    }
}

impl listen::Answer for Front {
    async fn answer(&self, request: hyper::Request<Incoming>, peer: Peer) -> Response {
        // Read when the key is known to be good.
        if request.uri().path() == api::BULK {
            return self.dispatch(request.map(Body::new), peer).await;
        }
        let (head, body) = request.into_parts();
        match request_body(body, self.0.max_content_size, self.0.body_timeout).await {
            Ok(body) => self.dispatch(Request::from_parts(head, body), peer).await,
            Err(error) => self.refuse(&head.uri, &error),
        }
    }
}

/// Reads the body before anything is done, within a size and a time.
async fn request_body(body: Incoming, limit: usize, timeout: Duration) -> Result<Body, Error> {
    if body.is_end_stream() {
        return Ok(Body::empty());
    }
    // Boxed: most requests have none, and their futures would be moved with room for it.
    Box::pin(whole_body(body, limit, timeout))
        .await
        .map(Body::from)
}

/// Reads a body within a size and a time.
async fn whole_body<B>(body: B, limit: usize, timeout: Duration) -> Result<Bytes, Error>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>>,
{
    let body = tokio::time::timeout(timeout, Limited::new(body, limit).collect())
        .await
        .map_err(|_| Error::TooSlow)?
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Error::TooLarge
            } else {
                Error::BadRequest("The body broke off.")
            }
        })?;
    Ok(body.to_bytes())
}

/// The `Content-Type` of a request, in lower case and without parameters.
fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The one name that the request is for: in the `Host` header, in the address, or in both.
fn host_name(request: &Request) -> Result<Option<String>, &'static str> {
    let mut headers = request.headers().get_all(header::HOST).iter();
    let header = match (headers.next(), headers.next()) {
        // RFC 9112 §3.2. Whoever stands before us may have looked at the other one.
        (_, Some(_)) => return Err("The request has several Host headers."),
        (Some(text), None) => Some(text.to_str().map_err(|_| "The Host header is no name.")?),
        (None, None) => None,
    };
    let (header, address) = (header.map(bare_name), request.uri().host().map(bare_name));
    match (header, address) {
        (Some(header), Some(address)) if header != address => {
            Err("The Host header and the address name different hosts.")
        }
        (header, address) => Ok(address.or(header)),
    }
}

/// A name in lower case, without port and final dot.
fn bare_name(text: &str) -> String {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a path is that of an app, or below it.
fn is_below(app: &str, path: &str) -> bool {
    path.strip_prefix(app)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `/chat` of `https://example.com/chat`, or nothing.
fn path_of(base_url: &str) -> &str {
    let after_scheme = after_scheme(base_url);
    after_scheme
        .find('/')
        .map_or("", |slash| &after_scheme[slash..])
}

/// `example.com:5281` of `https://example.com:5281/chat`.
fn authority_of(base_url: &str) -> &str {
    let after_scheme = after_scheme(base_url);
    after_scheme
        .split_once('/')
        .map_or(after_scheme, |(authority, _)| authority)
}

fn after_scheme(base_url: &str) -> &str {
    base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest)
}
