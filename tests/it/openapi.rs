//! The `OpenAPI` document and the router are one, and so are the manual and the errors.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::TestServer;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Every operation: method, path, what it says of itself.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().expect("operations");
            operations
                .iter()
                .map(|(method, said)| (method.to_uppercase(), path.clone(), said.clone()))
        })
        .collect()
}

/// The schema itself, where a reference stands for it.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            document.pointer(pointer).expect("it is there")
        }
        None => schema,
    }
}

/// What is wrong with `value`, as far as types, properties and items go.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolve(document, schema);
    if let Some(all) = schema["allOf"].as_array() {
        return all
            .iter()
            .flat_map(|part| faults(document, part, value, at))
            .collect();
    }
    if let Some(some) = schema["oneOf"].as_array() {
        let fits = |part: &Value| faults(document, part, value, at).is_empty();
        return if some.iter().any(fits) {
            Vec::new()
        } else {
            vec![format!("{at}: {value} fits nothing")]
        };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(many) => many.contains(&json!(kind)),
        _ => true,
    };
    if !fits {
        return vec![format!("{at}: {value} is no {}", schema["type"])];
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return vec![format!("{at}: {value} is none of {words:?}")];
    }
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().expect("a name")).is_none() {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        if let Some(property) = schema["properties"].get(name) {
            found.extend(faults(document, property, inner, &format!("{at}.{name}")));
        }
    }
    for inner in value.as_array().into_iter().flatten() {
        found.extend(faults(
            document,
            &schema["items"],
            inner,
            &format!("{at}[]"),
        ));
    }
    found
}

#[tokio::test]
async fn the_document_is_served_without_a_key_and_is_what_the_command_prints() {
    let server = TestServer::start().await;
    let answer = server.send("GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200);
    let mut document = answer.json;
    assert_eq!(
        document["servers"],
        json!([{"url": "http://chat.example:5280"}])
    );
    document
        .as_object_mut()
        .expect("an object")
        .remove("servers");
    assert_eq!(document, invited::http::api::document());
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_operation_of_the_document_is_routed_and_no_other_method_is() {
    let server = TestServer::start().await;
    let document = invited::http::api::document();
    let described: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let paths: BTreeSet<_> = described.iter().map(|(_, path)| path.clone()).collect();
    for path in paths {
        let address = path.replace("{id}", "unknown-id").replace("{name}", "theo");
        for method in METHODS.map(str::to_uppercase) {
            let answer = server.ask(&method, &address, Value::Null).await;
            let routed = answer.code() != "method_not_allowed" && answer.code() != "not_found";
            let is_described = described.contains(&(method.clone(), path.clone()));
            assert_eq!(routed, is_described, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let server = TestServer::start().await;
    let document = invited::http::api::document();
    let made = server
        .create(
            json!({"kind": "contact", "inviter": "nora", "allow_registration": true, "max_uses": 3,
            "note": "x", "roles": ["r"], "groups": ["g"], "extra": {"a": 1}}),
        )
        .await;
    server
        .register(made["token"].as_str().expect("a token"), "theo")
        .await;
    let id = made["id"].as_str().expect("an id");
    let mut called = BTreeSet::new();
    for (operation, address, body) in [
        ("openapi", "/api/v1/openapi.json".to_owned(), Value::Null),
        ("create_invite", "/api/v1/invites".to_owned(), json!({})),
        (
            "create_invites",
            "/api/v1/invites/bulk".to_owned(),
            json!({"invites": [{}, {}]}),
        ),
        ("list_invites", "/api/v1/invites".to_owned(), Value::Null),
        ("show_invite", format!("/api/v1/invites/{id}"), Value::Null),
        (
            "alter_invite",
            format!("/api/v1/invites/{id}"),
            json!({"note": "y"}),
        ),
        (
            "list_registrations_of_invite",
            format!("/api/v1/invites/{id}/registrations"),
            Value::Null,
        ),
        (
            "list_registrations",
            "/api/v1/registrations".to_owned(),
            Value::Null,
        ),
        ("show_user", "/api/v1/users/nora".to_owned(), Value::Null),
        ("show_user", "/api/v1/users/theo".to_owned(), Value::Null),
        (
            "revoke_invite",
            format!("/api/v1/invites/{id}/revoke"),
            Value::Null,
        ),
        (
            "restore_invite",
            format!("/api/v1/invites/{id}/restore"),
            Value::Null,
        ),
        (
            "revoke_invites_of_user",
            "/api/v1/users/nora/revoke-invites".to_owned(),
            Value::Null,
        ),
        (
            "create_key",
            "/api/v1/keys".to_owned(),
            json!({"name": "x"}),
        ),
        ("list_keys", "/api/v1/keys".to_owned(), Value::Null),
        (
            "delete_key",
            format!(
                "/api/v1/keys/{}",
                server.creator.split('/').next().expect("an id")
            ),
            Value::Null,
        ),
    ] {
        let (method, _, said) = operations(&document)
            .into_iter()
            .find(|(_, _, said)| said["operationId"] == operation)
            .expect("it is described");
        let answer = server.ask(&method, &address, body).await;
        let response = &said["responses"][answer.status.to_string()];
        assert!(!response.is_null(), "{operation} answers {}", answer.status);
        let schema = &response["content"]["application/json"]["schema"];
        assert_eq!(faults(&document, schema, &answer.json, operation), [""; 0]);
        called.insert(operation.to_owned());
    }
    let described = operations(&document).into_iter().map(|(_, _, said)| {
        let name = said["operationId"].as_str();
        name.expect("a name").to_owned()
    });
    assert_eq!(called, described.collect(), "every operation is called");
}

#[tokio::test]
async fn refusals_are_as_the_document_says() {
    let server = TestServer::start().await;
    let document = invited::http::api::document();
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    for (path, body) in [
        ("/api/v1/invites", json!({"max_uses": -1})),
        (
            "/api/v1/invites/bulk",
            json!({"invites": [{}, {"roles": "x"}]}),
        ),
    ] {
        let answer = server.ask("POST", path, body).await;
        assert_eq!(faults(&document, &schema, &answer.json, path), [""; 0]);
    }
    let answer = server.send("GET", "/api/v1/invites", &[], "").await;
    assert_eq!(faults(&document, &schema, &answer.json, "401"), [""; 0]);
}

fn read(file: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn the_manual_lists_every_error_code_and_no_other() {
    let source = read("src/error.rs");
    let (_, codes) = source.split_once("pub fn code(").expect("the codes");
    let (codes, _) = codes.split_once("pub fn status(").expect("their end");
    let codes: BTreeSet<_> = codes
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.split_once('"'))
        .map(|(code, _)| code.to_owned())
        .collect();
    let manual = read("docs/api.md");
    let (_, listed) = manual.split_once("## Error codes").expect("the list");
    let listed: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code.to_owned())
        .collect();
    assert!(!codes.is_empty());
    assert_eq!(listed, codes);
}

#[test]
fn the_manual_has_every_operation() {
    let manual = read("docs/api.md");
    for (method, path, _) in operations(&invited::http::api::document()) {
        let heading = format!(
            "`{method} {}`",
            path.strip_prefix("/api/v1").expect("our API")
        );
        assert!(manual.contains(&heading), "docs/api.md lacks {heading}");
    }
}
