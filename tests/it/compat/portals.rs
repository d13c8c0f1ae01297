//! Portals that were not written for us: what they send, byte for byte, and what they demand of answers.
//!
//! Neither is a package that can be installed, so their requests and their readers are written down here as facts:
//! Snikket's web portal at 537a8d3 and Prose's `prosody_http` at b4f5eb9, both seen at work.

use axum::body::Body;
use axum::http::{Method, Request};
use invited::api_key::Scope;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::support::{Reply, Site, request};
use crate::support::START;

/// What Snikket's portal reads; it asks for more, but can do without.
#[derive(Debug, Deserialize)]
struct SnikketInvite {
    id: String,
    r#type: String,
    jid: String,
    created_at: f64,
    expires: f64,
    reusable: bool,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    note: Option<String>,
}

/// What Prose's client reads. Nothing may be missing or of another type, but for what is optional.
#[derive(Debug, Deserialize)]
struct ProseInvite {
    id: String,
    r#type: String,
    reusable: bool,
    #[expect(dead_code, reason = "it has to be readable")]
    inviter: Option<String>,
    jid: String,
    uri: String,
    #[expect(dead_code, reason = "it has to be readable")]
    landing_page: Option<String>,
    created_at: i64,
    expires: i64,
    groups: Vec<String>,
    roles: Vec<String>,
    source: Option<String>,
    reset: bool,
    note: Option<String>,
    additional_data: Map<String, Value>,
}

const SNIKKET: &[(&str, &str)] = &[
    ("accept", "application/json"),
    ("content-type", "application/json"),
];
const PROSE: &[(&str, &str)] = &[
    ("accept", "application/json"),
    ("content-type", "application/json; charset=utf-8"),
];

async fn send(
    site: &Site,
    key: &str,
    headers: &[(&str, &str)],
    method: Method,
    path: &str,
    body: &str,
) -> Reply {
    let mut asked = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "chat.example")
        .header("authorization", format!("Bearer {key}"));
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    let asked = asked.body(Body::from(body.to_owned())).expect("a request");
    site.send(asked).await
}

#[tokio::test]
async fn snikkets_portal_makes_every_kind_of_invite() {
    let site = Site::open();
    let key = site.key("chat.example", Scope::Admin).await;
    for (kind, body, expires, reusable, jid) in [
        (
            "account",
            r#"{"groups": ["family"], "roles": ["prosody:registered"], "ttl": "604800", "note": ""}"#,
            604_800,
            false,
            "chat.example",
        ),
        (
            "group",
            r#"{"groups": ["family"], "roles": [], "ttl": "3600", "note": "x"}"#,
            3_600,
            true,
            "chat.example",
        ),
        (
            "reset",
            r#"{"username": "kim", "ttl": 86400}"#,
            86_400,
            false,
            "kim@chat.example",
        ),
        (
            "account",
            r#"{"groups": [], "roles": [], "username": "lena"}"#,
            604_800,
            false,
            "lena@chat.example",
        ),
    ] {
        let path = format!("/admin_api/invites/{kind}");
        let reply = send(&site, &key, SNIKKET, Method::POST, &path, body).await;
        assert_eq!(reply.status, 200, "{body}: {reply:?}");
        let made: SnikketInvite = serde_json::from_value(reply.json()).expect("an invite");
        let start = f64::from(i32::try_from(START).expect("it is not 2038 yet"));
        assert!((made.created_at - start).abs() < 0.5, "{made:?}");
        assert!(
            (made.expires - start - f64::from(expires)).abs() < 0.5,
            "{made:?}"
        );
        assert_eq!(
            (made.reusable, made.jid.as_str()),
            (reusable, jid),
            "{body}"
        );
        assert_eq!(made.r#type, "register");
        let asked: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            json!(made.groups),
            asked.get("groups").cloned().unwrap_or(json!([]))
        );
        assert_eq!(
            json!(made.roles),
            asked.get("roles").cloned().unwrap_or(json!([]))
        );
        assert_eq!(made.note, (kind == "group").then(|| "x".to_owned()));
        assert!(!made.id.is_empty());
    }
}

#[tokio::test]
async fn what_was_left_empty_in_a_form_is_absent() {
    let site = Site::open();
    let key = site.key("chat.example", Scope::Admin).await;
    let body = r#"{"username": "", "note": "", "groups": [], "roles": [], "ttl": "60"}"#;
    let reply = send(
        &site,
        &key,
        SNIKKET,
        Method::POST,
        "/admin_api/invites/account",
        body,
    )
    .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let made = reply.json();
    assert_eq!(made["jid"], "chat.example");
    assert_eq!(made["expires"], START + 60);
    assert_eq!(made.get("note"), None);
}

#[tokio::test]
async fn proses_client_makes_lists_shows_and_deletes() {
    let site = Site::open();
    let key = site.key("chat.example", Scope::Admin).await;
    let prose = |method, path: String, body| {
        let (site, key) = (&site, &key);
        async move { send(site, key, PROSE, method, &path, body).await }
    };
    let path = "/admin_api/invites";
    let body = "{\n  \"username\": \"theo\",\n  \"ttl\": 259200,\n  \"groups\": [\n    \"team\"\n  ],\n  \"roles\": [\n    \
                \"prosody:registered\"\n  ],\n  \"additional_data\": {\n    \"email\": \"p@mail.example\"\n  }\n}";
    let reply = prose(Method::POST, format!("{path}/account"), body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let made: ProseInvite = serde_json::from_value(reply.json()).expect("an invite");
    assert_eq!(made.additional_data["email"], "p@mail.example");
    assert_eq!(
        (made.groups, made.roles),
        (vec!["team".into()], vec!["prosody:registered".into()])
    );
    assert_eq!((made.created_at, made.expires), (START, START + 259_200));
    assert_eq!((made.reset, made.reusable, made.note), (false, false, None));
    assert_eq!(made.jid, "theo@chat.example");
    assert!(
        made.uri
            .starts_with("xmpp:theo@chat.example?register;preauth="),
        "{}",
        made.uri
    );
    assert_eq!(made.r#type, "register");
    assert!(made.source.is_some());

    prose(Method::POST, format!("{path}/account"), body)
        .await
        .refused(409);
    let body = "{\n  \"username\": \"kim\",\n  \"additional_data\": {}\n}";
    let reply = prose(Method::POST, format!("{path}/reset"), body).await;
    let reset: ProseInvite = serde_json::from_value(reply.json()).expect("an invite");
    assert!(reset.reset && reset.additional_data.is_empty());

    let reply = prose(Method::GET, path.to_owned(), "").await;
    let listed: Vec<ProseInvite> = serde_json::from_value(reply.json()).expect("a list");
    assert_eq!(listed.len(), 2);
    let id = format!("{path}/{}", made.id);
    let reply = prose(Method::GET, id.clone(), "").await;
    serde_json::from_value::<ProseInvite>(reply.json()).expect("an invite");
    let reply = prose(Method::DELETE, id.clone(), "").await;
    assert_eq!(reply.status, 200);
    serde_json::from_value::<()>(reply.json()).expect("JSON that says nothing");
    prose(Method::GET, id, "").await.refused(404);
    prose(Method::DELETE, format!("{path}/unknown-unknown"), "")
        .await
        .refused(404);
}

#[tokio::test]
async fn whoever_has_a_token_is_served_by_both() {
    let site = Site::open();
    let token = site.invite(|_| {}).await.token;
    for (headers, body) in [
        (
            SNIKKET,
            json!({"username": "theo", "password": "Nine lives, one cat", "token": token.expose()}),
        ),
        (
            PROSE,
            json!({"password": "Nine lives, one cat", "token": token.expose(), "username": "theo"}),
        ),
    ] {
        let path = format!("/register_api/invite/{}", token.expose());
        let shown = send(&site, "", &headers[..1], Method::GET, &path, "")
            .await
            .json();
        assert_eq!(shown["domain"], "chat.example");
        assert_eq!(shown["additional_data"], json!({}));
        // No chat server is there, so it cannot be done; but it was read.
        let path = "/register_api/register";
        let reply = send(&site, "", headers, Method::POST, path, &body.to_string()).await;
        reply.refused(503);
    }
}

#[tokio::test]
async fn every_refusal_of_these_doors_has_the_form_that_portals_read() {
    let site = Site::open_with("failures_per_minute = 3");
    let key = site.key("chat.example", Scope::Admin).await;
    let small = site.key("chat.example", Scope::Create).await;
    let (create, register) = ("/admin_api/invites/account", "/register_api/register");
    let unknown =
        json!({"token": "unknown-unknown", "username": "theo", "password": "Nine lives, one cat"});
    for (status, key, method, path, headers, body) in [
        // No route, no method.
        (404, &key, Method::GET, "/admin_api", SNIKKET, ""),
        (404, &key, Method::GET, "/admin_api/", SNIKKET, ""),
        (404, &key, Method::GET, "/admin_api/users", SNIKKET, ""),
        (
            404,
            &key,
            Method::POST,
            "/admin_api/invites/account/x",
            SNIKKET,
            "{}",
        ),
        (404, &key, Method::GET, "/register_api/nowhere", SNIKKET, ""),
        (405, &key, Method::PUT, "/admin_api/invites", SNIKKET, "{}"),
        (405, &key, Method::PATCH, create, SNIKKET, "{}"),
        (405, &key, Method::GET, register, SNIKKET, ""),
        // An address that is no text.
        (
            404,
            &key,
            Method::GET,
            "/admin_api/invites/%FF",
            SNIKKET,
            "",
        ),
        (
            404,
            &key,
            Method::DELETE,
            "/admin_api/invites/%FF",
            SNIKKET,
            "",
        ),
        (
            404,
            &key,
            Method::GET,
            "/register_api/invite/%FF",
            SNIKKET,
            "",
        ),
        // No right.
        (403, &small, Method::GET, "/admin_api/invites", SNIKKET, ""),
        (403, &small, Method::POST, create, PROSE, "{}"),
        // No form.
        (
            400,
            &key,
            Method::POST,
            create,
            &[("content-type", "text/plain")],
            "{}",
        ),
        (
            400,
            &key,
            Method::POST,
            create,
            &[("accept", "application/json")],
            "{}",
        ),
        (400, &key, Method::POST, create, PROSE, "{"),
        (400, &key, Method::POST, create, PROSE, "[]"),
        (
            400,
            &key,
            Method::POST,
            create,
            SNIKKET,
            r#"{"ttl": "soon"}"#,
        ),
        (400, &key, Method::POST, register, SNIKKET, "{}"),
        (400, &key, Method::POST, register, SNIKKET, ""),
        // No such thing.
        (
            404,
            &key,
            Method::GET,
            "/admin_api/invites/unknown-unknown",
            PROSE,
            "",
        ),
        (
            404,
            &key,
            Method::POST,
            register,
            SNIKKET,
            &unknown.to_string(),
        ),
        // No key; and then too many.
        (
            401,
            &"x/y".to_owned(),
            Method::GET,
            "/admin_api/invites",
            SNIKKET,
            "",
        ),
        (401, &"x/y".to_owned(), Method::POST, create, PROSE, "{}"),
        (
            429,
            &"x/y".to_owned(),
            Method::GET,
            "/admin_api/invites",
            SNIKKET,
            "",
        ),
        (
            429,
            &key,
            Method::POST,
            register,
            SNIKKET,
            &unknown.to_string(),
        ),
    ] {
        let reply = send(&site, key, headers, method, path, body).await;
        assert_eq!(reply.status, status, "{path} {body}: {reply:?}");
        reply.refused(status);
        for header in match status {
            401 => &["www-authenticate"][..],
            405 => &["allow"],
            429 => &["retry-after"],
            _ => &[],
        } {
            assert!(reply.headers.contains_key(*header), "{path}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_large_body_is_refused_for_its_size_or_its_fields_and_never_as_a_text() {
    let site = Site::open();
    let key = site.key("chat.example", Scope::Admin).await;
    let note = json!({"note": "x".repeat(3 << 20)}).to_string();
    let reply = send(
        &site,
        &key,
        PROSE,
        Method::POST,
        "/admin_api/invites/account",
        &note,
    )
    .await;
    assert_eq!(reply.refused(400), "note");
    let reply = send(
        &site,
        &key,
        PROSE,
        Method::POST,
        "/register_api/register",
        &note,
    )
    .await;
    assert_eq!(reply.refused(400), "token");
}

#[tokio::test]
async fn a_host_that_is_not_here_is_refused_in_the_form_of_the_door() {
    let site = Site::open();
    for (host, status) in [(Some("elsewhere.example"), 404), (None, 400)] {
        let ask = |path: &str| {
            let mut asked = request(Method::GET, path);
            match host {
                Some(host) => asked
                    .headers_mut()
                    .insert("host", host.parse().expect("a name")),
                None => asked.headers_mut().remove("host"),
            };
            asked
        };
        site.send(ask("/admin_api/invites")).await.refused(status);
        site.send(ask("/register_api/invite/x"))
            .await
            .refused(status);
        let reply = site.send(ask("/api/v1/invites")).await;
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(reply.status, status);
    }
}
