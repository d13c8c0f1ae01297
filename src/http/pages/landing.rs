//! The landing page of an invite (XEP-0401 §4, XEP-0379) and the set-up page of an app.

use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Serde;

use super::apps::{AppView, Targets, platform};
use super::{InviteView, add_page_headers, finish, page, problem_page, qr, shared_page};
use crate::clock::span_text;
use crate::error::Error;
use crate::http::error::log;
use crate::http::{Peer, Site};
use crate::invite::Invite;
use crate::token::InviteToken;

/// `GET /invite?TOKEN`.
pub async fn landing(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let view = match View::find(&site, peer, query.as_deref(), &headers).await {
        Ok(view) => view,
        Err(error) => return problem_page(&site, &error),
    };
    let register_url = view.register_url();
    let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
    let (ends, now) = (view.invite.expires_at, site.app.clock.now());
    // Everything else follows from these and the configuration: the URI has the names in it, and the
    // apps have the URI.
    let parts = [
        view.invite.kind.as_str(),
        &view.uri,
        &number(ends.map(|end| end.0)),
        &ends.map_or_else(String::new, |end| span_text(end.0 - now.0)),
        &number(view.invite.uses_left()),
        register_url.as_deref().unwrap_or_default(),
        &view.page_url,
        view.platform,
    ];
    let html = shared_page(&site, "invite.html", &parts, || {
        let apps = view.apps();
        let (recommended, other_apps): (Vec<_>, Vec<_>) = apps
            .into_iter()
            .partition(|app| app.platforms.iter().any(|name| name == view.platform));
        context! {
            invite => Serde(view.invite_view()),
            qr_svg => qr::svg(&view.page_url, "QR code of this page"),
            platform => view.platform,
            recommended => Serde(recommended),
            other_apps => Serde(other_apps),
            register_url => &register_url,
            page_url => &view.page_url,
        }
    });
    let mut response = finish(StatusCode::OK, html);
    add_page_headers(&mut response);
    if let Ok(link) = HeaderValue::try_from(format!("<{}>; rel=\"alternate\"", view.uri)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `GET /invite/setup/APP?TOKEN`.
pub async fn setup(
    State(site): State<Site>,
    Path(app_id): Path<String>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let view = match View::find(&site, peer, query.as_deref(), &headers).await {
        Ok(view) => view,
        Err(error) => return problem_page(&site, &error),
    };
    let Some(app) = view.apps().into_iter().find(|app| app.id == app_id) else {
        return problem_page(&site, &Error::NotFound);
    };
    let context = context! {
        invite => Serde(view.invite_view()),
        app => Serde(app),
        qr_svg => qr::svg(&view.page_url, "QR code of the invite"),
        register_url => view.register_url(),
        platform => view.platform,
        page_url => view.page_url,
    };
    let mut response = page(&site, StatusCode::OK, "setup.html", context);
    add_page_headers(&mut response);
    response
}

/// An invite that can be used, seen by one visitor.
struct View<'a> {
    site: &'a Site,
    invite: Invite,
    token: InviteToken,
    uri: String,
    page_url: String,
    platform: &'static str,
}

impl<'a> View<'a> {
    async fn find(
        site: &'a Site,
        peer: Peer,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        let token = token_in_query(query.unwrap_or_default());
        let (invite, token) = site.look_up(peer, token).await.inspect_err(log)?;
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        Ok(Self {
            uri: site.app.uri(&invite, &token),
            page_url: site.host().landing_url(token.expose()),
            platform: platform(agent),
            site,
            invite,
            token,
        })
    }

    fn invite_view(&self) -> InviteView {
        InviteView::new(&self.invite, self.uri.clone(), self.site.app.clock.now())
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
            uri: &self.uri,
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

/// The part of the query that is the token: what others append to links (`&utm_source=…`) or put
/// before is no part of it.
fn token_in_query(query: &str) -> &str {
    query
        .split('&')
        .find(|part| !part.is_empty() && !part.contains('='))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_others_add_do_not_hide_the_token() {
        for query in ["tok-en", "tok-en&utm=x", "fbclid=1&tok-en&b=2", "tok-en&"] {
            assert_eq!(token_in_query(query), "tok-en", "{query}");
        }
        assert_eq!(token_in_query(""), "");
        assert_eq!(token_in_query("a=b"), "");
    }
}
