//! Landing pages are rendered once for many links, and each still shows its own invite.

use std::collections::HashSet;

use invited::app::By;
use invited::invite::NewInvite;
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

const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Linux; Android 15; Pixel)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8",
];

/// The page as somebody with this device sees it.
async fn seen(server: &TestServer, agent: &str, address: &str) -> String {
    let page = server
        .send("GET", address, &[("User-Agent", agent)], "")
        .await;
    assert_eq!(page.status, 200, "{agent} {address} {page:?}");
    page.text.replace("&#x2f;", "/").replace("&#x3d;", "=")
}

#[tokio::test]
async fn every_page_gets_all_that_its_template_asks_for() {
    for options in [
        "",
        "registration_form = false",
        "webchat_url = \"https://web.example/\"",
    ] {
        let server = TestServer::at(Desk::with(options)).await;
        let kinds = [
            json!({}),
            json!({"max_uses": 5}),
            json!({"username": "theo", "expires_in": "12h"}),
            json!({"kind": "contact", "inviter": "nora"}),
            json!({"kind": "contact", "inviter": "nora", "allow_registration": true}),
            json!({"kind": "reset", "username": "theo"}),
        ];
        let mut ids: Vec<String> = Vec::new();
        for kind in kinds {
            let invite = server.create(kind.clone()).await;
            let token = invite["token"].as_str().expect("a token");
            for agent in AGENTS {
                let page = seen(&server, agent, &format!("/invite?{token}")).await;
                if ids.is_empty() {
                    let links = page.split("/invite/setup/").skip(1);
                    ids = links
                        .filter_map(|link| Some(link.split('?').next()?.to_owned()))
                        .collect();
                    ids.dedup();
                    assert!(ids.len() > 4, "{ids:?}");
                }
                for id in &ids {
                    seen(&server, agent, &format!("/invite/setup/{id}?{token}")).await;
                }
                if options != "registration_form = false" && invite["allow_registration"] == true {
                    seen(&server, agent, &format!("/register?t={token}&c=gajim")).await;
                }
                seen(&server, agent, "/").await;
            }
        }
        let problem = server
            .send("GET", "/nothing", &[("Accept", "text/html")], "")
            .await;
        assert!(
            problem.text.contains("<h1>There is nothing here</h1>"),
            "{problem:?}"
        );
    }
}

#[tokio::test]
async fn whoever_may_add_the_inviter_sees_the_address() {
    let server = TestServer::start().await;
    for allow_registration in [false, true] {
        let body =
            json!({"kind": "contact", "inviter": "nora", "allow_registration": allow_registration});
        let token = server.create(body).await["token"].clone();
        let token = token.as_str().expect("a token");
        for agent in AGENTS {
            for page in ["/invite?", "/invite/setup/conversations?"] {
                // The set-up page of an invite with an account leads to that first.
                if allow_registration && page != "/invite?" {
                    continue;
                }
                let page = seen(&server, agent, &format!("{page}{token}")).await;
                assert!(
                    page.contains("<bdi class=\"jid\">nora@chat.example</bdi>"),
                    "{page}"
                );
            }
        }
    }
    let token = server.create(json!({})).await["token"].clone();
    let token = token.as_str().expect("a token");
    let page = seen(&server, AGENTS[0], &format!("/invite?{token}")).await;
    assert!(!page.contains("Nothing happens?"), "{page}");
}

#[tokio::test]
async fn on_android_every_app_leads_to_all_its_stores() {
    let server = TestServer::start().await;
    let token = server.create(json!({})).await["token"].clone();
    let token = token.as_str().expect("a token");
    let page = seen(&server, AGENTS[0], &format!("/invite?{token}")).await;
    // The first button hands the invite on; everything else is not for one store alone.
    assert_eq!(page.matches("play.google.com").count(), 1, "{page}");
    for app in ["conversations", "cheogram", "yaxim"] {
        let setup = format!("/invite/setup/{app}?{token}");
        assert!(page.contains(&format!("href=\"{setup}\"")), "{app}");
        let page = seen(&server, AGENTS[0], &setup).await;
        for store in ["https://play.google.com/", "https://f-droid.org/"] {
            assert!(page.contains(&format!("href=\"{store}")), "{app} {store}");
        }
    }
}

#[tokio::test]
async fn a_contact_invite_helps_those_without_an_app() {
    let web = "webchat_url = \"https://web.example/\"";
    let server = TestServer::at(Desk::with(web)).await;
    let contact = json!({"kind": "contact", "inviter": "nora"});
    let token = server.create(contact).await["token"].clone();
    let token = token.as_str().expect("a token");
    for agent in AGENTS {
        let page = seen(&server, agent, &format!("/invite?{token}")).await;
        assert!(page.contains("No chat app yet?"), "{page}");
        assert!(page.contains("href=\"https://web.example/\""), "{page}");
        assert!(
            page.contains(&format!("/invite/setup/conversations?{token}")),
            "{page}"
        );
        // An account comes first, so no store gets the invite.
        assert!(!page.contains("referrer="), "{page}");
        let page = seen(
            &server,
            agent,
            &format!("/invite/setup/conversations?{token}"),
        )
        .await;
        assert!(!page.contains("referrer="), "{page}");
    }
}

#[tokio::test]
async fn the_form_remembers_the_app_that_the_set_up_page_was_about() {
    let server = TestServer::start().await;
    let token = server.create(json!({})).await["token"].clone();
    let token = token.as_str().expect("a token");
    let page = seen(
        &server,
        AGENTS[0],
        &format!("/invite/setup/conversations?{token}"),
    )
    .await;
    let form = format!("/register?t={token}&amp;c=conversations");
    assert!(page.contains(&form), "{page}");
}

#[tokio::test]
async fn a_form_that_should_come_again_says_when() {
    // Nobody is at that address.
    let server = TestServer::at(Desk::with(
        "[hosts.\"a.example\".xmpp]\naddress = \"127.0.0.1:1\"",
    ))
    .await;
    let host = ("Host", "a.example");
    let key = server.desk.app.config.host("a.example").expect("a host");
    let made = server
        .desk
        .app
        .create_invite(key, NewInvite::account(), By::Operator)
        .await;
    let token = made.expect("an invite").token;
    let page = server
        .send(
            "GET",
            &format!("/register?t={}", token.expose()),
            &[host],
            "",
        )
        .await;
    let cookie = page
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next());
    let cookie = cookie.expect("a cookie").to_owned();
    let (_, csrf) = cookie.split_once('=').expect("a value");
    let fields = format!(
        "token={}&csrf={csrf}&user=theo&password=correct-horse-battery",
        token.expose()
    );
    let headers = [
        host,
        ("Cookie", cookie.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let answer = server.send("POST", "/register", &headers, fields).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("10")),
        "{answer:?}"
    );
}
