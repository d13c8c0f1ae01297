//! Whoever guesses has to wait; whoever was invited has not.

use invited::app::By;
use invited::invite::NewInvite;
use invited::token::InviteToken;
use serde_json::{Value, json};

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
async fn random_tokens_are_answered_whoever_guesses_beside_them() {
    let server = TestServer::start().await;
    let token_of = async |body: Value| {
        let invite = server.create(body).await;
        invite["token"].as_str().expect("a token").to_owned()
    };
    let revoked = token_of(json!({})).await;
    let address = format!("/api/v1/invites/{revoked}/revoke");
    server.ask("POST", &address, Value::Null).await;
    let used = token_of(json!({})).await;
    server.register(&used, "nora").await;
    // As Prosody makes them for a group.
    let of_prosody: InviteToken = "c-vhJjyB5Pb4HpAf_8QxR2wZ".parse().expect("a token");
    let mut new = NewInvite::account();
    (new.token, new.max_uses) = (Some(of_prosody.clone()), None);
    let made = (server.desk.app)
        .create_invite(server.desk.host(), new, By::Server)
        .await;
    made.expect("an invite");
    let chosen = token_of(json!({"token": "summer-camp", "max_uses": 9})).await;
    let contact = json!({"kind": "contact", "inviter": "nora", "allow_registration": true});
    let cases = [
        (token_of(json!({})).await, 200),
        (token_of(json!({"max_uses": 9})).await, 200),
        (token_of(json!({"max_uses": null})).await, 200),
        (token_of(contact).await, 200),
        (of_prosody.expose().to_owned(), 200),
        (used, 410),
        (revoked, 410),
        (chosen, 429),
    ];
    let ip = "192.0.2.7";
    for n in 0..60 {
        let guess = format!("/invite?unknown-token-{n}");
        assert_eq!(page(&server, ip, &guess).await, 404);
    }
    for (token, status) in cases {
        for door in ["/invite?", "/invite/", "/register?t=", "/invite/qr.svg?"] {
            let address = format!("{door}{token}");
            assert_eq!(page(&server, ip, &address).await, status, "{address}");
        }
    }
    // A guess that has the form of a random token is a guess.
    let guess = format!("/invite?{}", "A".repeat(24));
    assert_eq!(page(&server, ip, &guess).await, 429);
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_told_from_a_random_one() {
    let server = TestServer::start().await;
    let create = async |token: &str| {
        let body = json!({"token": token, "max_uses": 9});
        server.ask("POST", "/api/v1/invites", body).await
    };
    let long = "Summer-Party-at-the-Lake";
    assert_eq!(long.len(), 24);
    let answer = create(long).await;
    assert_eq!(
        (answer.status, answer.field()),
        (422, "token"),
        "{answer:?}"
    );
    assert_eq!(create(&long[1..]).await.status, 201);
    assert_eq!(create(&format!("{long}s")).await.status, 201);
    // Nor does it come to be for one person.
    let address = format!("/api/v1/invites/{}", &long[1..]);
    let answer = server.ask("PATCH", &address, json!({"max_uses": 1})).await;
    assert_eq!((answer.status, answer.field()), (422, "max_uses"));
    let answer = server.ask("PATCH", &address, json!({"max_uses": 2})).await;
    assert_eq!(answer.status, 200);
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
