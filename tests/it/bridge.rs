//! What an XMPP server asks.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use invited::http::bridge::Bridge;
use invited::invite::Kind;
use invited::secret::Secret;
use serde_json::{Value, json};

use crate::support::Desk;

const SECRET: &str = "a secret of the tests";

/// Status and body of the answer.
async fn ask(desk: &Desk, operation: &str, mut question: Value) -> (u16, Value) {
    question["host"] = json!("chat.example");
    let request = Request::post(format!("/bridge/v1/{operation}"))
        .header("authorization", format!("Bearer {SECRET}"))
        .body(Body::from(question.to_string()))
        .expect("a request");
    let bridge = Bridge::new(desk.app.clone(), Secret::new(SECRET));
    let answer = bridge.dispatch(request).await;
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn keys_are_made_listed_and_deleted_over_the_bridge() {
    let desk = Desk::open();
    let (status, made) = ask(&desk, "key_create", json!({"name": "My test key"})).await;
    assert_eq!(status, 200);
    let key = made["key"].as_str().expect("a key").to_owned();
    let id = key.split('/').next().expect("an id");
    let (_, list) = ask(&desk, "key_list", json!({})).await;
    assert_eq!(list, json!({"keys": [{"id": id, "name": "My test key"}]}));

    let asked = json!({"method": "POST", "authorization": format!("Bearer {key}")});
    let (status, made) = ask(&desk, "api_create", asked.clone()).await;
    assert_eq!((status, &made["status"]), (200, &json!(201)));

    assert_eq!(
        ask(&desk, "key_delete", json!({"id": id})).await,
        (200, json!({}))
    );
    let (status, problem) = ask(&desk, "key_delete", json!({"id": id})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("key_unknown")));
    let (status, problem) = ask(&desk, "api_create", asked).await;
    assert_eq!((status, &problem["code"]), (403, &json!("key_refused")));
}

#[tokio::test]
async fn a_request_at_prosodys_port_is_answered_as_at_our_own() {
    let desk = Desk::open();
    let (_, made) = ask(&desk, "key_create", json!({})).await;
    let query = format!("key={}", made["key"].as_str().expect("a key"));
    let redirect = format!("{query}&redirect=true");
    for (asked, status) in [
        (json!({"method": "GET", "query": query}), 201),
        (json!({"method": "POST", "query": redirect}), 303),
    ] {
        let (_, answer) = ask(&desk, "api_create", asked).await;
        assert_eq!(answer["status"], status);
        let location = answer["location"].as_str().expect("an address");
        assert!(location.contains("/invite?"), "{location}");
    }
    for (asked, code) in [
        (
            json!({"method": "HEAD", "query": query}),
            "method_not_allowed",
        ),
        (
            json!({"method": "GET", "query": query, "purpose": "prefetch"}),
            "prefetch",
        ),
        (
            json!({"method": "GET", "query": query, "authorization": "Basic x"}),
            "key_refused",
        ),
        (json!({"method": "GET"}), "key_refused"),
        (json!({"method": "GET", "authorization": "a\nb"}), "invalid"),
        (json!({"method": "G T"}), "invalid"),
        (json!({}), "invalid"),
    ] {
        let (_, problem) = ask(&desk, "api_create", asked.clone()).await;
        assert_eq!(problem["code"], code, "{asked}");
    }
}

#[tokio::test]
async fn creators_are_those_who_have_something_that_can_still_be_used() {
    let desk = Desk::open();
    let creators = async || ask(&desk, "creators", json!({})).await.1;
    let contact = |name: &str| {
        let name = name.parse().ok();
        desk.invite(move |new| {
            new.kind = Kind::Contact;
            new.localpart = name;
        })
    };
    assert_eq!(creators().await, json!({"users": []}));
    contact("nora").await;
    contact("nora").await;
    let revoked = contact("ada").await.invite;
    let used = contact("bob").await.token;
    desk.invite(|new| {
        new.kind = Kind::Reset;
        new.localpart = "theo".parse().ok();
    })
    .await;
    desk.invite(|new| new.details.source = Some("command line".into()))
        .await;
    assert_eq!(
        creators().await,
        json!({"users": ["ada", "bob", "nora", "theo"]})
    );

    let done = desk.app.revoke_invite(desk.host(), &revoked).await;
    assert!(done.expect("revoked"));
    let (status, _) = ask(
        &desk,
        "claim_contact",
        json!({"token": used.expose(), "username": "bob"}),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(creators().await, json!({"users": ["nora", "theo"]}));
    let (_, rest) = ask(&desk, "creators", json!({"after": "nora"})).await;
    assert_eq!(rest, json!({"users": ["theo"]}));

    ask(&desk, "revoke_all", json!({"username": "nora"})).await;
    assert_eq!(creators().await, json!({"users": ["theo"]}));
    desk.app.clock.advance(100 * 86_400);
    assert_eq!(creators().await, json!({"users": []}));
}

#[tokio::test]
async fn many_creators_come_in_pages() {
    let desk = Desk::open();
    for number in 0..501 {
        desk.invite(|new| {
            new.kind = Kind::Contact;
            new.localpart = format!("user{number:03}").parse().ok();
        })
        .await;
    }
    let (_, first) = ask(&desk, "creators", json!({})).await;
    assert_eq!(first["users"].as_array().map(Vec::len), Some(500));
    assert_eq!(first["next"], "user499");
    let (_, second) = ask(&desk, "creators", json!({"after": first["next"]})).await;
    assert_eq!(second, json!({"users": ["user500"]}));
}
