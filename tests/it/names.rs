//! Wherever a name is given, the whole address at this host stands for it, and an address elsewhere is explained.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Method, address, type and body of each door, with `NAME` for the name, and the field that is at fault if it is wrong.
const DOORS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "POST",
        "/api/v1/invites",
        "application/json",
        r#"{"username": "NAME"}"#,
        "username",
    ),
    (
        "POST",
        "/api/v1/invites",
        "application/json",
        r#"{"kind": "reset", "username": "NAME"}"#,
        "username",
    ),
    (
        "POST",
        "/api/v1/invites",
        "application/json",
        r#"{"kind": "contact", "inviter": "NAME"}"#,
        "inviter",
    ),
    (
        "POST",
        "/api/v1/invites/bulk",
        "application/json",
        r#"{"invites": [{"username": "NAME"}]}"#,
        "username",
    ),
    (
        "POST",
        "/api/v1/invites/bulk",
        "text/csv",
        "username\nNAME\n",
        "username",
    ),
    ("GET", "/api/v1/invites?username=NAME", "", "", "username"),
    ("GET", "/api/v1/invites?inviter=NAME", "", "", "inviter"),
    ("GET", "/api/v1/users/NAME", "", "", "name"),
    ("POST", "/api/v1/users/NAME/revoke-invites", "", "", "name"),
    (
        "POST",
        "/admin_api/invites/account",
        "application/json",
        r#"{"username": "NAME"}"#,
        "username",
    ),
    (
        "POST",
        "/admin_api/invites/reset",
        "application/json",
        r#"{"username": "NAME"}"#,
        "username",
    ),
];

#[tokio::test]
async fn every_door_takes_the_whole_address_of_its_own_host_for_a_name() {
    for (method, path, kind, body, field) in DOORS {
        let server = TestServer::start().await;
        let bearer = format!("Bearer {}", server.admin);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let send = |name: &str| {
            let (path, body) = (path.replace("NAME", name), body.replace("NAME", name));
            let (server, headers) = (&server, &headers);
            async move { server.send(method, &path, headers, body).await }
        };
        for elsewhere in ["theo@example.com", "theo@other.example", "theo@"] {
            let refused = send(elsewhere).await;
            assert!(
                [400, 422].contains(&refused.status),
                "{method} {path} {body} {refused:?}"
            );
            let says = "those here end with @chat.example";
            assert!(refused.text.contains(says), "{method} {path} {refused:?}");
            assert!(refused.text.contains(field), "{method} {path} {refused:?}");
        }
        let taken = send("Theo@CHAT.example").await;
        assert!(
            [200, 201].contains(&taken.status),
            "{method} {path} {body} {taken:?}"
        );
        if taken.status == 201 {
            assert!(!taken.text.contains("theo@chat.example@"), "{taken:?}");
            assert!(taken.text.contains("theo"), "{taken:?}");
        }
    }
}

#[tokio::test]
async fn an_invite_for_a_whole_address_is_an_invite_for_its_name() {
    let server = TestServer::start().await;
    let invite = server
        .create(json!({"username": "theo@chat.example"}))
        .await;
    assert_eq!(invite["username"], json!("theo"));
    let uri = invite["uri"].as_str().expect("a text");
    assert!(uri.starts_with("xmpp:theo@chat.example?"), "{uri}");
    let listed = server
        .ask("GET", "/api/v1/invites?username=theo", Value::Null)
        .await;
    assert_eq!(listed.json["invites"].as_array().map(Vec::len), Some(1));
}
