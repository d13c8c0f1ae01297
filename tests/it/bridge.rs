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

#[tokio::test]
async fn a_bad_field_of_a_question_is_named_and_nothing_is_stored() {
    let desk = Desk::open();
    let theirs = desk.invite(|_| {}).await;
    let token = theirs.token.expose();
    let new = "A-token-of-a-server";
    let long = "x".repeat(3000);
    let odd = [json!(7), json!(true), json!([]), json!({}), json!(long)];
    let texts = |field: &'static str, good: Value| {
        odd.iter().map(move |value| {
            let mut question = good.clone();
            question[field] = value.clone();
            (field, question)
        })
    };
    let create = json!({"token": new, "type": "register"});
    let with = |field: &'static str, value: Value| {
        let mut question = create.clone();
        question[field] = value;
        (field, question)
    };
    let mut questions: Vec<(&str, &str, Value)> = Vec::new();
    for field in ["token", "type", "username", "landing_page"] {
        questions.extend(texts(field, create.clone()).map(|(field, q)| ("create", field, q)));
    }
    for (field, value) in [
        ("token", json!("short")),
        ("token", json!("with a blank in it")),
        ("type", json!("admin")),
        ("username", json!("")),
        ("username", json!("a@b")),
        ("username", json!("th\u{435}o")),
        ("username", json!("x".repeat(1024))),
        ("ttl", json!("soon")),
        ("ttl", json!(1.5)),
        ("ttl", json!(-1)),
        ("ttl", json!(0)),
        ("ttl", json!(i64::MAX)),
        ("ttl", json!(1e300)),
        ("reusable", json!("yes")),
        ("additional_data", json!("text")),
        ("additional_data", json!([1])),
        ("additional_data", json!({"note": "x".repeat(20_000)})),
        ("additional_data", json!({"roles": 7})),
        ("additional_data", json!({"allow_reset": 7})),
    ] {
        let (field, question) = with(field, value);
        questions.push(("create", field, question));
    }
    questions.push(("create", "token", json!({"type": "register"})));
    questions.push(("create", "type", json!({"token": new})));
    let contact = json!({"token": new, "type": "roster"});
    questions.push(("create", "inviter", contact));
    for operation in ["lookup", "reserve", "claim_contact", "revoke"] {
        for value in [json!(7), json!({}), json!(long)] {
            let asked = json!({"token": value, "username": "theo", "holder": "h"});
            questions.push((operation, "token", asked));
        }
    }
    for value in [json!(7), json!("a b"), json!(""), json!("x".repeat(1024))] {
        let asked = json!({"token": token, "username": value, "holder": "h"});
        questions.push(("reserve", "username", asked));
        questions.push(("check_name", "username", json!({"username": value})));
        questions.push(("revoke_all", "username", json!({"username": value})));
    }
    for value in [json!(7), json!("not-an-id"), json!("")] {
        questions.push(("confirm", "reservation", json!({"reservation": value})));
        questions.push(("release", "reservation", json!({"reservation": value})));
    }
    questions.push(("open", "min_age", json!({"min_age": "old"})));
    questions.push(("pending", "after", json!({"after": "somewhere"})));
    questions.push(("key_create", "name", json!({"name": "two\nlines"})));
    questions.push(("key_create", "name", json!({"name": 7})));
    questions.push(("key_delete", "id", json!({"id": 7})));

    for (operation, field, question) in questions {
        let (status, problem) = ask(&desk, operation, question.clone()).await;
        assert_eq!(status, 422, "{operation} {question} {problem}");
        let named = problem["field"].as_str().unwrap_or_default();
        let close = named == field
            || named.starts_with(&format!("{field}."))
            || (field, named) == ("ttl", "expires_in");
        assert!(
            close,
            "{operation} {question}: {named} is named, not {field}"
        );
    }
    let (_, pending) = ask(&desk, "pending", json!({})).await;
    assert_eq!(pending["invites"].as_array().expect("a list").len(), 1);
    assert_eq!(
        ask(&desk, "key_list", json!({})).await.1,
        json!({"keys": []})
    );
}

#[tokio::test]
async fn what_prosody_sends_along_for_itself_is_kept() {
    let desk = Desk::open();
    let data = json!({"roster_subscription": "nora", "source": "nora@chat.example/phone", "roles": ["prosody:registered"]});
    let asked =
        json!({"token": "7Hq2mZc4XwTn9BvKd1Ry5LpA", "type": "register", "additional_data": data});
    let (status, made) = ask(&desk, "create", asked).await;
    assert_eq!((status, &made["additional_data"]), (200, &data));
}
