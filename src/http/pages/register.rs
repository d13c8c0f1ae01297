//! The registration form: a new account, or a new password, for whoever has an invite.

use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use minijinja::context;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};

use super::apps::{Targets, platform};
use super::{InviteView, add_page_headers, page, problem_page};
use crate::error::Error;
use crate::http::error::log;
use crate::http::{Peer, Site};
use crate::invite::{Invite, Kind};
use crate::jid::BareJid;
use crate::secret;
use crate::token::InviteToken;

/// What the form sends; the names are those of Prosody's form.
#[derive(Deserialize)]
pub struct Submission {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    app_id: String,
    #[serde(default)]
    csrf: String,
}

/// Complaints, each beside its field.
#[derive(Debug, Default, Serialize)]
struct Errors {
    form: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// `GET /register?t=TOKEN&c=APP`; `c` is the app that the visitor has chosen.
pub async fn form(
    State(site): State<Site>,
    axum::Extension(peer): axum::Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let (invite, token) = match find(&site, peer, &uri.to_string()).await {
        Ok(found) => found,
        Err(error) => return problem_page(&site, &error),
    };
    let app_id = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find_map(|(name, value)| (name == "c").then_some(value))
        .unwrap_or_default();
    let guard = Guard { secure: peer.https };
    let nonce = guard.nonce(&headers);
    let form = FormView {
        site: &site,
        invite: &invite,
        token: &token,
        app_id: &app_id,
        username: "",
        errors: Errors::default(),
    };
    let mut response = form.render(StatusCode::OK, &nonce);
    guard.set_cookie(&mut response, &nonce);
    response
}

/// `POST /register`.
pub async fn submit(
    State(site): State<Site>,
    headers: HeaderMap,
    axum::Extension(peer): axum::Extension<Peer>,
    Form(sent): Form<Submission>,
) -> Response {
    let (invite, token) = match find(&site, peer, &sent.token).await {
        Ok(found) => found,
        Err(error) => return problem_page(&site, &error),
    };
    let guard = Guard { secure: peer.https };
    let form = |errors| FormView {
        site: &site,
        invite: &invite,
        token: &token,
        app_id: &sent.app_id,
        username: &sent.user,
        errors,
    };
    if !guard.admits(&headers, &sent.csrf) {
        let nonce = guard.nonce(&headers);
        let mut response = form(Errors {
            form: Some(
                "The form was open for long, or cookies are off for this page. Send it again."
                    .into(),
            ),
            ..Errors::default()
        })
        .render(StatusCode::FORBIDDEN, &nonce);
        guard.set_cookie(&mut response, &nonce);
        return response;
    }
    match register(&site, token.expose(), &sent.user, &sent.password).await {
        Ok(address) => registered(&site, &invite, &sent.app_id, &address, &headers),
        Err(error) => {
            log(&error);
            match complaint(&error) {
                Some((status, errors)) => {
                    let mut response = form(errors).render(status, &sent.csrf);
                    if let Some(seconds) = error.retry_after() {
                        let seconds = HeaderValue::from(seconds);
                        response.headers_mut().insert(header::RETRY_AFTER, seconds);
                    }
                    response
                }
                None => problem_page(&site, &error),
            }
        }
    }
}

/// Runs to its end even if the visitor goes away meanwhile.
pub(in crate::http) async fn register(
    site: &Site,
    token: &str,
    user: &str,
    password: &str,
) -> Result<BareJid, Error> {
    let app = site.app.clone();
    let index = site.index;
    let (token, user, password) = (token.to_owned(), user.to_owned(), password.to_owned());
    tokio::spawn(async move {
        let host = &app.config.hosts[index];
        app.register(host, &token, &user, &password).await
    })
    .await
    .map_err(|e| Error::Internal(Box::new(e)))?
}

/// What the person can mend, and the answer's status; `None` if the invite itself is the matter.
fn complaint(error: &Error) -> Option<(StatusCode, Errors)> {
    let mut errors = Errors::default();
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match error {
        Error::Invalid {
            field: "password",
            reason,
        } => errors.password = Some(sentence(reason)),
        Error::Invalid { reason, .. } => errors.username = Some(sentence(reason)),
        Error::NameTaken => {
            errors.username = Some("This name is taken. Choose another one.".into());
        }
        Error::NameHeld | Error::NameMismatch => errors.username = Some(error.to_string()),
        Error::RegistrationUnknown(_) => {
            errors.form = Some(
                "The connection broke before the chat server answered. Try to log in with your app; \
                 if that fails, wait a minute and send the form again."
                    .into(),
            );
        }
        Error::InviteBusy
        | Error::RegistrationRefused(_)
        | Error::StoreBusy
        | Error::StoreUnavailable(_)
        | Error::TryLater(_)
        | Error::XmppUnavailable(_) => errors.form = Some(error.to_string()),
        _ => return None,
    }
    Some((status, errors))
}

/// A reason as a sentence of its own.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    let end = if reason.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", letters.as_str())
}

async fn find(site: &Site, peer: Peer, token: &str) -> Result<(Invite, InviteToken), Error> {
    if !site.host().registration_form {
        return Err(Error::NotFound);
    }
    let (invite, token) = site.look_up(peer, token).await.inspect_err(log)?;
    if invite.allow_registration {
        Ok((invite, token))
    } else {
        Err(Error::InviteNotForThis)
    }
}

/// The form, empty or with what was typed and what is wrong with it. Never the password.
struct FormView<'a> {
    site: &'a Site,
    invite: &'a Invite,
    token: &'a InviteToken,
    app_id: &'a str,
    username: &'a str,
    errors: Errors,
}

impl FormView<'_> {
    fn render(self, status: StatusCode, csrf: &str) -> Response {
        let host = self.site.host();
        let uri = self.site.app.uri(self.invite, self.token);
        let context = context! {
            invite => Serde(InviteView::new(self.invite, uri, self.site.app.clock.now())),
            action => format!("{}{}", self.site.root(), host.paths.register),
            token => self.token.expose(),
            app_id => self.app_id,
            csrf,
            values => context! { username => self.username },
            errors => Serde(self.errors),
            fixed_username => self.invite.fixed_name().map(ToString::to_string),
            password_min_length => host.password_policy.length,
            is_reset => self.invite.kind == Kind::Reset,
        };
        let mut response = page(self.site, status, "register.html", context);
        add_page_headers(&mut response);
        response
    }
}

fn registered(
    site: &Site,
    invite: &Invite,
    app_id: &str,
    address: &BareJid,
    headers: &HeaderMap,
) -> Response {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let platform = platform(agent);
    // The invite is used up, so an app's next step is its own page.
    let targets = Targets {
        uri: None,
        token: "",
        base: site.root(),
        invites_page: &site.host().paths.invites_page,
        register: None,
        assets: site.assets(),
    };
    let views = || {
        site.apps().iter().map(|app| {
            let mut view = app.view(&targets);
            view.proceed_kind = "store";
            view.proceed_url.clone_from(&app.link);
            view.setup_url = None;
            view
        })
    };
    let context = context! {
        address => address.to_string(),
        is_reset => invite.kind == Kind::Reset,
        app => Serde(views().find(|app| app.id == app_id)),
        recommended => Serde(
            views()
                .filter(|app| app.id != app_id && app.platforms.iter().any(|name| name == platform))
                .collect::<Vec<_>>(),
        ),
        platform,
    };
    let mut response = page(site, StatusCode::OK, "registered.html", context);
    add_page_headers(&mut response);
    response
}

/// Keeps other sites from sending our form: a random value in a cookie that other sites cannot
/// read must come back in the form (double submit).
struct Guard {
    secure: bool,
}

impl Guard {
    /// Over HTTPS the name itself forbids that another host of the domain sets the cookie
    /// (RFC 6265bis §4.1.3.2).
    fn name(&self) -> &'static str {
        if self.secure {
            "__Host-invited-form"
        } else {
            "invited-form"
        }
    }

    /// The value of the visitor's cookie, or a new one.
    fn nonce(&self, headers: &HeaderMap) -> String {
        self.cookie(headers)
            .filter(|value| value.len() == 24 && value.bytes().all(|b| b.is_ascii_alphanumeric()))
            .map_or_else(|| secret::random_alphanumeric(24), str::to_owned)
    }

    fn admits(&self, headers: &HeaderMap, sent: &str) -> bool {
        // Browsers that say where a request comes from are taken at their word.
        let foreign = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none");
        let equal = self.cookie(headers).is_some_and(|value| {
            !value.is_empty() && secret::equal(value.as_bytes(), sent.as_bytes())
        });
        !foreign && equal
    }

    fn cookie<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == self.name()).then_some(value))
    }

    fn set_cookie(&self, response: &mut Response, nonce: &str) {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!(
            "{}={nonce}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.name()
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str, site: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().expect("a header value"));
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        headers
    }

    #[test]
    fn only_our_own_form_is_taken() {
        let guard = Guard { secure: false };
        assert!(guard.admits(&headers("a=b; invited-form=n0nce", None), "n0nce"));
        assert!(guard.admits(&headers("invited-form=n0nce", Some("same-origin")), "n0nce"));
        assert!(!guard.admits(&headers("invited-form=n0nce", Some("cross-site")), "n0nce"));
        assert!(!guard.admits(&headers("invited-form=n0nce", None), "other"));
        assert!(!guard.admits(&headers("invited-form=", None), ""));
        assert!(!guard.admits(&HeaderMap::new(), ""));
    }

    #[test]
    fn reasons_become_sentences() {
        assert_eq!(
            sentence("use at least 8 characters"),
            "Use at least 8 characters."
        );
        assert_eq!(sentence("Done."), "Done.");
    }
}
