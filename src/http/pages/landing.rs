//! The landing page of an invite (XEP-0401 §4, XEP-0379) and the set-up page of an app.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Serde;

use super::apps::{AppView, Targets, platform};
use super::memo::Blank;
use super::{InviteView, add_page_headers, finish, page, problem_page, qr, shared_page};
use crate::clock::{Timestamp, span_text};
use crate::error::Error;
use crate::http::error::log;
use crate::http::{Peer, Site};
use crate::invite::Invite;
use crate::secret::random_alphanumeric;
use crate::token::InviteToken;

/// `GET /invite?TOKEN` and `/invite/TOKEN`.
pub async fn landing(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let view = match View::find(&site, peer, request.uri(), request.headers()).await {
        Ok(view) => view,
        Err(error) => return problem_page(&site, &error),
    };
    let mut response = finish(StatusCode::OK, view.landing_page());
    add_page_headers(&mut response);
    if let Ok(link) = HeaderValue::try_from(format!("<{}>; rel=\"alternate\"", view.uri)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `GET /invite/qr.svg?TOKEN`: the address of the landing page for cameras. By itself, so that only
/// those who see it fetch it: phones, on which links are opened, seldom do.
pub async fn qr_code(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Response {
    let found = site.look_up(peer, &uri.to_string()).await;
    let token = match found.inspect_err(log) {
        Ok((_, token)) => token,
        Err(error) => return problem_page(&site, &error),
    };
    let Some(svg) = qr::svg(&site.host().landing_url(token.expose())) else {
        return problem_page(&site, &Error::NotFound);
    };
    let mut response = Response::new(svg.into());
    let svg = HeaderValue::from_static("image/svg+xml");
    response.headers_mut().insert(header::CONTENT_TYPE, svg);
    add_page_headers(&mut response);
    response
}

/// `GET /invite/setup/APP?TOKEN`.
pub async fn setup(
    State(site): State<Site>,
    Path(app_id): Path<String>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let view = match View::find(&site, peer, &uri, &headers).await {
        Ok(view) => view,
        Err(error) => return problem_page(&site, &error),
    };
    let Some(app) = view.apps().into_iter().find(|app| app.id == app_id) else {
        return problem_page(&site, &Error::NotFound);
    };
    let context = context! {
        invite => Serde(view.invite_view()),
        app => Serde(app),
        qr_url => view.qr_url(),
        register_url => view.register_url().map(|url| format!("{url}&c={app_id}")),
        platform => view.platform,
        page_url => view.page_url(),
    };
    let mut response = page(&site, StatusCode::OK, "setup.html", context);
    add_page_headers(&mut response);
    response
}

/// What stands in a rendered page for texts that differ from link to link. Random, so that no name
/// can contain one.
struct StandIns {
    token: InviteToken,
    until: String,
    until_iso: String,
}

static STAND_INS: LazyLock<StandIns> = LazyLock::new(|| StandIns {
    token: InviteToken::generate(),
    until: random_alphanumeric(24),
    until_iso: random_alphanumeric(24),
});

/// An invite that can be used, seen by one visitor.
struct View<'a> {
    site: &'a Site,
    invite: Invite,
    token: InviteToken,
    uri: String,
    platform: &'static str,
    /// Read once, so that no page is remembered for a span that it does not show.
    now: Timestamp,
}

impl<'a> View<'a> {
    async fn find(
        site: &'a Site,
        peer: Peer,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        let found = site.look_up(peer, &uri.to_string()).await;
        let (invite, token) = found.inspect_err(log)?;
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        Ok(Self {
            uri: site.app.uri(&invite, &token),
            platform: platform(agent),
            now: site.app.clock.now(),
            site,
            invite,
            token,
        })
    }

    /// The landing page, rendered once for all links that differ in nothing but token and end.
    fn landing_page(&self) -> Result<Bytes, Error> {
        let token = self.token.expose();
        let end = self.invite.expires_at;
        let left = |end: Timestamp| span_text(end.0 - self.now.0);
        let left = end.map(left).unwrap_or_default();
        let uses_left = self.invite.uses_left().map(|n| n.to_string());
        let [until, until_iso] =
            [Timestamp::long_text, Timestamp::iso].map(|text| end.map(text).unwrap_or_default());
        // Everything else follows from these and the configuration: the URI has the names in it,
        // and the apps have the URI.
        let (before, after) = self.uri.split_once(token).unwrap_or((&self.uri, ""));
        let mut parts = vec![
            self.invite.kind.as_str(),
            before,
            after,
            &left,
            uses_left.as_deref().unwrap_or_default(),
            if self.can_register() { "form" } else { "" },
            self.platform,
        ];
        let stand_ins = &*STAND_INS;
        let blanks = [
            Blank::new(stand_ins.token.expose(), token),
            Blank::new(&stand_ins.until, &until),
            Blank::new(&stand_ins.until_iso, &until_iso),
        ];
        // Nobody knows what the operator's templates do with a text.
        let known = self.site.templates().are_built_in();
        if let [Some(token), Some(until), Some(until_iso)] = blanks
            && known
        {
            let blanks = [token, until, until_iso];
            shared_page(self.site, "invite.html", &parts, &blanks, || {
                self.with_stand_ins(stand_ins)
            })
        } else {
            parts.extend([token, &until_iso]);
            shared_page(self.site, "invite.html", &parts, &[], || {
                self.landing_context(self.invite_view())
            })
        }
    }

    /// What the landing page is rendered from for all links that are like this one.
    fn with_stand_ins(&self, stand_ins: &StandIns) -> minijinja::Value {
        let token = stand_ins.token.clone();
        let view = Self {
            uri: self.site.app.uri(&self.invite, &token),
            invite: self.invite.clone(),
            token,
            ..*self
        };
        let mut invite = view.invite_view();
        if invite.expires.is_some() {
            invite.expires = Some(stand_ins.until.clone());
            invite.expires_iso = Some(stand_ins.until_iso.clone());
        }
        view.landing_context(invite)
    }

    fn landing_context(&self, invite: InviteView) -> minijinja::Value {
        let (recommended, other_apps): (Vec<_>, Vec<_>) = self
            .apps()
            .into_iter()
            .partition(|app| app.platforms.iter().any(|name| name == self.platform));
        context! {
            invite => Serde(invite),
            qr_url => self.qr_url(),
            platform => self.platform,
            recommended => Serde(recommended),
            other_apps => Serde(other_apps),
            register_url => self.register_url(),
            page_url => self.page_url(),
        }
    }

    fn invite_view(&self) -> InviteView {
        InviteView::new(&self.invite, self.uri.clone(), self.now)
    }

    fn page_url(&self) -> String {
        self.site.host().landing_url(self.token.expose())
    }

    fn qr_url(&self) -> Option<String> {
        let (root, page) = (self.site.root(), &self.site.host().paths.invites_page);
        qr::fits(&self.page_url()).then(|| format!("{root}{page}/qr.svg?{}", self.token.expose()))
    }

    fn can_register(&self) -> bool {
        self.invite.allow_registration && self.site.host().registration_form
    }

    fn register_url(&self) -> Option<String> {
        self.can_register().then(|| {
            let host = self.site.host();
            format!(
                "{}{}?t={}",
                self.site.root(),
                host.paths.register,
                self.token.expose()
            )
        })
    }

    fn apps(&self) -> Vec<AppView> {
        let host = self.site.host();
        let targets = Targets {
            // A contact invite needs an account first; a store would lead past that.
            uri: (self.invite.allow_registration).then_some(self.uri.as_str()),
            token: self.token.expose(),
            base: self.site.root(),
            invites_page: &host.paths.invites_page,
            register: self.can_register().then_some(host.paths.register.as_str()),
            assets: self.site.assets(),
        };
        self.site
            .apps()
            .iter()
            .map(|app| app.view(&targets))
            .collect()
    }
}
