//! Invites by the API: made, shown, changed, taken back.

use futures_util::future::join_all;
use invited::clock::Timestamp;
use serde_json::{Value, json};

use crate::support::{START, TestServer};

fn path_of(invite: &Value) -> String {
    format!("/api/v1/invites/{}", invite["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn an_invite_is_made_from_nothing_but_a_key() {
    let server = TestServer::start().await;
    let answer = server
        .ask_with(&server.creator, "POST", "/api/v1/invites", Value::Null)
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.header("location"),
        Some(path_of(&answer.json).as_str())
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let invite = &answer.json;
    let token = invite["token"].as_str().expect("a token");
    assert_eq!(token.len(), 24);
    assert_eq!(
        invite["url"],
        format!("http://chat.example:5280/invite?{token}")
    );
    assert_eq!(
        invite["uri"],
        format!("xmpp:chat.example?register;preauth={token}")
    );
    assert_eq!(invite["expires_at"], Timestamp(START + 7 * 86_400).iso());
    for (field, value) in [
        ("kind", json!("account")),
        ("state", json!("open")),
        ("uses", json!(0)),
        ("max_uses", json!(1)),
        ("allow_registration", json!(true)),
        ("username", json!(null)),
        ("extra", json!({})),
    ] {
        assert_eq!(invite[field], value, "{field}");
    }
    let key_id = server.creator.split('/').next().expect("an id");
    assert_eq!(invite["source"], format!("api/token/{key_id}"));
}

#[tokio::test]
async fn every_field_of_an_invite_comes_back() {
    let server = TestServer::start().await;
    let asked = json!({
        "kind": "account", "max_uses": 5, "expires_in": "12h", "note": "for the camp",
        "roles": ["prosody:member"], "groups": ["camp", "all"], "token": "summer-camp-2027",
        "extra": {"portal": {"id": 7}},
    });
    let mut made = server.create(asked.clone()).await;
    // What its maker hears is no field of the invite; here no chat server says whether these roles exist.
    let fields = made.as_object_mut().expect("an object");
    fields.remove("warnings").expect("two warnings");
    let shown = server.ask("GET", &path_of(&made), Value::Null).await.json;
    assert_eq!(shown, made);
    for field in [
        "kind", "max_uses", "note", "roles", "groups", "token", "extra",
    ] {
        assert_eq!(shown[field], asked[field], "{field}");
    }
    assert_eq!(shown["expires_at"], Timestamp(START + 43_200).iso());
    let by_token = server
        .ask("GET", "/api/v1/invites/summer-camp-2027", Value::Null)
        .await;
    assert_eq!(by_token.json, made);
}

#[tokio::test]
async fn contacts_and_resets_are_made_by_admins() {
    let server = TestServer::start().await;
    for (body, field, value) in [
        (
            json!({"kind": "contact", "inviter": "Nora"}),
            "inviter",
            "nora",
        ),
        (
            json!({"kind": "reset", "username": "theo"}),
            "username",
            "theo",
        ),
    ] {
        let refused = server
            .ask_with(&server.creator, "POST", "/api/v1/invites", body.clone())
            .await;
        assert_eq!((refused.status, refused.code()), (403, "scope_too_small"));
        let made = server.create(body.clone()).await;
        assert_eq!(made[field], value);
        assert_eq!(made["allow_registration"], body["kind"] == "reset");
    }
    let allows =
        json!({"kind": "contact", "inviter": "nora", "allow_registration": true, "max_uses": null});
    let made = server.create(allows).await;
    assert_eq!(
        (&made["allow_registration"], &made["max_uses"]),
        (&json!(true), &json!(null))
    );
}

#[tokio::test]
async fn names_and_tokens_are_given_once() {
    let server = TestServer::start().await;
    server.create(json!({"username": "theo"})).await;
    let answer = server
        .ask("POST", "/api/v1/invites", json!({"username": "Theo"}))
        .await;
    assert_eq!((answer.status, answer.code()), (409, "name_held"));
    let chosen = json!({"token": "summer-camp", "max_uses": null});
    server.create(chosen.clone()).await;
    let answer = server.ask("POST", "/api/v1/invites", chosen).await;
    assert_eq!((answer.status, answer.code()), (409, "token_taken"));
    assert_eq!(server.count().await, 2);
}

#[tokio::test]
async fn an_invite_is_changed_revoked_and_restored() {
    let server = TestServer::start().await;
    let made = server.create(json!({"note": "first"})).await;
    let path = path_of(&made);
    let change = json!({"max_uses": 3, "expires_in": 60, "note": ""});
    let changed = server.ask("PATCH", &path, change).await;
    assert_eq!(changed.status, 200);
    assert_eq!(
        (&changed.json["max_uses"], &changed.json["note"]),
        (&json!(3), &json!(null))
    );
    assert_eq!(changed.json["expires_at"], Timestamp(START + 60).iso());
    let unlimited = server.ask("PATCH", &path, json!({"max_uses": null})).await;
    assert_eq!(unlimited.json["max_uses"], json!(null));
    assert_eq!(unlimited.json["expires_at"], Timestamp(START + 60).iso());

    for _ in 0..2 {
        let revoked = server
            .ask("POST", &format!("{path}/revoke"), Value::Null)
            .await;
        assert_eq!(
            (revoked.status, &revoked.json["state"]),
            (200, &json!("revoked"))
        );
    }
    let restored = server
        .ask("POST", &format!("{path}/restore"), Value::Null)
        .await;
    assert_eq!(
        (restored.status, &restored.json["state"]),
        (200, &json!("open"))
    );
    let again = server
        .ask("POST", &format!("{path}/restore"), Value::Null)
        .await;
    assert_eq!((again.status, again.code()), (409, "not_revoked"));
}

#[tokio::test]
async fn an_invite_tells_what_it_gave() {
    let server = TestServer::start().await;
    let made = server.create(json!({"max_uses": 2})).await;
    server
        .register(made["token"].as_str().expect("a token"), "theo")
        .await;
    let list = server
        .ask(
            "GET",
            &format!("{}/registrations", path_of(&made)),
            Value::Null,
        )
        .await;
    assert_eq!(
        list.json,
        json!({"registrations": [{"username": "theo", "confirmed_at": Timestamp(START).iso()}]})
    );
}

#[tokio::test]
async fn only_admins_do_more_than_make_invites() {
    let server = TestServer::start().await;
    let made = server.create(json!({})).await;
    let path = path_of(&made);
    let key_id = server.creator.split('/').next().expect("an id");
    for (method, path) in [
        ("GET", "/api/v1/invites".to_owned()),
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("POST", format!("{path}/revoke")),
        ("POST", format!("{path}/restore")),
        ("GET", format!("{path}/registrations")),
        ("GET", "/api/v1/registrations".to_owned()),
        ("GET", "/api/v1/users/theo".to_owned()),
        ("POST", "/api/v1/users/theo/revoke-invites".to_owned()),
        ("GET", "/api/v1/keys".to_owned()),
        ("POST", "/api/v1/keys".to_owned()),
        ("DELETE", format!("/api/v1/keys/{key_id}")),
    ] {
        let answer = server
            .ask_with(&server.creator, method, &path, Value::Null)
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "scope_too_small"),
            "{method} {path}"
        );
        for headers in [
            &[][..],
            &[("Authorization", "Bearer a/b")],
            &[("Authorization", "Basic a/b")],
            &[("Authorization", "Bearer")],
        ] {
            let answer = server.send(method, &path, headers, "").await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "key_needed"),
                "{method} {path}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let in_query = format!("{path}?key={}", server.admin.replace('/', "%2F"));
        assert_eq!(server.send(method, &in_query, &[], "").await.status, 401);
    }
    let shown = server.ask("GET", &path, Value::Null).await;
    assert_eq!(shown.json, made);
}

#[tokio::test]
async fn other_methods_and_addresses_are_told_so() {
    let server = TestServer::start().await;
    let answer = server.ask("PUT", "/api/v1/invites", Value::Null).await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"));
    let mut allow: Vec<_> = answer
        .header("allow")
        .expect("methods")
        .split(',')
        .collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "POST"]);
    for path in [
        "/api/v1/",
        "/api/v1/invite",
        "/api/v2/invites",
        "/api/v1/invites/a/b/c",
    ] {
        let answer = server.ask("GET", path, Value::Null).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
}

async fn repeated(
    server: &TestServer,
    key: &str,
    path: &str,
    body: &str,
) -> crate::support::Answer {
    let bearer = format!("Bearer {}", server.creator);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", key),
    ];
    server.send("POST", path, &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_invite() {
    let server = TestServer::start().await;
    let send = |_| repeated(&server, "order-7", "/api/v1/invites", r#"{"note":"x"}"#);
    let answers = join_all((0..20).map(send)).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json["token"], answers[0].json["token"]);
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    assert_eq!(server.count().await, 1);

    let other = repeated(&server, "order-7", "/api/v1/invites", r#"{"note":"y"}"#).await;
    assert_eq!((other.status, other.code()), (422, "request_key_reused"));
    let other = repeated(
        &server,
        "order-7",
        "/api/v1/invites/bulk",
        r#"{"invites":[{}]}"#,
    )
    .await;
    assert_eq!((other.status, other.code()), (422, "request_key_reused"));
    assert_eq!(server.count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_list_makes_its_invites_once() {
    let server = TestServer::start().await;
    let body = r#"{"invites":[{"note":"a"},{"note":"b"},{"note":"c"}]}"#;
    let send = |_| repeated(&server, "order-8", "/api/v1/invites/bulk", body);
    let answers = join_all((0..10).map(send)).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (201, &answers[0].json));
    }
    assert_eq!(server.count().await, 3);
}

#[tokio::test]
async fn a_request_key_of_a_bad_form_is_refused() {
    let server = TestServer::start().await;
    for key in ["", &"x".repeat(256), "schlüssel"] {
        for (path, body) in [
            ("/api/v1/invites", "{}"),
            ("/api/v1/invites/bulk", r#"{"invites":[{}]}"#),
        ] {
            let answer = repeated(&server, key, path, body).await;
            assert_eq!(
                (answer.status, answer.field()),
                (422, "Idempotency-Key"),
                "{key:?}"
            );
        }
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn months_and_years_are_as_long_as_in_prosody() {
    let server = TestServer::start().await;
    for (span, seconds) in [
        ("1mon", 31 * 86_400),
        ("1 month", 31 * 86_400),
        ("1 year", 31_556_952),
    ] {
        let made = server
            .ask("POST", "/api/v1/invites", json!({"expires_in": span}))
            .await;
        assert_eq!(made.status, 201, "{span}");
        assert_eq!(
            made.json["expires_at"],
            Timestamp(START + seconds).iso(),
            "{span}"
        );
    }
}
