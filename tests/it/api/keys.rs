//! Keys by the API.

use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test]
async fn a_key_is_made_shown_once_and_dead_at_once() {
    let server = TestServer::start().await;
    let body =
        json!({"name": "portal", "scopes": ["create"], "expires_in": "90d", "max_per_day": 10});
    let made = server.ask("POST", "/api/v1/keys", body).await;
    assert_eq!(made.status, 201);
    let (id, key) = (&made.json["id"], made.json["key"].as_str().expect("a key"));
    assert_eq!(
        made.header("location"),
        Some(format!("/api/v1/keys/{}", id.as_str().expect("an id")).as_str())
    );
    assert_eq!(
        server
            .ask_with(key, "POST", "/api/v1/invites", json!({}))
            .await
            .status,
        201
    );

    let list = server.ask("GET", "/api/v1/keys", Value::Null).await.json;
    let listed = list["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["id"] == *id);
    let listed = listed.expect("the new key");
    assert_eq!(
        (&listed["name"], &listed["max_per_day"]),
        (&json!("portal"), &json!(10))
    );
    assert!(
        !list
            .to_string()
            .contains(key.split('/').nth(1).expect("a secret"))
    );

    let path = format!("/api/v1/keys/{}", id.as_str().expect("an id"));
    assert_eq!(server.ask("DELETE", &path, Value::Null).await.status, 204);
    let dead = server
        .ask_with(key, "POST", "/api/v1/invites", json!({}))
        .await;
    assert_eq!((dead.status, dead.code()), (401, "key_needed"));
    let again = server.ask("DELETE", &path, Value::Null).await;
    assert_eq!((again.status, again.code()), (404, "key_unknown"));
}

#[tokio::test]
async fn a_key_is_refused_after_its_time() {
    let server = TestServer::start().await;
    let made = server
        .ask("POST", "/api/v1/keys", json!({"expires_in": 60}))
        .await;
    let key = made.json["key"].as_str().expect("a key");
    server.desk.app.clock.advance(61);
    assert_eq!(
        server
            .ask_with(key, "POST", "/api/v1/invites", json!({}))
            .await
            .status,
        401
    );
}
