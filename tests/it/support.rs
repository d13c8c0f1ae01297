//! A desk without listeners: a real SQLite file, a clock that stands still until it is moved.

pub(crate) mod postgres;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use invited::api_key::Scope;
use invited::app::{App, By, Created, NewKey};
use invited::clock::Clock;
use invited::config::{Config, Host};
use invited::http::{Front, Peer};
use invited::invite::NewInvite;
use invited::store::{ListInvites, PostgresAddress, Store};
use invited::token::Sealer;
use serde_json::Value;
use tempfile::TempDir;

/// Where every manual clock begins: 2027-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_798_761_600;

/// The parts below the doors. Nobody listens; no XMPP server is there.
pub(crate) struct Desk {
    pub(crate) app: App,
    pub(crate) folder: TempDir,
}

/// Makes two tests of one: the same case on each engine.
#[macro_export]
macro_rules! on_both_engines {
    ($(async fn $name:ident($desk:ident: Desk $(, $options:literal)?) $case:block)*) => {$(
        mod $name {
            use super::*;

            async fn case($desk: Desk) $case

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                case(Desk::with(concat!($($options)?))).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                case(Desk::on_postgres(concat!($($options)?)).await).await;
            }
        }
    )*};
}

impl Desk {
    /// Two hosts, `chat.example` and `other.example`, on SQLite.
    pub(crate) fn open() -> Self {
        Self::with("")
    }

    /// The same with more options.
    pub(crate) fn with(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open_sqlite(&folder.path().join("invited.sqlite"));
        Self {
            app: app(folder.path(), options, store.expect("the store opens")),
            folder,
        }
    }

    /// The same on PostgreSQL, with a database of its own.
    pub(crate) async fn on_postgres(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = postgres::Server::get().new_database().await;
        Self {
            app: app(folder.path(), options, open_postgres(&url).await),
            folder,
        }
    }

    pub(crate) fn host(&self) -> &Host {
        self.app
            .config
            .host("chat.example")
            .expect("it is configured")
    }

    #[track_caller]
    pub(crate) fn invite(
        &self,
        change: impl FnOnce(&mut NewInvite),
    ) -> impl Future<Output = Created> {
        let mut new = NewInvite::account();
        change(&mut new);
        async move {
            self.app
                .create_invite(self.host(), new, By::Operator)
                .await
                .expect("the invite is made")
        }
    }
}

/// Another process on the same folder, as the command line is.
pub(crate) fn app_in(folder: &Path) -> App {
    let store = Store::open_sqlite(&folder.join("invited.sqlite")).expect("the store opens");
    app(folder, "", store)
}

/// Another node on the same database.
pub(crate) async fn open_postgres(url: &str) -> Store {
    let address = PostgresAddress::new(url, None, None).expect("a good address");
    Store::open_postgres(address)
        .await
        .expect("the store opens")
}

/// The parts above a store.
pub(crate) fn app(folder: &Path, options: &str, store: Store) -> App {
    let text = format!("{options}\n[hosts.\"chat.example\"]\n[hosts.\"other.example\"]\n");
    let config = Config::parse(&folder.join("invited.toml"), &text).expect("it is good");
    App::new(
        store,
        Clock::manual(START),
        Arc::new(config),
        Sealer::new(&[7; 32]),
    )
}

/// The real router without a socket, and a key of each scope.
pub(crate) struct TestServer {
    pub(crate) desk: Desk,
    front: Front,
    pub(crate) admin: String,
    pub(crate) creator: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null if it is not JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The stable code of a refusal.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// The field that was refused.
    pub(crate) fn field(&self) -> &str {
        self.json["field"].as_str().unwrap_or_default()
    }
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::at(Desk::open()).await
    }

    pub(crate) async fn at(desk: Desk) -> Self {
        let mut keys = Vec::new();
        for scope in [Scope::Admin, Scope::Create] {
            let new = NewKey {
                scopes: vec![scope],
                ..NewKey::default()
            };
            let key = desk.app.create_key(desk.host(), new).await;
            keys.push(key.expect("a key").full_text());
        }
        let front = Front::new(&desk.app).expect("the templates are good");
        let [admin, creator] = keys.try_into().expect("two keys");
        Self {
            desk,
            front,
            admin,
            creator,
        }
    }

    /// Sends a request to `chat.example` from 192.0.2.1, unless `headers` say otherwise.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.send_from("192.0.2.1", method, path, headers, body)
            .await
    }

    pub(crate) async fn send_from(
        &self,
        ip: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let is_host = |(name, _): &(&str, &str)| *name == "Host";
        let headers = if headers.iter().any(is_host) {
            headers.to_vec()
        } else {
            [&[("Host", "chat.example")], headers].concat()
        };
        self.send_bare_from(ip, method, path, &headers, body).await
    }

    /// A request from 192.0.2.1 with these headers and no other.
    pub(crate) async fn send_bare(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send_bare_from("192.0.2.1", method, path, headers, "")
            .await
    }

    async fn send_bare_from(
        &self,
        ip: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let peer = Peer {
            ip: ip.parse().expect("an address"),
            https: false,
        };
        let (head, body) = self.front.dispatch(request, peer).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a whole body");
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8_lossy(&body).into_owned(),
            json: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    /// A request with the admin's key and a JSON body, unless that is null.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with(&self.admin, method, path, body).await
    }

    pub(crate) async fn ask_with(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, path, &headers, body).await
    }

    /// An invite made by the API.
    pub(crate) async fn create(&self, body: Value) -> Value {
        let answer = self.ask("POST", "/api/v1/invites", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json
    }

    /// How many invites there are.
    pub(crate) async fn count(&self) -> usize {
        let all = ListInvites {
            limit: 100_000,
            ..ListInvites::default()
        };
        let list = self.desk.app.list_invites(self.desk.host(), &all).await;
        list.expect("a list").invites.len()
    }

    /// Gives an account out of an invite, as the XMPP server does.
    pub(crate) async fn register(&self, token: &str, name: &str) {
        let (app, host) = (&self.desk.app, self.desk.host());
        let id = app.reserve(host, token, name, name).await.expect("a use");
        app.confirm(host, id).await.expect("confirmed");
    }
}
