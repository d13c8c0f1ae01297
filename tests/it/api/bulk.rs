//! Many invites in one request: all or none.

use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

const BULK: &str = "/api/v1/invites/bulk";

async fn csv(server: &TestServer, text: &str) -> Answer {
    let bearer = format!("Bearer {}", server.admin);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "text/csv; charset=utf-8"),
    ];
    server.send("POST", BULK, &headers, text.to_owned()).await
}

#[tokio::test]
async fn ten_thousand_invites_are_made_by_one_request() {
    let server = TestServer::start().await;
    let invites: Vec<Value> = (0..10_000)
        .map(|n| json!({"username": format!("user{n}")}))
        .collect();
    let answer = server
        .ask("POST", BULK, json!({ "invites": invites }))
        .await;
    assert_eq!(answer.status, 201);
    let made = answer.json["invites"].as_array().expect("a list");
    assert_eq!(made.len(), 10_000);
    for (n, invite) in made.iter().enumerate() {
        assert_eq!(invite["username"], format!("user{n}"));
    }
    assert_eq!(server.count().await, 10_000);
}

#[tokio::test]
async fn a_list_too_long_or_empty_or_of_something_else_is_refused() {
    let server = TestServer::start().await;
    for list in [
        json!([]),
        json!(vec![json!({}); 10_001]),
        json!(5),
        json!({}),
        Value::Null,
    ] {
        let answer = server.ask("POST", BULK, json!({ "invites": list })).await;
        assert_eq!(
            (answer.status, answer.field()),
            (422, "invites"),
            "{answer:?}"
        );
    }
    for item in [json!(5), json!("x"), json!([])] {
        let answer = server
            .ask("POST", BULK, json!({"invites": [{}, item]}))
            .await;
        assert_eq!(
            (answer.status, answer.json["item"].as_i64()),
            (422, Some(2))
        );
    }
    let answer = server
        .ask("POST", BULK, json!({"invites": [{}], "dry_run": true}))
        .await;
    assert_eq!((answer.status, answer.field()), (422, "dry_run"));
    let answer = server.ask("POST", BULK, Value::Null).await;
    assert_eq!(answer.status, 422);
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn a_body_over_ten_megabytes_is_refused() {
    let server = TestServer::start().await;
    let large = json!({"invites": [{"note": "x".repeat(10 * 1024 * 1024)}]});
    let answer = server.ask("POST", BULK, large).await;
    assert_eq!((answer.status, answer.code()), (413, "too_large"));
}

#[tokio::test]
async fn one_bad_row_stores_nothing() {
    let server = TestServer::start().await;
    server.create(json!({"username": "taken"})).await;
    server
        .create(json!({"token": "taken-token", "max_uses": 9}))
        .await;
    let twice = json!({"token": "chosen-token", "max_uses": 9});
    for (row, code, item) in [
        (
            vec![json!({"username": "theo"}), json!({"username": "taken"})],
            "name_held",
            2,
        ),
        (
            vec![
                json!({"username": "theo"}),
                json!({}),
                json!({"username": "Theo"}),
            ],
            "name_held",
            3,
        ),
        (
            vec![json!({"token": "taken-token", "max_uses": 9}), json!({})],
            "token_taken",
            1,
        ),
        (vec![twice.clone(), twice], "token_taken", 2),
    ] {
        let answer = server.ask("POST", BULK, json!({ "invites": row })).await;
        assert_eq!((answer.status, answer.code()), (409, code));
        assert_eq!(answer.json["item"], item);
    }
    let contact = json!({"invites": [{}, {"kind": "contact", "inviter": "nora"}]});
    let answer = server
        .ask_with(&server.creator, "POST", BULK, contact)
        .await;
    assert_eq!((answer.status, answer.code()), (403, "scope_too_small"));
    assert_eq!(server.count().await, 2);
}

#[tokio::test]
async fn a_limited_key_makes_no_list_beyond_its_limit() {
    let server = TestServer::start().await;
    let key = server
        .ask("POST", "/api/v1/keys", json!({"max_per_day": 3}))
        .await;
    let key = key.json["key"].as_str().expect("a key").to_owned();
    let answer = server
        .ask_with(&key, "POST", BULK, json!({"invites": [{}, {}, {}, {}]}))
        .await;
    assert_eq!((answer.status, answer.code()), (429, "key_limit"));
    assert!(answer.header("retry-after").is_some());
    let answer = server
        .ask_with(&key, "POST", BULK, json!({"invites": [{}, {}, {}]}))
        .await;
    assert_eq!(answer.status, 201);
    let answer = server
        .ask_with(&key, "POST", "/api/v1/invites", json!({}))
        .await;
    assert_eq!((answer.status, answer.code()), (429, "key_limit"));
    assert_eq!(server.count().await, 3);
}

#[tokio::test]
async fn a_table_makes_an_invite_from_each_row() {
    let server = TestServer::start().await;
    let text = "\u{feff}username,max_uses,roles,groups,expires_in,note,token,extra\r\n\
                theo,,member;guest,a b,7d,\"class 7b, room 2\",,\r\n\
                ,unlimited,,,3600,,summer-camp,\"{\"\"id\"\":7}\"\r\n\
                ,5,,,,,,\r\n";
    let answer = csv(&server, text).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = &answer.json["invites"];
    assert_eq!(made[0]["username"], "theo");
    assert_eq!(made[0]["roles"], json!(["member", "guest"]));
    assert_eq!(made[0]["groups"], json!(["a", "b"]));
    assert_eq!(made[0]["note"], "class 7b, room 2");
    assert_eq!(made[1]["max_uses"], Value::Null);
    assert_eq!(made[1]["token"], "summer-camp");
    assert_eq!(made[1]["extra"], json!({"id": 7}));
    assert_eq!(made[2]["max_uses"], 5);
}

#[tokio::test]
async fn a_bad_cell_is_named_by_row_and_column_and_nothing_is_stored() {
    let server = TestServer::start().await;
    for (text, item, field) in [
        ("username\ntheo\na b\n", Some(2), "username"),
        ("max_uses\n1\n2\nmany\n", Some(3), "max_uses"),
        ("max_uses\n-1\n", Some(1), "max_uses"),
        ("expires_in\nnever\n", Some(1), "expires_in"),
        (
            "allow_registration,note\nperhaps,\n",
            Some(1),
            "allow_registration",
        ),
        ("extra,note\n{,\n", Some(1), "extra"),
        ("kind\nvoucher\n", Some(1), "kind"),
        ("token,max_uses\nshort,5\n", Some(1), "token"),
        ("username,colour\ntheo,\n", None, "colour"),
        ("username,username\ntheo,thea\n", None, "body"),
        ("Username,USERNAME\ntheo,thea\n", None, "body"),
        ("username,\ntheo,\n,stray\n", Some(2), "body"),
        ("username;note\n;\ntheo;\na b;\n", Some(3), "username"),
        ("username|note\ntheo|\n", None, "username|note"),
        ("username,note\n,\n,\n", None, "invites"),
        ("username,note\ntheo\n", None, "body"),
        ("username\n", None, "invites"),
        ("", None, "invites"),
    ] {
        let answer = csv(&server, text).await;
        assert_eq!(
            (answer.status, answer.field()),
            (422, field),
            "{text:?}: {answer:?}"
        );
        assert_eq!(answer.json["item"].as_i64(), item, "{text:?}");
    }
    assert_eq!(server.count().await, 0);
}

#[tokio::test]
async fn rows_with_nothing_in_them_make_no_invite_and_are_counted() {
    let server = TestServer::start().await;
    let answer = csv(&server, "username,note\r\ntheo,a\r\n,\r\n,\r\n").await;
    assert_eq!(
        (answer.status, &answer.json["empty_rows"]),
        (201, &json!(2))
    );
    assert_eq!(server.count().await, 1);
    // Names that are taken are only found where invites are made.
    let answer = csv(&server, "username\n\"\"\nnora\n\"\"\ntheo\n").await;
    assert_eq!(
        (answer.code(), &answer.json["item"]),
        ("name_held", &json!(4))
    );
    let answer = server.ask("POST", BULK, json!({"invites": [{}]})).await;
    assert_eq!(
        (answer.status, &answer.json["empty_rows"]),
        (201, &json!(0))
    );
}

#[tokio::test]
async fn tables_of_spreadsheets_are_taken_or_refused_with_the_word_that_helps() {
    let server = TestServer::start().await;
    for (n, (text, status)) in [
        (
            "Kind;Inviter;Allow registration\r\nContact;nora;Ja\r\n",
            201,
        ),
        (
            "KIND\tINVITER\tALLOW_REGISTRATION\ncontact\tnora\tTRUE\n",
            201,
        ),
        (
            "\u{feff}sep=,\nkind,inviter,allow-registration\ncontact,nora,yes\n",
            201,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = csv(&server, text).await;
        assert_eq!(answer.status, status, "{n} {answer:?}");
        assert_eq!(answer.json["invites"][0]["allow_registration"], true, "{n}");
    }
    let bearer = format!("Bearer {}", server.admin);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "text/csv"),
    ];
    for (body, word) in [
        (
            &b"username,note\ntheo,B\xfccher\n"[..],
            "line 2: a letter here is not in UTF-8",
        ),
        (b"\xff\xfeu\0s\0e\0r\0", "line 1: this is UTF-16"),
    ] {
        let answer = server.send("POST", BULK, &headers, body).await;
        assert_eq!((answer.status, answer.field()), (422, "body"));
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains(word) && detail.contains("save the file as UTF-8"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_table_is_taken_as_libreoffice_saves_it() {
    let server = TestServer::start().await;
    // LibreOffice 7.4, "Text CSV" in UTF-8, with each of its separators.
    let rows = [
        r#""Username"|"Note"|"Max uses"|"Kind"|"Inviter"|"Allow registration""#,
        r#""theo"|"für Theo, 7b; the second"|1|"account"||"#,
        "|||||",
        r#"|||"contact"|"nora"|"TRUE""#,
        "|\"two\nlines\"|5|||",
        "",
    ];
    for separator in [",", ";", "\t"] {
        let text = rows.join("\n").replace('|', separator);
        let answer = csv(&server, &text).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json["empty_rows"], 1);
        let made = &answer.json["invites"];
        assert_eq!(made.as_array().map(Vec::len), Some(3));
        assert_eq!(
            (&made[0]["username"], &made[0]["max_uses"]),
            (&json!("theo"), &json!(1))
        );
        assert_eq!(made[0]["note"], "für Theo, 7b; the second");
        assert_eq!(
            (&made[1]["kind"], &made[1]["allow_registration"]),
            (&json!("contact"), &json!(true))
        );
        assert_eq!(
            (&made[2]["note"], &made[2]["max_uses"]),
            (&json!("two\nlines"), &json!(5))
        );
        let token = made[0]["token"].as_str().expect("a token");
        server
            .ask(
                "POST",
                &format!("/api/v1/invites/{token}/revoke"),
                Value::Null,
            )
            .await;
    }
}
