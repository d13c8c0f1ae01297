//! Which web pages elsewhere may read our answers (Fetch §3.3): one place for all apps. What holds
//! for which app is in `config/cors.rs`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::config::cors::{App, Cors, Origins};
use crate::config::{Host, INVITES_PAGE};

/// The apps of one host and what holds for them.
#[derive(Debug)]
pub(super) struct Apps(Vec<(String, Option<Answer>)>);

/// One app's headers, ready to send.
#[derive(Debug)]
pub(super) struct Answer {
    methods: HeaderValue,
    headers: HeaderValue,
    origins: Origins,
    credentials: bool,
    max_age: HeaderValue,
}

impl Apps {
    pub(super) fn new(host: &Host) -> Self {
        let paths = &host.paths;
        let mut mounted: Vec<_> = [
            (App::AdminApi, paths.admin_api.as_str()),
            (App::Api, "/api"),
            (App::InvitesApi, &paths.invites_api),
            (App::InvitesPage, INVITES_PAGE),
            (App::InvitesPage, &paths.invites_page),
            (App::InvitesRegisterApi, &paths.invites_register_api),
            (App::Register, &paths.register),
            (App::RegisterApps, &paths.register_apps),
        ]
        .into_iter()
        .map(|(app, path)| (path.to_owned(), host.cors.get(&app).map(Answer::new)))
        .collect();
        // The first one that fits is to be the longest one.
        mounted.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounted)
    }

    /// What the readers' browsers must know of an answer of the app at `path`, if anything.
    pub(super) fn at(&self, path: &str) -> Option<&Answer> {
        let app = self.0.iter().find(|(mount, _)| {
            path.strip_prefix(mount.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        app?.1.as_ref()
    }
}

impl Answer {
    fn new(cors: &Cors) -> Self {
        let list = |words: &[String]| {
            HeaderValue::try_from(words.join(", ")).expect("names are letters, digits and signs")
        };
        Self {
            methods: list(&cors.methods),
            headers: list(&cors.headers),
            origins: cors.origins.clone(),
            credentials: cors.credentials,
            max_age: cors.max_age.into(),
        }
    }

    /// Adds it, and answers browsers when they ask in advance.
    pub(super) fn apply(
        &self,
        is_options: bool,
        origin: Option<&HeaderValue>,
        mut response: Response,
    ) -> Response {
        // An address that there is, and whose app has nothing of its own to say to OPTIONS.
        if is_options && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response = Response::new(Body::empty());
        }
        self.add(origin, response.headers_mut());
        response
    }

    fn add(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if origin.is_some() || self.origins != Origins::Any {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if !self.allows(origin) {
            return;
        }
        let origin = origin.cloned().unwrap_or(HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if self.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        // Web clients turn the address of an invite into its URI by this header (XEP-0379 §4).
        if headers.contains_key(header::LINK) {
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("Link"),
            );
        }
    }

    fn allows(&self, origin: Option<&HeaderValue>) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Only(known) => origin
                .and_then(|origin| origin.to_str().ok())
                .is_some_and(|origin| known.iter().any(|known| known == origin)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;
    use crate::config::Config;

    const THERE: Option<&str> = Some("https://there.example");

    /// The names and values that say who may read, of an answer with status 200.
    fn answer(options: &str, method: &Method, path: &str, origin: Option<&str>) -> Response {
        answer_to(StatusCode::OK, options, method, path, origin)
    }

    fn answer_to(
        status: StatusCode,
        options: &str,
        method: &Method,
        path: &str,
        origin: Option<&str>,
    ) -> Response {
        let text = format!("{options}\n[hosts.\"a.example\"]");
        let config =
            Config::parse("invited.toml".as_ref(), &text).expect("the configuration is good");
        let origin = origin.map(|origin| HeaderValue::try_from(origin).expect("a header value"));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        match Apps::new(&config.hosts[0]).at(path) {
            Some(answer) => answer.apply(*method == Method::OPTIONS, origin.as_ref(), response),
            None => response,
        }
    }

    fn origin_of(response: &Response) -> Option<&str> {
        response
            .headers()
            .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?
            .to_str()
            .ok()
    }

    #[test]
    fn an_origin_is_echoed_and_without_one_it_is_any() {
        let response = answer("", &Method::GET, "/invites_api", None);
        assert_eq!(origin_of(&response), Some("*"));
        assert!(!response.headers().contains_key(header::VARY));
        let response = answer("", &Method::GET, "/invites_api", THERE);
        assert_eq!(origin_of(&response), THERE);
        assert_eq!(response.headers()[header::VARY], "Origin");
    }

    #[test]
    fn only_written_origins_may_read() {
        let options = "access_control_allow_origins = [\"https://there.example\"]";
        let origin = |origin| {
            origin_of(&answer(options, &Method::GET, "/register", origin)).map(str::to_owned)
        };
        assert_eq!(origin(THERE).as_deref(), THERE);
        assert_eq!(origin(Some("https://elsewhere.example")), None);
        assert_eq!(origin(Some("https://there.example.evil.example")), None);
        assert_eq!(origin(None), None);
        let refused = answer(options, &Method::GET, "/register", None);
        assert_eq!(refused.headers()[header::VARY], "Origin");
    }

    #[test]
    fn the_app_with_the_longest_path_counts() {
        let options = "http_paths = { invites_page = \"/i\", register = \"/i/new\" }\n\
                       http_cors_override.register.enabled = false";
        let origin =
            |path| origin_of(&answer(options, &Method::GET, path, None)).map(str::to_owned);
        assert_eq!(origin("/i").as_deref(), Some("*"));
        assert_eq!(origin("/i/setup/dino").as_deref(), Some("*"));
        assert_eq!(origin("/i/new"), None);
        assert_eq!(origin("/ix"), None);
        assert_eq!(origin("/"), None);
    }

    #[test]
    fn options_is_answered_where_there_is_an_address_and_nowhere_else() {
        let status = |status, options| {
            answer_to(status, options, &Method::OPTIONS, "/register", None).status()
        };
        let (refused, unknown) = (StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND);
        assert_eq!(status(refused, ""), StatusCode::OK);
        assert_eq!(status(unknown, ""), unknown);
        assert_eq!(
            status(refused, "http_default_cors_enabled = false"),
            refused
        );
    }

    #[test]
    fn credentials_and_age_are_told_as_written() {
        let options = "access_control_allow_credentials = true\naccess_control_max_age = 60";
        let response = answer(options, &Method::GET, "/register", THERE);
        let headers = response.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[header::ACCESS_CONTROL_MAX_AGE], "60");
    }
}
