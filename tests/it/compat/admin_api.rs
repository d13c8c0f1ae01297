//! `/admin_api/invites`: who may, what comes back, what is refused.

use axum::http::Method;
use invited::api_key::Scope;
use invited::invite::{Kind, Lifetime, State};
use invited::token::InviteToken;
use serde_json::{Value, json};

use super::support::{Reply, Site, json_request, request, type_of};
use crate::support::START;

/// What every invite has, and the types of what it has only if there is something.
const FIELDS: &[(&str, &str)] = &[
    ("id", "text"),
    ("type", "text"),
    ("reusable", "boolean"),
    ("jid", "text"),
    ("uri", "text"),
    ("landing_page", "text"),
    ("created_at", "integer"),
    ("expires", "integer"),
    ("groups", "list"),
    ("roles", "list"),
    ("reset", "boolean"),
    ("additional_data", "object"),
];
const OPTIONAL: &[(&str, &str)] = &[("inviter", "text"), ("note", "text"), ("source", "text")];

/// A portal with a key.
struct Portal {
    site: Site,
    key: String,
}

impl Portal {
    async fn open() -> Self {
        let site = Site::open();
        let key = site.key("chat.example", Scope::Admin).await;
        Self { site, key }
    }

    async fn send(&self, mut request: axum::http::Request<axum::body::Body>) -> Reply {
        let value = format!("Bearer {}", self.key)
            .parse()
            .expect("a header value");
        request.headers_mut().insert("authorization", value);
        self.site.send(request).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, &format!("/admin_api/invites{path}")))
            .await
    }

    async fn delete(&self, id: &str) -> Reply {
        let path = format!("/admin_api/invites/{id}");
        self.send(request(Method::DELETE, &path)).await
    }

    async fn post(&self, kind: &str, body: &Value) -> Reply {
        let path = format!("/admin_api/invites/{kind}");
        self.send(json_request(Method::POST, &path, &body.to_string()))
            .await
    }
}

/// An invite of good form.
#[track_caller]
fn made(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{reply:?}");
    let invite = reply.json();
    check_form(&invite);
    invite
}

#[track_caller]
fn check_form(invite: &Value) {
    for (field, kind) in FIELDS {
        assert_eq!(type_of(&invite[field]), *kind, "{field}: {invite}");
    }
    for (field, value) in invite.as_object().expect("an invite is an object") {
        let mut known = FIELDS.iter().chain(OPTIONAL);
        let kind = known.find(|(name, _)| name == field).map(|(_, kind)| *kind);
        assert_eq!(kind, Some(type_of(value)), "{field}: {invite}");
    }
}

#[tokio::test]
async fn without_a_good_token_everything_is_401_and_says_how() {
    let portal = Portal::open().await;
    let other = portal.site.key("other.example", Scope::Admin).await;
    let invite = portal.site.invite(|_| {}).await.token;
    let before = portal.site.invites().await;
    let good = &portal.key;
    let shown = [
        None,
        Some("Bearer nonsense".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer".to_owned()),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {good} more")),
        Some(format!("Bearer {other}")),
        Some(format!("Basic {good}")),
        Some(good.clone()),
        Some(format!("Bearer {}", "A".repeat(5_000))),
    ];
    let id = format!("/admin_api/invites/{}", invite.expose());
    for authorization in shown {
        for (method, path) in [
            (Method::GET, "/admin_api/invites"),
            (Method::GET, id.as_str()),
            (Method::DELETE, id.as_str()),
            (Method::POST, "/admin_api/invites/account"),
            (Method::POST, "/admin_api/invites/other"),
        ] {
            let mut request = request(method, path);
            if let Some(value) = &authorization {
                let value = value.parse().expect("a header value");
                request.headers_mut().insert("authorization", value);
            }
            let reply = portal.site.send(request).await;
            reply.refused(401);
            assert_eq!(
                reply.headers["www-authenticate"],
                "Bearer realm=\"chat.example/admin_api\""
            );
            assert!(!reply.headers.contains_key("authorization"));
        }
    }
    assert_eq!(portal.site.invites().await, before);
    assert_eq!(
        portal.get(&format!("/{}", invite.expose())).await.status,
        200
    );
}

#[tokio::test]
async fn a_key_that_may_only_create_is_403() {
    let mut portal = Portal::open().await;
    portal.key = portal.site.key("chat.example", Scope::Create).await;
    portal.get("").await.refused(403);
    portal.post("account", &json!({})).await.refused(403);
    assert_eq!(portal.site.invites().await, 0);
}

#[tokio::test]
async fn a_deleted_key_is_dead_at_once() {
    let portal = Portal::open().await;
    assert_eq!(portal.get("").await.status, 200);
    let host = portal.site.host("chat.example");
    portal
        .site
        .app
        .delete_key(host, &portal.key)
        .await
        .expect("deleted");
    portal.get("").await.refused(401);
}

#[tokio::test]
async fn an_account_invite_needs_no_body() {
    let portal = Portal::open().await;
    let post = request(Method::POST, "/admin_api/invites/account");
    let invite = made(&portal.send(post).await);
    let token = invite["id"].as_str().expect("an id");
    let key_id = portal.key.split('/').next().expect("an id");
    assert_eq!(
        invite,
        json!({
            "id": token,
            "type": "register",
            "reusable": false,
            "jid": "chat.example",
            "uri": format!("xmpp:chat.example?register;preauth={token}"),
            "landing_page": format!("https://chat.example/invite?{token}"),
            "created_at": START,
            "expires": START + 7 * 86_400,
            "groups": [],
            "roles": [],
            "reset": false,
            "additional_data": {},
            "source": format!("api/token/{key_id}"),
        })
    );
}

#[tokio::test]
async fn the_fields_of_old_and_new_portals_are_kept() {
    let portal = Portal::open().await;
    let old = json!({"username": "Theo", "ttl": 3_600, "groups": ["family"]});
    let invite = made(&portal.post("account", &old).await);
    assert_eq!(invite["jid"], "theo@chat.example");
    assert_eq!(invite["expires"], START + 3_600);
    assert_eq!(invite["groups"], json!(["family"]));

    let new = json!({
        "username": null, "ttl": null, "groups": [], "roles": ["prosody:restricted"], "note": "for the plumber",
        "additional_data": {"email": "p@mail.example"},
    });
    let invite = made(&portal.post("account", &new).await);
    assert_eq!(invite["roles"], json!(["prosody:restricted"]));
    assert_eq!(invite["note"], "for the plumber");
    assert_eq!(
        invite["additional_data"],
        json!({"email": "p@mail.example"})
    );
    let path = format!("/{}", invite["id"].as_str().expect("an id"));
    assert_eq!(made(&portal.get(&path).await), invite);
}

#[tokio::test]
async fn a_group_invite_with_a_ttl_is_for_all_and_without_one_for_one() {
    let portal = Portal::open().await;
    let one = portal.post("group", &json!({"groups": ["family"]})).await;
    let one = made(&one);
    assert_eq!(
        (&one["reusable"], &one["groups"]),
        (&json!(false), &json!(["family"]))
    );
    let all = json!({"groups": ["family", "work"], "ttl": 86_400, "note": "party"});
    let all = made(&portal.post("group", &all).await);
    assert_eq!(
        (&all["reusable"], &all["note"]),
        (&json!(true), &json!("party"))
    );
    assert_eq!(all["expires"], START + 86_400);
    for wrong in [json!({}), json!({"groups": null}), json!({"ttl": 60})] {
        assert_eq!(portal.post("group", &wrong).await.refused(400), "groups");
    }
}

#[tokio::test]
async fn a_reset_is_for_one_account_and_one_day() {
    let portal = Portal::open().await;
    let reset = portal.post("reset", &json!({"username": "theo"})).await;
    let reset = made(&reset);
    assert_eq!(reset["reset"], true);
    assert_eq!(reset["type"], "register");
    assert_eq!(reset["jid"], "theo@chat.example");
    assert_eq!(reset["expires"], START + 86_400);
    let short = json!({"username": "theo", "ttl": 600});
    let short = made(&portal.post("reset", &short).await);
    assert_eq!(short["expires"], START + 600);
    for wrong in [
        json!({}),
        json!({"username": null}),
        json!({"username": ""}),
        json!({"ttl": 60}),
    ] {
        assert_eq!(portal.post("reset", &wrong).await.refused(400), "username");
    }
}

#[tokio::test]
async fn every_field_is_checked_and_nothing_is_stored() {
    let portal = Portal::open().await;
    let long = "x".repeat(3_000);
    let texts = [json!(7), json!(true), json!([]), json!({}), json!(long)];
    let lists = [
        json!(7),
        json!("family"),
        json!({"family": true}),
        json!([7]),
        json!([null]),
        json!([""]),
        json!([long]),
        json!([["a"]]),
        json!(vec!["a"; 101]),
    ];
    let numbers = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("0"),
        json!("-60"),
        json!("+60"),
        json!("60.0"),
        json!("6e1"),
        json!(" 60"),
        json!("1 day"),
        json!("soon"),
        json!("６０"),
        json!("9".repeat(30)),
        json!(true),
        json!([60]),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(100_i64 * 366 * 86_400),
    ];
    let objects = [json!(7), json!("a"), json!([1]), json!(true)];
    let names = ["a b", "a@b", "thé", "a/b", &long];
    let wrong = [
        ("username", texts.as_slice()),
        ("note", &texts),
        ("groups", &lists),
        ("roles", &lists),
        ("ttl", &numbers),
        ("additional_data", &objects),
    ];
    for kind in ["account", "group", "reset"] {
        let good = match kind {
            "group" => json!({"groups": ["family"]}),
            "reset" => json!({"username": "theo"}),
            _ => json!({}),
        };
        for (field, values) in wrong {
            let unknown = match kind {
                "group" => field == "username",
                "reset" => field == "roles",
                _ => false,
            };
            if unknown {
                continue;
            }
            for value in values {
                let mut asked = good.clone();
                asked[field] = value.clone();
                let reply = portal.post(kind, &asked).await;
                assert_eq!(reply.refused(400), field, "{kind} {asked}");
            }
        }
    }
    for name in names {
        let asked = json!({"username": name});
        let reply = portal.post("account", &asked).await;
        assert_eq!(reply.refused(400), "username", "{name}");
    }
    let reply = portal
        .post("account", &json!({"note": "x".repeat(1_001)}))
        .await;
    assert_eq!(reply.refused(400), "note");
    let fat: Vec<String> = (0..90).map(|n| format!("{n:0>1000}")).collect();
    let fat = json!({"groups": fat});
    assert_eq!(
        portal.post("account", &fat).await.refused(400),
        "additional_data"
    );
    for kind in ["other", "accounts", "contact", "a".repeat(3_000).as_str()] {
        assert_eq!(portal.post(kind, &json!({})).await.refused(400), "type");
    }
    assert_eq!(portal.site.invites().await, 0);
}

#[tokio::test]
async fn the_body_is_json_and_says_so() {
    let portal = Portal::open().await;
    for (content_type, body, field) in [
        ("application/json-patch+json", "{}", "Content-Type"),
        ("application/jsonp", "{}", "Content-Type"),
        ("text/plain", "{}", "Content-Type"),
        ("application/json", "[]", "body"),
        ("application/json", "{\"ttl\":", "body"),
        ("application/json", "null", "body"),
    ] {
        let mut post = json_request(Method::POST, "/admin_api/invites/account", body);
        let value = content_type.parse().expect("a header value");
        post.headers_mut().insert("content-type", value);
        assert_eq!(portal.send(post).await.refused(400), field, "{body}");
    }
    assert_eq!(portal.site.invites().await, 0);
}

#[tokio::test]
async fn a_name_that_is_set_aside_is_a_conflict() {
    let portal = Portal::open().await;
    let lena = json!({"username": "lena"});
    made(&portal.post("account", &lena).await);
    portal.post("account", &lena).await.refused(409);
}

#[tokio::test]
async fn the_list_has_what_gives_an_account_now_oldest_first() {
    let portal = Portal::open().await;
    assert_eq!(portal.get("").await.json(), json!([]));
    let mut expected = Vec::new();
    for kind in ["account", "reset", "group"] {
        let asked = json!({"username": "theo", "groups": ["family"]});
        let made = made(&portal.post(kind, &asked).await);
        expected.push(made);
        portal.site.app.clock.advance(1);
    }
    let from_nora = |registers: bool| {
        move |new: &mut invited::invite::NewInvite| {
            new.kind = Kind::Contact;
            new.allow_registration = registers;
            new.localpart = Some("nora".parse().expect("a name"));
        }
    };
    let with_account = portal.site.invite(from_nora(true)).await;
    let contact_only = portal.site.invite(from_nora(false)).await;
    portal
        .site
        .invite(|new| new.lifetime = Lifetime::Seconds(1))
        .await;
    let deleted = portal.site.invite(|_| {}).await.token;
    assert_eq!(portal.delete(deleted.expose()).await.status, 200);
    portal.site.invite_at("other.example", |_| {}).await;
    portal.site.app.clock.advance(2);

    let reply = portal.get("").await;
    assert_eq!(reply.status, 200);
    let listed = reply.json();
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed[..3], expected[..]);
    let last = &listed[3];
    check_form(last);
    assert_eq!(last["id"], with_account.token.expose());
    assert_eq!(
        (&last["type"], &last["inviter"]),
        (&json!("roster"), &json!("nora"))
    );
    assert_eq!(listed.len(), 4);
    let hidden = format!("/{}", contact_only.token.expose());
    portal.get(&hidden).await.refused(404);
    portal
        .delete(contact_only.token.expose())
        .await
        .refused(404);
}

#[tokio::test]
async fn a_list_of_more_than_one_page_is_whole() {
    let portal = Portal::open().await;
    let host = portal.site.host("chat.example");
    let new = vec![invited::invite::NewInvite::account(); 2_500];
    portal
        .site
        .app
        .create_invites(host, new, invited::app::By::Operator, None)
        .await
        .expect("made");
    let listed = portal.get("").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2_500));
}

#[tokio::test]
async fn deleting_ends_the_invite_twice_is_fine_and_what_never_was_is_404() {
    let portal = Portal::open().await;
    let invite = made(&portal.post("account", &json!({"username": "lena"})).await);
    let id = invite["id"].as_str().expect("an id");
    let elsewhere = portal.site.invite_at("other.example", |_| {}).await.token;
    for unknown in ["AAAAAAAAAAAAAAAAAAAAAAAA", "x", "%00", elsewhere.expose()] {
        portal.delete(unknown).await.refused(404);
        portal.get(&format!("/{unknown}")).await.refused(404);
    }
    for _ in 0..2 {
        let reply = portal.delete(id).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, Value::Null));
    }
    portal.get(&format!("/{id}")).await.refused(404);
    let token: InviteToken = id.parse().expect("a token");
    let host = portal.site.host("chat.example");
    let found = portal.site.app.find_invite(host, &token).await;
    let state = found.expect("kept").state(portal.site.app.clock.now());
    assert_eq!(state, State::Revoked);
    portal
        .site
        .app
        .check_name(host, "lena")
        .await
        .expect("the name is free");
}

#[tokio::test]
async fn deleting_an_invite_with_a_contact_ends_the_contact_too() {
    let portal = Portal::open().await;
    let token = portal
        .site
        .invite(|new| {
            new.kind = Kind::Contact;
            new.localpart = Some("nora".parse().expect("a name"));
        })
        .await
        .token;
    assert_eq!(portal.delete(token.expose()).await.status, 200);
    let host = portal.site.host("chat.example");
    let claim = portal.site.app.claim_contact(host, token.expose(), "nora");
    assert!(claim.await.is_err());
}

#[tokio::test]
async fn an_expired_invite_is_not_shown() {
    let portal = Portal::open().await;
    let invite = made(&portal.post("account", &json!({"ttl": 10})).await);
    let path = format!("/{}", invite["id"].as_str().expect("an id"));
    assert_eq!(portal.get(&path).await.status, 200);
    portal.site.app.clock.advance(11);
    portal.get(&path).await.refused(404);
}

#[tokio::test]
async fn a_prosody_that_does_not_answer_is_503_and_keys_work_all_the_same() {
    let site = Site::open_with("prosody_url = \"http://127.0.0.1:1/invited\"");
    let key = site.key("chat.example", Scope::Admin).await;
    let mut portal = Portal { site, key };
    assert_eq!(portal.get("").await.status, 200);
    portal.key = "MTt0aGVvQGNoYXQuZXhhbXBsZTthYmM=".into();
    portal.get("").await.refused(503);
}
