//! Whoever guesses has to wait; whoever was invited has not.

use serde_json::json;

use crate::support::TestServer;

async fn page(server: &TestServer, ip: &str, address: &str) -> u16 {
    server.send_from(ip, "GET", address, &[], "").await.status
}

#[tokio::test]
async fn whoever_shows_many_unknown_tokens_waits_a_minute() {
    let server = TestServer::start().await;
    let chosen = json!({"token": "summer-camp", "max_uses": 9});
    server.create(chosen).await;
    let single = server.create(json!({})).await;
    let single = format!("/invite?{}", single["token"].as_str().expect("a token"));
    let unknown = |n| match n % 3 {
        0 => format!("/invite?unknown-token-{n}"),
        1 => format!("/invite/setup/conversations?unknown-token-{n}"),
        _ => format!("/register?t=unknown-token-{n}"),
    };
    for n in 0..60 {
        assert_eq!(page(&server, "2001:db8::1", &unknown(n)).await, 404);
    }
    for n in 0..3 {
        let answer = server
            .send_from("2001:db8::2", "GET", &unknown(n), &[], "")
            .await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("60"))
        );
    }
    // What was guessed is not confirmed, what cannot be guessed is shown.
    assert_eq!(
        page(&server, "2001:db8::1", "/invite?summer-camp").await,
        429
    );
    assert_eq!(page(&server, "2001:db8::1", &single).await, 200);
    assert_eq!(
        page(&server, "2001:db8:1::1", "/invite?summer-camp").await,
        200
    );

    server.desk.app.clock.advance(60);
    assert_eq!(
        page(&server, "2001:db8::1", "/invite?summer-camp").await,
        200
    );
}

#[tokio::test]
async fn good_tokens_are_never_limited() {
    let server = TestServer::start().await;
    server
        .create(json!({"token": "summer-camp", "max_uses": 9}))
        .await;
    for _ in 0..200 {
        assert_eq!(page(&server, "192.0.2.7", "/invite?summer-camp").await, 200);
    }
}

#[tokio::test]
async fn whoever_shows_many_bad_keys_is_told_to_wait() {
    let server = TestServer::start().await;
    let bad = [("Authorization", "Bearer AAAAAAAA/BBBBBBBB")];
    for n in 0..60 {
        let (path, refused) = match n % 2 {
            0 => ("/api/v1/invites", 401),
            _ => ("/invites_api", 403),
        };
        assert_eq!(server.send("GET", path, &bad, "").await.status, refused);
    }
    for path in ["/api/v1/invites", "/invites_api"] {
        let answer = server.send("GET", path, &bad, "").await;
        assert_eq!((answer.status, answer.code()), (429, "too_many_failures"));
        assert_eq!(answer.header("retry-after"), Some("60"));
    }
    server.create(json!({})).await;
}
