//! Landing pages are rendered once for many links, and each still shows its own invite.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Answer, Desk, TestServer};

async fn page_of(server: &TestServer, invite: &Value) -> Answer {
    let token = invite["token"].as_str().expect("a token");
    let address = format!("/invite?{token}");
    let page = server.send("GET", &address, &[], "").await;
    assert_eq!(page.status, 200, "{page:?}");
    page
}

/// Everything on the page that looks like a token.
fn tokens(page: &str) -> HashSet<&str> {
    let words = page.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 24).collect()
}

#[tokio::test]
async fn links_that_are_alike_show_their_own_token_and_end() {
    let server = TestServer::start().await;
    // All expire in "7 days", each at a moment of its own.
    for _ in 0..5 {
        let invite = server.create(json!({})).await;
        let page = page_of(&server, &invite).await.text;
        let token = invite["token"].as_str().expect("a token");
        assert_eq!(tokens(&page), HashSet::from([token]));
        assert!(page.matches(token).count() > 10);
        let end = invite["expires_at"].as_str().expect("a moment");
        assert!(
            page.contains(&format!("datetime=\"{end}\"")),
            "{end} {page}"
        );
        server.desk.app.clock.advance(61);
    }
}

#[tokio::test]
async fn links_that_differ_in_more_are_not_taken_for_each_other() {
    let server = TestServer::start().await;
    let fields = [
        json!({}),
        json!({"max_uses": 7}),
        json!({"max_uses": 8}),
        json!({"username": "nora"}),
        json!({"username": "ole"}),
        json!({"expires_in": 3600}),
        json!({"expires_in": 7200}),
        json!({"kind": "contact", "inviter": "nora"}),
        json!({"kind": "contact", "inviter": "ole", "allow_registration": false}),
        json!({"kind": "contact", "inviter": "ole", "allow_registration": true}),
    ];
    let mut seen = HashSet::new();
    for field in fields {
        let answer = server.ask("POST", "/api/v1/invites", field.clone()).await;
        assert_eq!(answer.status, 201, "{field} {answer:?}");
        for _ in 0..2 {
            let page = page_of(&server, &answer.json).await.text;
            let token = answer.json["token"].as_str().expect("a token");
            assert_eq!(tokens(&page), HashSet::from([token]));
            seen.insert(page.replace(token, ""));
        }
    }
    assert_eq!(seen.len(), 10);
}

#[tokio::test]
async fn a_link_that_was_just_opened_and_is_withdrawn_says_so_at_once() {
    let server = TestServer::start().await;
    for _ in 0..5 {
        let invite = server.create(json!({})).await;
        page_of(&server, &invite).await;
        page_of(&server, &invite).await;
        let id = invite["id"].as_str().expect("an id");
        let answer = server
            .ask("POST", &format!("/api/v1/invites/{id}/revoke"), Value::Null)
            .await;
        assert_eq!(answer.json["state"], "revoked", "{answer:?}");
        let token = invite["token"].as_str().expect("a token");
        let address = format!("/invite?{token}");
        let page = server.send("GET", &address, &[], "").await;
        assert_eq!(page.status, 410, "{page:?}");
    }
}

#[tokio::test]
async fn a_template_of_the_operator_may_do_with_a_token_what_it_likes() {
    let desk = Desk::with("templates_path = \"templates\"");
    let folder = desk.folder.path().join("templates");
    std::fs::create_dir(&folder).expect("a folder");
    let template = "{{ invite.uri|upper }} {{ invite.uri|length }} {{ invite.expires|upper }}";
    std::fs::write(folder.join("invite.html"), template).expect("a template");
    let server = TestServer::at(desk).await;
    for token in ["spring-party", "summer-party-2027"] {
        let invite = server.create(json!({"token": token, "max_uses": 9})).await;
        for _ in 0..2 {
            let page = page_of(&server, &invite).await.text;
            let length = invite["uri"].as_str().expect("a URI").len();
            assert!(page.contains(&token.to_uppercase()), "{page}");
            assert!(page.contains(&format!(" {length} ")), "{page}");
        }
    }
}

#[tokio::test]
async fn the_qr_code_is_a_picture_of_its_own_that_nobody_keeps() {
    let server = TestServer::start().await;
    let invite = server.create(json!({})).await;
    let token = invite["token"].as_str().expect("a token");
    let code = server
        .send("GET", &format!("/invite/qr.svg?{token}"), &[], "")
        .await;
    assert_eq!(
        (code.status, code.header("content-type")),
        (200, Some("image/svg+xml"))
    );
    assert_eq!(code.header("cache-control"), Some("no-store"));
    assert!(code.text.starts_with("<svg "), "{code:?}");
    assert!(!code.text.contains(token));
    let page = page_of(&server, &invite).await.text;
    assert!(!page.contains("<path d=\"M4 4.5"), "{page}");

    let unknown = server
        .send("GET", "/invite/qr.svg?unknown-token", &[], "")
        .await;
    assert_eq!(unknown.status, 404);
    server.register(token, "nora").await;
    let used = server
        .send("GET", &format!("/invite/qr.svg?{token}"), &[], "")
        .await;
    assert_eq!(used.status, 410);
}
