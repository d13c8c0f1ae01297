//! Lists part by part, and who invited whom.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::TestServer;

/// All of a list, `limit` at a time.
async fn walk(server: &TestServer, path: &str, name: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut address = format!("/api/v1/{path}limit={limit}");
    loop {
        let answer = server.ask("GET", &address, Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let part = answer.json[name].as_array().expect("a list");
        assert!(part.len() <= limit);
        found.extend(part.iter().cloned());
        match answer.json["next_cursor"].as_str() {
            Some(cursor) => address = format!("/api/v1/{path}limit={limit}&cursor={cursor}"),
            None => return found,
        }
    }
}

fn ids(list: &[Value]) -> HashSet<&str> {
    list.iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn a_list_walked_part_by_part_has_everything_once() {
    let server = TestServer::start().await;
    let bulk = json!({"invites": vec![json!({}); 57]});
    let made = server.ask("POST", "/api/v1/invites/bulk", bulk).await.json;
    let made = made["invites"].as_array().expect("a list").clone();
    for limit in [1, 7, 19, 56, 57, 58, 500] {
        let found = walk(&server, "invites?", "invites", limit).await;
        assert_eq!(found, made, "{limit} at a time");
    }
}

#[tokio::test]
async fn a_list_is_narrowed_by_state_kind_inviter_and_name() {
    let server = TestServer::start().await;
    let open = server.create(json!({"username": "theo"})).await;
    let contact = server
        .create(json!({"kind": "contact", "inviter": "nora"}))
        .await;
    let used = server.create(json!({})).await;
    server
        .register(used["token"].as_str().expect("a token"), "tim")
        .await;
    let revoked = server.create(json!({})).await;
    let path = format!(
        "/api/v1/invites/{}/revoke",
        revoked["id"].as_str().expect("an id")
    );
    server.ask("POST", &path, Value::Null).await;
    let expired = server.create(json!({"expires_in": 5})).await;
    server.desk.app.clock.advance(6);
    for (query, expected) in [
        ("state=open", vec![&open, &contact]),
        ("state=used", vec![&used]),
        ("state=revoked", vec![&revoked]),
        ("state=expired", vec![&expired]),
        ("kind=contact", vec![&contact]),
        ("inviter=nora", vec![&contact]),
        ("inviter=Nora&state=used", vec![]),
        ("username=theo", vec![&open]),
        ("kind=reset", vec![]),
    ] {
        for limit in [1, 100] {
            let found = walk(&server, &format!("invites?{query}&"), "invites", limit).await;
            let expected = expected
                .iter()
                .map(|one| one["id"].as_str().expect("an id"));
            assert_eq!(ids(&found), expected.collect(), "{query}");
        }
    }
}

#[tokio::test]
async fn registrations_are_listed_and_users_show_their_line() {
    let server = TestServer::start().await;
    let first = server.create(json!({"max_uses": 30})).await;
    let token = first["token"].as_str().expect("a token");
    for n in 0..25 {
        server.register(token, &format!("user{n:02}")).await;
        if n % 4 == 0 {
            server.desk.app.clock.advance(1);
        }
    }
    let invite =
        json!({"kind": "contact", "inviter": "user03", "allow_registration": true, "max_uses": 2});
    let of_user = server.create(invite).await;
    server
        .register(of_user["token"].as_str().expect("a token"), "guest")
        .await;
    for limit in [1, 3, 26, 100] {
        let found = walk(&server, "registrations?", "registrations", limit).await;
        let names: HashSet<_> = found
            .iter()
            .map(|made| made["username"].as_str().expect("a name"))
            .collect();
        assert_eq!((found.len(), names.len()), (26, 26), "{limit} at a time");
    }
    let guest = server
        .ask("GET", "/api/v1/users/guest", Value::Null)
        .await
        .json;
    assert_eq!(guest["user"], "guest@chat.example");
    assert_eq!(guest["invited_by"][0]["inviter"], "user03");
    assert_eq!(guest["invited_by"][1]["username"], "user03");
    let inviter = server
        .ask("GET", "/api/v1/users/user03", Value::Null)
        .await
        .json;
    assert_eq!(inviter["invited"][0]["username"], "guest");
    assert_eq!(inviter["open_invites"], 1);
    let revoked = server
        .ask("POST", "/api/v1/users/user03/revoke-invites", Value::Null)
        .await;
    assert_eq!(revoked.json, json!({"revoked": 1}));
    let inviter = server
        .ask("GET", "/api/v1/users/user03", Value::Null)
        .await
        .json;
    assert_eq!(inviter["open_invites"], 0);
    let nobody = server.ask("GET", "/api/v1/users/nobody", Value::Null).await;
    assert_eq!(
        (nobody.status, &nobody.json["registrations"]),
        (200, &json!([]))
    );
}
