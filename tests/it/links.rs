//! What people, mailers and chat programs make of a link still finds its invite, at every door.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Desk, TestServer};

/// Addresses that people open.
const PAGES: &[&str] = &[
    "/invite?LINK",
    "/invite/?LINK",
    "/invite/LINK",
    "/invite/%3FLINK",
    "/invites_page?LINK",
    "/invites_page/?LINK",
    "/invites_page/LINK",
    "/invite/setup/conversations?LINK",
    "/invite/setup/conversations/?LINK",
    "/invite/qr.svg?LINK",
    "/register?t=LINK",
    "/register/?t=LINK",
    "/register?c=conversations&t=LINK",
];

/// Addresses that programs fill in with what people gave them.
const PROGRAMS: &[&str] = &[
    "/register_api/invite/LINK",
    "/admin_api/invites/LINK",
    "/api/v1/invites/LINK",
    "/api/v1/invites/LINK/registrations",
];

/// What comes to stand around a token in a path or a query.
const BENT: &[&str] = &[
    "TOKEN",
    "TOKEN.",
    "TOKEN,",
    "TOKEN)",
    "TOKEN).",
    "TOKEN;",
    "TOKEN!",
    "TOKEN]",
    "TOKEN*",
    "TOKEN=",
    "TOKEN%3E",
    "TOKEN%22",
    "TOKEN%20",
    "TOKEN%0A",
    "TOKEN%E2%80%8B",
    "%3CTOKEN%3E",
    "TOKEN%3Futm_source=mail",
    "TOKEN%3Futm_source%3Dmail",
    "LETTER",
];

/// The same, where a `?`, a `&` or a `/` does not lead elsewhere.
const BENT_MORE: &[&str] = &[
    "TOKEN?utm_source=mail",
    "TOKEN?utm_source=spring_party_2027",
    "TOKEN&utm_source=mail",
    "TOKEN=&x=y",
    "TOKEN&fbclid=1&x",
    "TOKEN/",
];

/// `form` with `token`, or with its first letter as `%XX`.
fn bent(form: &str, token: &str) -> String {
    let letter = format!("%{:02X}{}", token.as_bytes()[0], &token[1..]);
    form.replace("TOKEN", token).replace("LETTER", &letter)
}

async fn status(server: &TestServer, address: &str) -> u16 {
    let bearer = format!("Bearer {}", server.admin);
    let headers = [("Authorization", bearer.as_str())];
    server.send("GET", address, &headers, "").await.status
}

async fn token_of(server: &TestServer, body: Value) -> String {
    let invite = server.create(body).await;
    invite["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_bent_link_finds_its_invite_at_every_door() {
    let server = TestServer::start().await;
    let party = json!({"token": "-spring-party_", "max_uses": 9});
    for token in [
        token_of(&server, json!({})).await,
        token_of(&server, party).await,
    ] {
        let programs = PROGRAMS.iter().map(|door| (door, BENT.to_vec()));
        let pages = PAGES.iter().map(|door| (door, [BENT, BENT_MORE].concat()));
        for (door, forms) in programs.chain(pages) {
            for form in forms {
                let address = door.replace("LINK", &bent(form, &token));
                assert_eq!(status(&server, &address).await, 200, "{address}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_letter_is_an_unknown_invite_at_every_door() {
    let server = TestServer::at(Desk::with("failures_per_minute = 0")).await;
    let token = token_of(&server, json!({})).await;
    let other = if token.ends_with('a') { "b" } else { "a" };
    let wrong = [
        format!("{}{other}", &token[..23]),
        format!("{other}{token}"),
        format!("{token}{other}"),
        token[1..].to_owned(),
        format!("{}.{}", &token[..12], &token[12..]),
        token.to_uppercase() + "x",
    ];
    for door in [PAGES, PROGRAMS].concat() {
        for wrong in &wrong {
            let address = door.replace("LINK", wrong);
            assert_eq!(status(&server, &address).await, 404, "{address}");
        }
    }
}

#[tokio::test]
async fn a_link_whose_question_mark_was_encoded_leads_to_the_page() {
    let server = TestServer::at(Desk::with(
        "http_external_url = \"https://example.com/chat/\"",
    ))
    .await;
    for (address, leads_to) in [
        ("/invite%3FTOKEN", "/chat/invite?TOKEN"),
        ("/invites_page%3FTOKEN?x=y", "/chat/invites_page?TOKEN&x=y"),
        ("/register%3Ft=TOKEN", "/chat/register?t=TOKEN"),
    ] {
        let answer = server.send("GET", address, &[], "").await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, Some(leads_to))
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for elsewhere in ["//elsewhere.example%3Finvite", "/elsewhere%3FTOKEN"] {
        assert_eq!(status(&server, elsewhere).await, 404, "{elsewhere}");
    }
}

#[tokio::test]
async fn the_form_and_portals_may_send_a_bent_link_too() {
    let server = TestServer::start().await;
    let token = token_of(&server, json!({})).await;
    for form in ["TOKEN.", " TOKEN ", "<https://chat.example/invite?TOKEN>"] {
        let link = bent(form, &token);
        let mut fields = form_urlencoded::Serializer::new(String::new());
        fields.append_pair("token", &link).append_pair("user", "x");
        let header = [("Content-Type", "application/x-www-form-urlencoded")];
        let sent = server.send("POST", "/register", &header, fields.finish());
        // The invite is known; the form lacks its own secret.
        assert_eq!(sent.await.status, 403, "{form}");

        let body = json!({"token": link, "username": "theo", "password": "x"}).to_string();
        let header = [("Content-Type", "application/json")];
        let method = Method::POST;
        let sent = server.send(method.as_str(), "/register_api/register", &header, body);
        let sent = sent.await;
        assert_eq!(
            (sent.json["reason"].as_str(), sent.field()),
            (Some("invalid"), "password")
        );
    }
}
