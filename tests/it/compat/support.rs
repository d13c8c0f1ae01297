//! The public router of a desk, asked without a socket. The XMPP server's port is closed.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use invited::api_key::Scope;
use invited::app::{App, By, Created, NewKey};
use invited::clock::Clock;
use invited::config::{Config, Host};
use invited::http::{Front, Peer};
use invited::invite::NewInvite;
use invited::store::{ListInvites, Store};
use invited::token::Sealer;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::START;

/// Nobody listens on port 1.
const CONFIG: &str = r#"
site_name = "Example"
http_external_url = "https://chat.example/"
[hosts."chat.example"]
[hosts."chat.example".xmpp]
address = "127.0.0.1:1"
[hosts."other.example"]
"#;

pub(super) struct Site {
    pub(super) app: App,
    front: Front,
    _folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// What both portals read of a refusal; Prose wants all of it, of these types. `reason` and `field` are ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    #[serde(rename = "type")]
    kind: String,
    code: u16,
    error: StanzaError,
    reason: String,
    field: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StanzaError {
    #[serde(rename = "type")]
    kind: String,
    condition: String,
    text: String,
}

impl Reply {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }

    /// Asserts a refusal; the field that it names, if it names one.
    #[track_caller]
    pub(super) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let refusal: Refusal = serde_json::from_value(self.json()).expect("a refusal");
        assert_eq!((refusal.code, refusal.kind.as_str()), (status, "error"));
        for word in [
            &refusal.error.kind,
            &refusal.error.condition,
            &refusal.error.text,
            &refusal.reason,
        ] {
            assert!(!word.is_empty(), "{self:?}");
        }
        refusal.field.unwrap_or_default()
    }
}

impl Site {
    /// Two hosts, `chat.example` and `other.example`.
    pub(super) fn open() -> Self {
        Self::open_with("")
    }

    /// The same with more options at the top of the file.
    pub(super) fn open_with(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("invited.toml");
        let text = format!("data_path = \".\"\n{options}\n{CONFIG}");
        let config = Config::parse(&path, &text).expect("a good configuration");
        std::fs::write(&config.bridge.secret_file, "bridge-secret\n").expect("a secret");
        let store =
            Store::open_sqlite(&folder.path().join("invited.sqlite")).expect("the store opens");
        let app = App::new(
            store,
            Clock::manual(START),
            Arc::new(config),
            Sealer::new(&[7; 32]),
        );
        Self {
            front: Front::new(&app).expect("the pages load"),
            app,
            _folder: folder,
        }
    }

    pub(super) fn host(&self, name: &str) -> &Host {
        self.app.config.host(name).expect("it is configured")
    }

    pub(super) async fn invite_at(
        &self,
        host: &str,
        change: impl FnOnce(&mut NewInvite),
    ) -> Created {
        let mut new = NewInvite::account();
        change(&mut new);
        self.app
            .create_invite(self.host(host), new, By::Operator)
            .await
            .expect("the invite is made")
    }

    pub(super) async fn invite(&self, change: impl FnOnce(&mut NewInvite)) -> Created {
        self.invite_at("chat.example", change).await
    }

    pub(super) async fn key(&self, host: &str, scope: Scope) -> String {
        let new = NewKey {
            scopes: vec![scope],
            ..NewKey::default()
        };
        let key = self.app.create_key(self.host(host), new).await;
        key.expect("the key is made").full_text()
    }

    /// How many invites of `chat.example` there are, in whatever state.
    pub(super) async fn invites(&self) -> usize {
        let which = ListInvites {
            limit: 1_000,
            ..ListInvites::default()
        };
        let page = self
            .app
            .list_invites(self.host("chat.example"), &which)
            .await;
        page.expect("the list").invites.len()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self
            .front
            .dispatch(
                request,
                Peer {
                    ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    https: false,
                },
            )
            .await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).expect("the body is text"),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path)).await
    }
}

pub(super) fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "chat.example")
        .body(Body::empty())
        .expect("a good request")
}

/// A request with a JSON body.
pub(super) fn json_request(method: Method, path: &str, body: &str) -> Request<Body> {
    let mut request = request(method, path);
    let value = "application/json".parse().expect("a header value");
    request.headers_mut().insert("content-type", value);
    *request.body_mut() = Body::from(body.to_owned());
    request
}

/// The word for a value's type.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
