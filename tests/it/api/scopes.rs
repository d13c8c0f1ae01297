//! What a key may put into an invite: every field, every scope, every door that takes a key. What is right is read from
//! the table in `docs/api.md`, so that the manual cannot say anything else.
//!
//! To add a field: a row there and a line in [`MORE`]. To add a scope: a column there and a key in [`scopes`]. To add a
//! door: a line in [`DOORS`].

use std::collections::{BTreeMap, BTreeSet};

use invited::api_key::{PresentedKey, Scope};
use invited::app::{NewKey, OldKey};
use invited::clock::Timestamp;
use serde_json::{Value, json};

use crate::support::{Answer, START, TestServer};

/// For each field the body that asks for more than the default, and the bodies that ask for no more. A field that needs
/// another to be asked at all comes with it, and that one is refused.
fn bodies() -> BTreeMap<&'static str, (Vec<Value>, Vec<Value>)> {
    let week = 7 * 86_400;
    BTreeMap::from([
        (
            "kind",
            (
                vec![
                    json!({"kind": "reset", "username": "theo"}),
                    json!({"kind": "contact", "inviter": "nora"}),
                ],
                vec![json!({"kind": "account"}), json!({"kind": null})],
            ),
        ),
        ("username", (vec![json!({"username": "theo"})], vec![])),
        (
            "inviter",
            (
                vec![json!({"kind": "contact", "inviter": "nora", "allow_registration": true})],
                vec![json!({"inviter": null})],
            ),
        ),
        (
            "allow_registration",
            (
                vec![json!({"kind": "contact", "inviter": "nora", "allow_registration": false})],
                vec![json!({"allow_registration": true})],
            ),
        ),
        (
            "max_uses",
            (
                vec![
                    json!({"max_uses": 2}),
                    json!({"max_uses": 1_000_000}),
                    json!({"max_uses": null}),
                ],
                vec![json!({"max_uses": 1})],
            ),
        ),
        (
            "expires_in",
            (
                vec![
                    json!({"expires_in": week + 1}),
                    json!({"expires_in": "8d"}),
                    json!({"expires_in": "36500d"}),
                ],
                vec![
                    json!({"expires_in": week}),
                    json!({"expires_in": "7d"}),
                    json!({"expires_in": 1}),
                    json!({"expires_in": "12 hours"}),
                ],
            ),
        ),
        (
            "note",
            (
                vec![json!({"note": "for Theo"})],
                vec![json!({"note": null})],
            ),
        ),
        (
            "roles",
            (
                vec![
                    json!({"roles": ["prosody:operator"]}),
                    json!({"roles": ["prosody:registered"]}),
                ],
                vec![json!({"roles": []}), json!({"roles": null})],
            ),
        ),
        (
            "groups",
            (
                vec![json!({"groups": ["family"]})],
                vec![json!({"groups": []})],
            ),
        ),
        (
            "token",
            (
                vec![json!({"token": "summer-camp", "max_uses": 5})],
                vec![json!({"token": null})],
            ),
        ),
        (
            "extra",
            (
                vec![json!({"extra": {"colour": "red"}})],
                vec![json!({"extra": {}}), json!({"extra": null})],
            ),
        ),
    ])
}

/// Whether a body asks for more than one thing, so that another field is named.
fn named(field: &str, body: &Value) -> BTreeSet<String> {
    let mut named = BTreeSet::from([field.to_owned()]);
    for other in ["kind", "max_uses"] {
        if body.get(other).is_some() {
            named.insert(other.to_owned());
        }
    }
    named
}

/// The ways by which a body of one invite comes in.
const DOORS: [&str; 5] = [
    "/invites",
    "/invites again",
    "/invites/bulk",
    "/invites/bulk as a table",
    "/invites/bulk in a list",
];

async fn send(server: &TestServer, door: &str, key: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    let (path, content_type, text) = match door {
        "/invites" | "/invites again" => ("invites", "application/json", body.to_string()),
        "/invites/bulk" => (
            "invites/bulk",
            "application/json",
            json!({"invites": [body]}).to_string(),
        ),
        "/invites/bulk in a list" => (
            "invites/bulk",
            "application/json",
            json!({"invites": [{}, body]}).to_string(),
        ),
        _ => ("invites/bulk", "text/csv", table(body)),
    };
    let order = body.to_string();
    let mut headers = vec![
        ("Authorization", bearer.as_str()),
        ("Content-Type", content_type),
    ];
    if door == "/invites again" {
        headers.push(("Idempotency-Key", &order));
    }
    server
        .send("POST", &format!("/api/v1/{path}"), &headers, text)
        .await
}

/// The body as a table of one row; a column more, so that the row is not empty if the cell is.
fn table(body: &Value) -> String {
    let (mut names, mut cells) = (vec!["note".to_owned()], vec!["row".to_owned()]);
    for (name, value) in body.as_object().expect("an object") {
        if name == "note" {
            continue;
        }
        let cell = match value {
            Value::Null if name == "max_uses" => "unlimited".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(list) => {
                let names: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                names.join(";")
            }
            other => other.to_string().replace('"', "\"\""),
        };
        names.push(name.clone());
        cells.push(format!("\"{cell}\""));
    }
    format!("{}\n{}\n", names.join(","), cells.join(","))
}

/// A key of each scope, in the words of the manual's columns, and keys that came by other ways.
async fn scopes(server: &TestServer) -> Vec<(&'static str, String)> {
    let imported: PresentedKey = "imported/5ecret".parse().expect("a key");
    let old = OldKey {
        key: imported.clone(),
        name: None,
        created_at: None,
    };
    let desk = &server.desk;
    let taken = desk.app.take_over_keys(desk.host(), &[old]).await;
    taken.expect("imported");
    let limited = NewKey {
        scopes: vec![Scope::Create],
        max_per_day: Some(1_000),
        expires_in: Some(86_400),
        ..NewKey::default()
    };
    let limited = desk
        .app
        .create_key(desk.host(), limited)
        .await
        .expect("a key");
    vec![
        ("admin", server.admin.clone()),
        ("create", server.creator.clone()),
        ("create", imported.full_text()),
        ("create", limited.full_text()),
    ]
}

/// Field and scope to what the manual's table says.
fn manual() -> BTreeMap<(String, String), String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = std::fs::read_to_string(path).expect("the manual");
    let (_, part) = text
        .split_once("### What a key may ask for")
        .expect("the part");
    let rows: Vec<Vec<&str>> = part
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let scope = |column: usize| {
        rows[0][column]
            .trim_start_matches("scope ")
            .trim_matches('`')
            .to_owned()
    };
    let mut said = BTreeMap::new();
    for row in &rows[2..] {
        for column in 2..row.len() {
            said.insert(
                (row[0].trim_matches('`').to_owned(), scope(column)),
                row[column].to_owned(),
            );
        }
    }
    said
}

#[test]
fn the_table_has_every_field_and_every_scope() {
    let said = manual();
    let document = invited::http::api::document();
    let fields = document["components"]["schemas"]["CreateInvite"]["properties"].as_object();
    let fields: BTreeSet<&str> = fields.expect("fields").keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        said.keys().map(|(field, _)| field.as_str()).collect()
    );
    assert_eq!(fields, bodies().into_keys().collect());
    let scopes = document["components"]["schemas"]["Scope"]["enum"].as_array();
    let scopes: BTreeSet<&str> = scopes
        .expect("scopes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        scopes,
        said.keys().map(|(_, scope)| scope.as_str()).collect()
    );
}

#[tokio::test]
async fn each_scope_may_ask_for_what_the_manual_says_and_for_nothing_more() {
    let said = manual();
    let (mut taken, mut refused) = (0, 0);
    for door in DOORS {
        let server = TestServer::start().await;
        let keys = scopes(&server).await;
        for (field, (more, default)) in bodies() {
            let asked = more
                .iter()
                .map(|body| (true, body))
                .chain(default.iter().map(|body| (false, body)));
            for (is_more, body) in asked {
                for (scope, key) in &keys {
                    let may = &said[&(field.to_owned(), (*scope).to_owned())];
                    let before = server.count().await;
                    let answer = send(&server, door, key, body).await;
                    let what = format!("{door}, {scope}, {body}: {answer:?}");
                    if is_more && may.starts_with("default") {
                        assert_eq!(
                            (answer.status, answer.code()),
                            (403, "scope_too_small"),
                            "{what}"
                        );
                        assert!(named(field, body).contains(answer.field()), "{what}");
                        assert!(answer.text.contains(answer.field()), "{what}");
                        assert_eq!(server.count().await, before, "{what}");
                        refused += 1;
                    } else {
                        // Names and tokens are given once; whoever hears that was allowed to ask.
                        let held = answer.status == 409 && before > 0;
                        assert!(answer.status == 201 || held, "{what}");
                        taken += 1;
                    }
                }
            }
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
}

#[tokio::test]
async fn the_host_says_how_long_a_plain_invite_may_live() {
    let server = TestServer::at(crate::support::Desk::with("invite_expiry = \"2 days\"")).await;
    for (span, status) in [("2d", 201), ("47h", 201), ("3d", 403), ("7d", 403)] {
        let body = json!({"expires_in": span});
        let answer = server
            .ask_with(&server.creator, "POST", "/api/v1/invites", body)
            .await;
        assert_eq!(answer.status, status, "{span}: {answer:?}");
    }
}

/// Members of `extra` that Prosody, its community modules or ours act on.
const MEANT_FOR_SERVERS: [(&str, &str); 6] = [
    ("allow_reset", "\"admin\""),
    ("groups", "[\"family\"]"),
    ("note", "\"x\""),
    ("roles", "[\"prosody:operator\"]"),
    ("roster_subscription", "\"admin\""),
    ("source", "\"admin@chat.example\""),
];

#[tokio::test]
async fn no_key_sets_what_the_chat_server_acts_on() {
    let server = TestServer::start().await;
    let keys = scopes(&server).await;
    for (member, value) in MEANT_FOR_SERVERS {
        for value in [value, "null", "{}"] {
            let value: Value = serde_json::from_str(value).expect("JSON");
            let extra = json!({"colour": "red", member: value});
            for (scope, key) in &keys {
                for door in DOORS {
                    let answer = send(&server, door, key, &json!({"extra": extra})).await;
                    let what = format!("{door}, {scope}, {extra}: {answer:?}");
                    let expected = match *scope {
                        "admin" => (422, "invalid"),
                        _ => (403, "scope_too_small"),
                    };
                    assert_eq!((answer.status, answer.code()), expected, "{what}");
                    assert_eq!(answer.field(), "extra", "{what}");
                }
                for kind in ["account", "group", "reset"] {
                    let body =
                        json!({"username": "theo", "groups": ["g"], "additional_data": extra});
                    let path = format!("/admin_api/invites/{kind}");
                    let answer = server.ask_with(key, "POST", &path, body).await;
                    let what = format!("{path}, {scope}, {extra}: {answer:?}");
                    match *scope {
                        "admin" => assert_eq!(
                            (answer.status, answer.field()),
                            (400, "additional_data"),
                            "{what}"
                        ),
                        _ => assert_eq!(answer.status, 403, "{what}"),
                    }
                }
            }
        }
        let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
        let manual = std::fs::read_to_string(manual).expect("the manual");
        assert!(
            manual.contains(&format!("`{member}`")),
            "docs/api.md lacks {member}"
        );
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn the_doors_of_prosodys_modules_make_no_more_than_the_scope_allows() {
    let server = TestServer::start().await;
    for (scope, key) in scopes(&server).await {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        for (field, (more, _)) in bodies() {
            for body in more {
                // It takes no field, wherever it is put.
                let query =
                    form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(body.as_object().expect("fields").iter().map(
                            |(name, value)| {
                                (
                                    name,
                                    value
                                        .as_str()
                                        .map_or_else(|| value.to_string(), str::to_owned),
                                )
                            },
                        ))
                        .finish();
                for method in ["GET", "POST"] {
                    let path = format!("/invites_api?{query}");
                    let answer = server.send(method, &path, &headers, body.to_string()).await;
                    assert_eq!(answer.status, 201, "{scope}, {field}: {answer:?}");
                    let location = answer.header("location").expect("a link").to_owned();
                    let token = location.split('?').nth(1).expect("a token");
                    let path = format!("/api/v1/invites/{token}");
                    let made = server.ask("GET", &path, Value::Null).await.json;
                    let plain = json!({
                        "kind": "account", "username": null, "inviter": null, "allow_registration": true,
                        "max_uses": 1, "note": null, "roles": [], "groups": [], "extra": {},
                        "expires_at": Timestamp(START + 7 * 86_400).iso(),
                    });
                    for (name, value) in plain.as_object().expect("fields") {
                        assert_eq!(made[name], *value, "{name}: {made}");
                    }
                }
                if scope == "create" {
                    for kind in ["account", "group", "reset", "other"] {
                        let path = format!("/admin_api/invites/{kind}");
                        let answer = server.ask_with(&key, "POST", &path, body.clone()).await;
                        assert_eq!(answer.status, 403, "{kind}, {body}: {answer:?}");
                    }
                }
            }
        }
    }
}
