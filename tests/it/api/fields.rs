//! Every field of every operation, with what must not be taken: a clear error names the field, and
//! nothing is stored.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Fields of an invite, what goes along with them, and values that are refused.
fn bad_invite_fields() -> Vec<(&'static str, Value, Vec<Value>)> {
    let long = |n| json!("x".repeat(n));
    let numbers = [json!(0), json!(-1), json!(1.5), json!(1e300), json!(true)];
    let with = |more: &[Value]| [&numbers[..], more].concat();
    let many: Vec<String> = (0..21).map(|n| format!("r{n}")).collect();
    let big = json!({ "x": "y".repeat(9_000) });
    let names = |more: Value| {
        vec![
            json!("admin"),
            json!([1]),
            json!([""]),
            json!(["x".repeat(101)]),
            json!(["two\nlines"]),
            json!({"admin": true}),
            more,
        ]
    };
    vec![
        (
            "kind",
            json!({}),
            vec![
                json!(1),
                json!("Account"),
                json!(""),
                json!("аccount"),
                json!(["account"]),
            ],
        ),
        (
            "username",
            json!({}),
            vec![
                json!(5),
                json!(""),
                json!("a b"),
                json!("a@b"),
                json!("theo@other.example"),
                json!("tһeo"),
                json!("thé"),
                json!("-theo"),
                json!("\u{0}"),
                json!(["theo"]),
                long(65),
                long(2_000),
            ],
        ),
        (
            "username",
            json!({"kind": "reset"}),
            vec![json!(null), json!(""), json!("a b"), long(2_000)],
        ),
        (
            "username",
            json!({"kind": "contact", "inviter": "nora"}),
            vec![json!("theo")],
        ),
        ("inviter", json!({}), vec![json!("nora")]),
        (
            "inviter",
            json!({"kind": "contact"}),
            vec![
                json!(null),
                json!(5),
                json!(""),
                json!("nora@other.example"),
                json!("n ora"),
                long(2_000),
            ],
        ),
        (
            "allow_registration",
            json!({}),
            vec![json!("yes"), json!(1), json!(false)],
        ),
        (
            "max_uses",
            json!({}),
            with(&[json!("5"), json!(1_000_001), json!(u64::MAX), json!([1])]),
        ),
        (
            "max_uses",
            json!({"username": "theo"}),
            vec![json!(2), json!(null)],
        ),
        (
            "max_uses",
            json!({"kind": "reset", "username": "theo"}),
            vec![json!(2), json!(null)],
        ),
        (
            "expires_in",
            json!({}),
            with(&[
                json!(4_000_000_000_i64),
                json!(u64::MAX),
                json!(i64::MIN),
                json!("never"),
                json!("soon"),
                json!(""),
                json!("-7d"),
                json!("200 years"),
                json!("７d"),
                json!({"days": 7}),
            ]),
        ),
        ("note", json!({}), vec![json!(5), json!(["x"]), long(1_001)]),
        ("roles", json!({}), names(json!(many))),
        ("groups", json!({}), names(json!(many))),
        (
            "roles",
            json!({"kind": "reset", "username": "theo"}),
            vec![json!(["admin"])],
        ),
        (
            "token",
            json!({"max_uses": 5}),
            vec![
                json!(1_234_567_890),
                json!(""),
                json!("short"),
                json!("nine-char"),
                json!("with space in it"),
                json!("tокen-of-mine"),
                json!("quote\"quote\""),
                long(129),
            ],
        ),
        ("token", json!({}), vec![json!("summer-camp")]),
        (
            "extra",
            json!({}),
            vec![
                json!(5),
                json!([1]),
                json!("x"),
                json!({"note": "x"}),
                json!({"source": "root"}),
                json!({"allow_reset": "theo"}),
                json!({"roles": []}),
                big,
            ],
        ),
        ("colour", json!({}), vec![json!("red"), json!(null)]),
        ("Kind", json!({}), vec![json!("account")]),
    ]
}

fn body_of(field: &str, along: &Value, value: &Value) -> Value {
    let mut body = along.clone();
    body[field] = value.clone();
    body
}

#[tokio::test]
async fn a_bad_field_of_an_invite_is_named_and_nothing_is_stored() {
    let server = TestServer::start().await;
    for (field, along, values) in bad_invite_fields() {
        for value in values {
            let body = body_of(field, &along, &value);
            let answer = server.ask("POST", "/api/v1/invites", body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (422, "invalid"),
                "{field}: {value}"
            );
            let named = answer.field().split('[').next();
            assert_eq!(named, Some(field), "{value}: {answer:?}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn a_bad_field_in_a_list_is_named_with_its_place_and_nothing_is_stored() {
    let server = TestServer::start().await;
    for (field, along, values) in bad_invite_fields() {
        for value in values {
            let list = json!({"invites": [{}, body_of(field, &along, &value)]});
            let answer = server.ask("POST", "/api/v1/invites/bulk", list).await;
            assert_eq!(answer.status, 422, "{field}: {value}: {answer:?}");
            assert_eq!(answer.json["item"], 2, "{field}: {value}");
            let named = answer.field().split('[').next();
            assert_eq!(named, Some(field), "{value}: {answer:?}");
        }
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let server = TestServer::start().await;
    let bearer = format!("Bearer {}", server.admin);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    for path in ["/api/v1/invites", "/api/v1/invites/bulk", "/api/v1/keys"] {
        for body in [
            "[]",
            "5",
            "null",
            "{",
            "{} {}",
            "nonsense",
            "\"text\"",
            "{\"note\":\"a\",\"note\":\"b\"}",
        ] {
            let answer = server.send("POST", path, &headers, body).await;
            assert_eq!(answer.status, 422, "{path} {body}: {answer:?}");
            assert!(!answer.field().is_empty(), "{path} {body}");
        }
        let deep = format!("{{\"extra\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(server.send("POST", path, &headers, deep).await.status, 422);
        assert_eq!(
            server
                .send("POST", path, &headers, &b"{\"note\":\"\xff\"}"[..])
                .await
                .status,
            422
        );
        let wrong_type = [headers[0], ("Content-Type", "text/plain")];
        let answer = server.send("POST", path, &wrong_type, "{}").await;
        assert_eq!(
            (answer.status, answer.code()),
            (415, "unsupported_media_type")
        );
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn a_bad_field_of_a_change_is_named_and_nothing_is_changed() {
    let server = TestServer::start().await;
    let made = server
        .create(json!({"max_uses": 5, "note": "as it was"}))
        .await;
    let path = format!("/api/v1/invites/{}", made["id"].as_str().expect("an id"));
    server
        .register(made["token"].as_str().expect("a token"), "a")
        .await;
    server
        .register(made["token"].as_str().expect("a token"), "b")
        .await;
    let before = server.ask("GET", &path, Value::Null).await.json;
    for (field, value) in [
        ("max_uses", json!(0)),
        ("max_uses", json!(-3)),
        ("max_uses", json!(1)),
        ("max_uses", json!("7")),
        ("max_uses", json!(1_000_001)),
        ("max_uses", json!(1.5)),
        ("expires_in", json!(0)),
        ("expires_in", json!(-60)),
        ("expires_in", json!("never")),
        ("expires_in", json!(u64::MAX)),
        ("expires_in", json!([])),
        ("note", json!(5)),
        ("note", json!("x".repeat(1_001))),
        ("username", json!("theo")),
        ("state", json!("open")),
    ] {
        let answer = server.ask("PATCH", &path, json!({field: value})).await;
        assert_eq!((answer.status, answer.field()), (422, field), "{answer:?}");
    }
    assert_eq!(server.ask("GET", &path, Value::Null).await.json, before);
}

#[tokio::test]
async fn a_bad_field_of_a_key_is_named_and_nothing_is_stored() {
    let server = TestServer::start().await;
    for (field, value) in [
        ("name", json!(5)),
        ("name", json!("x".repeat(201))),
        ("name", json!("two\nlines")),
        ("scopes", json!("admin")),
        ("scopes[0]", json!(["root"])),
        ("scopes[1]", json!(["create", 1])),
        ("scopes[0]", json!(["Admin"])),
        ("expires_in", json!(0)),
        ("expires_in", json!(-1)),
        ("expires_in", json!("soon")),
        ("expires_in", json!(i64::MAX)),
        ("max_per_day", json!(0)),
        ("max_per_day", json!(-5)),
        ("max_per_day", json!("5")),
        ("max_per_day", json!(2.5)),
        ("max_per_day", json!(u64::MAX)),
        ("secret", json!("x")),
    ] {
        let top = field.split('[').next().expect("a name");
        let answer = server
            .ask("POST", "/api/v1/keys", json!({top: value}))
            .await;
        assert_eq!((answer.status, answer.field()), (422, field), "{answer:?}");
    }
    let keys = server.ask("GET", "/api/v1/keys", Value::Null).await;
    assert_eq!(keys.json["keys"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_bad_parameter_of_a_list_is_named() {
    let server = TestServer::start().await;
    for (path, field, values) in [
        ("invites", "state", vec!["closed", "Open", "", "оpen"]),
        ("invites", "kind", vec!["register", "Reset", "1", ""]),
        (
            "invites",
            "inviter",
            vec!["", "a%20b", "nora%40other.example"],
        ),
        (
            "invites",
            "username",
            vec!["", "a%20b", "theo%40other.example"],
        ),
        (
            "invites",
            "limit",
            vec![
                "0",
                "-1",
                "501",
                "99999999999999999999",
                "1.5",
                "ten",
                "",
                "%EF%BC%95",
            ],
        ),
        (
            "invites",
            "cursor",
            vec!["", "x", "AAAA", "%00", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        ),
        ("invites", "colour", vec!["red"]),
        ("invites", "key", vec!["a%2Fb"]),
        ("registrations", "limit", vec!["0", "501", "x"]),
        (
            "registrations",
            "cursor",
            vec!["", "x", "AAAAAAAAAAAAAAAAAAAAAA"],
        ),
        ("registrations", "colour", vec!["red"]),
    ] {
        for value in values {
            let path = format!("/api/v1/{path}?{field}={value}");
            let answer = server.ask("GET", &path, Value::Null).await;
            assert_eq!(
                (answer.status, answer.field()),
                (422, field),
                "{path}: {answer:?}"
            );
        }
    }
    let twice = server
        .ask("GET", "/api/v1/invites?limit=1&limit=2", Value::Null)
        .await;
    assert_eq!((twice.status, twice.field()), (422, "limit"));
}

#[tokio::test]
async fn a_bad_name_or_id_in_the_path_is_refused() {
    let server = TestServer::start().await;
    for name in ["a%20b", "a%40b", "%00", &"x".repeat(2_000)] {
        for (method, path) in [
            ("GET", format!("/api/v1/users/{name}")),
            ("POST", format!("/api/v1/users/{name}/revoke-invites")),
        ] {
            let answer = server.ask(method, &path, Value::Null).await;
            assert_eq!((answer.status, answer.field()), (422, "name"), "{path}");
        }
    }
    for id in [
        "0",
        "what%3F",
        "%ff",
        "00000000-0000-0000-0000-000000000000",
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        &"x".repeat(5_000),
    ] {
        for (method, ending) in [
            ("GET", ""),
            ("PATCH", ""),
            ("POST", "/revoke"),
            ("POST", "/restore"),
            ("GET", "/registrations"),
        ] {
            let path = format!("/api/v1/invites/{id}{ending}");
            let answer = server.ask(method, &path, Value::Null).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
        let answer = server
            .ask("DELETE", &format!("/api/v1/keys/{id}"), Value::Null)
            .await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test]
async fn what_belongs_to_another_host_is_not_there() {
    let server = TestServer::start().await;
    let made = server.create(json!({})).await;
    let app = &server.desk.app;
    let other = app.config.host("other.example").expect("it is configured");
    let new = invited::app::NewKey {
        scopes: vec![invited::api_key::Scope::Admin],
        ..invited::app::NewKey::default()
    };
    let key = app.create_key(other, new).await.expect("a key");
    let bearer = format!("Bearer {}", key.full_text());
    let there = [
        ("Host", "other.example"),
        ("Authorization", bearer.as_str()),
    ];
    for name in [&made["id"], &made["token"]] {
        let path = format!("/api/v1/invites/{}", name.as_str().expect("a text"));
        for (method, ending) in [
            ("GET", ""),
            ("POST", "/revoke"),
            ("POST", "/restore"),
            ("GET", "/registrations"),
        ] {
            let answer = server
                .send(method, &format!("{path}{ending}"), &there, "")
                .await;
            assert_eq!((answer.status, answer.code()), (404, "invite_unknown"));
        }
    }
    let key_id = server.admin.split('/').next().expect("an id");
    let answer = server
        .send("DELETE", &format!("/api/v1/keys/{key_id}"), &there, "")
        .await;
    assert_eq!(answer.code(), "key_unknown");

    let strange = [("Host", "chat.example"), ("Authorization", bearer.as_str())];
    let answer = server.send("GET", "/api/v1/invites", &strange, "").await;
    assert_eq!((answer.status, answer.code()), (401, "key_needed"));
    let nowhere = [
        ("Host", "nowhere.example"),
        ("Authorization", bearer.as_str()),
    ];
    assert_eq!(
        server
            .send("GET", "/api/v1/invites", &nowhere, "")
            .await
            .status,
        404
    );
    let shown = server
        .ask(
            "GET",
            &format!("/api/v1/invites/{}", made["id"].as_str().expect("an id")),
            Value::Null,
        )
        .await;
    assert_eq!(shown.json["state"], "open");
}
