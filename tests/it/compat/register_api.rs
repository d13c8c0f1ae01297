//! `/register_api`: what whoever has a token may see and do.

use axum::http::Method;
use invited::invite::{Kind, Lifetime, NewInvite, State};
use serde_json::{Value, json};

use super::support::{Reply, Site, json_request, request, type_of};

const PASSWORD: &str = "Nine lives, one cat";

fn named(name: &str) -> impl FnOnce(&mut NewInvite) {
    move |new| new.localpart = Some(name.parse().expect("a name"))
}

fn contact(new: &mut NewInvite) {
    new.kind = Kind::Contact;
    new.localpart = Some("nora".parse().expect("a name"));
}

fn reset(new: &mut NewInvite) {
    new.kind = Kind::Reset;
    new.localpart = Some("theo".parse().expect("a name"));
}

async fn show(site: &Site, token: &str) -> Reply {
    site.get(&format!("/register_api/invite/{token}")).await
}

async fn register(site: &Site, body: &Value) -> Reply {
    let body = body.to_string();
    site.send(json_request(Method::POST, "/register_api/register", &body))
        .await
}

async fn decline(site: &Site, token: &str) -> Reply {
    let path = format!("/register_api/invite/{token}");
    site.send(request(Method::DELETE, &path)).await
}

#[tokio::test]
async fn an_invite_is_shown_field_by_field() {
    let site = Site::open();
    let created = site.invite(|_| {}).await;
    let token = created.token.expose();
    let reply = show(&site, token).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(
        reply.json(),
        json!({
            "site_name": "Example",
            "token": token,
            "domain": "chat.example",
            "uri": format!("xmpp:chat.example?register;preauth={token}"),
            "type": "register",
            "jid": "chat.example",
            "created_at": created.invite.created_at.0,
            "expires": created.invite.expires_at.expect("it expires").0,
            "additional_data": {},
        })
    );
}

#[tokio::test]
async fn the_invitee_sees_the_inviter_the_name_and_the_reset_but_no_note() {
    let site = Site::open();
    let from_nora = site.invite(contact).await.token;
    let shown = show(&site, from_nora.expose()).await.json();
    assert_eq!(shown["type"], "roster");
    assert_eq!(shown["inviter"], "nora");
    assert_eq!(shown["jid"], "nora@chat.example");

    let of_theo = site.invite(reset).await.token;
    let shown = show(&site, of_theo.expose()).await.json();
    assert_eq!(shown["reset"], "theo");
    assert_eq!(shown["type"], "register");

    let noted = site
        .invite(|new| {
            new.details.note = Some("a friend of the boss".into());
            new.details.source = Some("boss@chat.example/admin_api".into());
            new.details.roles = vec!["prosody:member".into()];
            let extra = &mut new.details.extra;
            extra.insert("email".into(), json!("theo@mail.example"));
        })
        .await;
    let reply = show(&site, noted.token.expose()).await;
    assert_eq!(
        reply.json()["additional_data"],
        json!({"roles": ["prosody:member"], "email": "theo@mail.example"})
    );
    assert!(!reply.body.contains("boss"), "{}", reply.body);
}

#[tokio::test]
async fn an_invite_that_never_expires_has_a_number_all_the_same() {
    let site = Site::open();
    let token = site
        .invite(|new| new.lifetime = Lifetime::Never)
        .await
        .token;
    let expires = &show(&site, token.expose()).await.json()["expires"];
    assert_eq!(type_of(expires), "integer");
    assert_eq!(*expires, 253_402_300_799_i64);
}

#[tokio::test]
async fn whatever_gives_no_account_now_is_not_found() {
    let site = Site::open();
    let elsewhere = site.invite_at("other.example", |_| {}).await.token;
    let contact_only = site
        .invite(|new| {
            contact(new);
            new.allow_registration = false;
        })
        .await
        .token;
    let revoked = site.invite(|_| {}).await;
    site.app
        .revoke_invite(site.host("chat.example"), &revoked.invite)
        .await
        .expect("revoked");
    let expired = site
        .invite(|new| new.lifetime = Lifetime::Seconds(1))
        .await
        .token;
    site.app.clock.advance(2);
    let long = "A".repeat(5_000);
    for token in [
        elsewhere.expose(),
        contact_only.expose(),
        revoked.token.expose(),
        expired.expose(),
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        "short",
        "%3Cscript%3E",
        &long,
    ] {
        show(&site, token).await.refused(404);
        decline(&site, token).await.refused(404);
        let asked = json!({"token": token, "username": "theo", "password": PASSWORD});
        let status = register(&site, &asked).await.status.as_u16();
        assert!([400, 404].contains(&status), "{token}: {status}");
    }
}

#[tokio::test]
async fn every_field_of_a_registration_is_checked() {
    let site = Site::open();
    let created = site.invite(|_| {}).await;
    let good = json!({"token": created.token.expose(), "username": "theo", "password": PASSWORD});
    let huge = "x".repeat(10_000);
    for field in ["token", "username", "password"] {
        for wrong in [
            Value::Null,
            json!(""),
            json!(7),
            json!(true),
            json!(["a"]),
            json!({}),
            json!(huge),
        ] {
            let mut asked = good.clone();
            asked[field] = wrong;
            assert_eq!(register(&site, &asked).await.refused(400), field, "{asked}");
        }
        let mut asked = good.clone();
        asked.as_object_mut().expect("an object").remove(field);
        assert_eq!(register(&site, &asked).await.refused(400), field);
    }
    let with = |field: &str, value: &str| {
        let mut asked = good.clone();
        asked[field] = json!(value);
        asked
    };
    for name in [
        "a b",
        "a@b",
        "theo@other.example",
        "thé",
        "/",
        "\u{0}",
        &"x".repeat(1_100),
    ] {
        let reply = register(&site, &with("username", name)).await;
        assert_eq!(reply.refused(400), "username", "{name}");
    }
    for password in [
        "x",
        "my name is theo",
        "\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}",
    ] {
        let reply = register(&site, &with("password", password)).await;
        assert_eq!(reply.refused(400), "password", "{password}");
    }
    let found = site
        .app
        .find_invite(site.host("chat.example"), &created.token)
        .await
        .expect("it is there");
    assert_eq!((found.uses, found.unfinished), (0, 0));
}

#[tokio::test]
async fn the_body_is_json_and_says_so() {
    let site = Site::open();
    let token = site.invite(|_| {}).await.token;
    let good =
        json!({"token": token.expose(), "username": "theo", "password": PASSWORD}).to_string();
    for content_type in [
        "application/json-patch+json",
        "text/json",
        "application/x-www-form-urlencoded",
    ] {
        let mut request = json_request(Method::POST, "/register_api/register", &good);
        let value = content_type.parse().expect("a header value");
        request.headers_mut().insert("content-type", value);
        assert_eq!(site.send(request).await.refused(400), "Content-Type");
    }
    let mut request = json_request(Method::POST, "/register_api/register", &good);
    request.headers_mut().remove("content-type");
    assert_eq!(site.send(request).await.refused(400), "Content-Type");
    for body in ["", "{", "[]", "null", "7", "\"text\"", &"[".repeat(10_000)] {
        let request = json_request(Method::POST, "/register_api/register", body);
        assert_eq!(site.send(request).await.refused(400), "body", "{body}");
    }
}

#[tokio::test]
async fn a_fixed_name_and_a_reset_refuse_every_other_name() {
    let site = Site::open();
    for token in [
        site.invite(named("lena")).await.token,
        site.invite(reset).await.token,
    ] {
        let asked = json!({"token": token.expose(), "username": "tim", "password": PASSWORD});
        register(&site, &asked).await.refused(403);
    }
}

#[tokio::test]
async fn without_a_name_the_name_of_the_invite_counts() {
    let site = Site::open();
    let token = site.invite(named("lena")).await.token;
    for asked in [
        json!({"token": token.expose(), "password": PASSWORD}),
        json!({"token": token.expose(), "password": PASSWORD, "username": null}),
        json!({"token": token.expose(), "password": PASSWORD, "username": ""}),
        json!({"token": token.expose(), "password": PASSWORD, "username": "LENA"}),
        json!({"token": token.expose(), "password": PASSWORD, "username": "lena@chat.example"}),
    ] {
        // The name is right, so the chat server is asked, which is not there.
        let reply = register(&site, &asked).await;
        reply.refused(503);
        assert_eq!(reply.headers["retry-after"], "10");
        assert_eq!(reply.json()["reason"], "xmpp_unavailable");
    }
    assert_eq!(show(&site, token.expose()).await.status, 200, "not used up");
}

#[tokio::test]
async fn a_single_use_invite_can_be_declined_once() {
    let site = Site::open();
    for created in [site.invite(|_| {}).await, site.invite(reset).await] {
        let token = created.token.expose();
        let reply = decline(&site, token).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, Value::Null));
        decline(&site, token).await.refused(404);
        show(&site, token).await.refused(404);
        let found = site
            .app
            .find_invite(site.host("chat.example"), &created.token)
            .await
            .expect("it is remembered");
        assert_eq!(found.state(site.app.clock.now()), State::Revoked);
    }
}

#[tokio::test]
async fn nobody_declines_what_is_for_several_people_or_to_become_a_contact() {
    let site = Site::open();
    for token in [
        site.invite(|new| new.max_uses = None).await.token,
        site.invite(|new| new.max_uses = Some(2)).await.token,
        site.invite(contact).await.token,
    ] {
        decline(&site, token.expose()).await.refused(403);
        assert_eq!(show(&site, token.expose()).await.status, 200);
    }
}

#[tokio::test]
async fn looking_uses_nothing_up_and_other_methods_are_refused() {
    let site = Site::open();
    let created = site.invite(|_| {}).await;
    let path = format!("/register_api/invite/{}", created.token.expose());
    assert_eq!(site.send(request(Method::HEAD, &path)).await.status, 200);
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let reply = site.send(request(method, &path)).await;
        reply.refused(405);
        assert_eq!(reply.headers["allow"], "OPTIONS, GET, DELETE");
    }
    let reply = site.get("/register_api/register").await;
    reply.refused(405);
    assert_eq!(reply.headers["allow"], "OPTIONS, POST");
    for path in [
        "/register_api/invite/",
        "/register_api/invite",
        &format!("{path}/"),
        "/register_api/register/",
        "/register_api",
    ] {
        site.get(path).await.refused(404);
    }
    assert_eq!(show(&site, created.token.expose()).await.status, 200);
}

#[tokio::test]
async fn scripts_of_other_sites_may_ask() {
    let site = Site::open();
    let token = site.invite(|_| {}).await.token;
    let path = format!("/register_api/invite/{}", token.expose());
    for (method, path) in [
        (Method::GET, path.as_str()),
        (Method::OPTIONS, path.as_str()),
        (Method::OPTIONS, "/register_api/register"),
    ] {
        let mut request = request(method, path);
        let origin = "https://portal.example".parse().expect("a header value");
        request.headers_mut().insert("origin", origin);
        let reply = site.send(request).await;
        assert_eq!(reply.status, 200);
        let allowed = &reply.headers["access-control-allow-origin"];
        assert_eq!(allowed, "https://portal.example");
        assert_eq!(
            reply.headers["access-control-allow-headers"],
            "Content-Type"
        );
    }
}

#[tokio::test]
async fn the_paths_can_be_moved() {
    let site = Site::open_with(
        "http_paths = { invites_register_api = \"/join\", admin_api = \"/office\" }",
    );
    let token = site.invite(|_| {}).await.token;
    let shown = site.get(&format!("/join/invite/{}", token.expose())).await;
    assert_eq!(shown.status, 200);
    assert_eq!(show(&site, token.expose()).await.status, 404);
    site.get("/office/invites").await.refused(401);
    site.get("/office/nowhere").await.refused(404);
    site.get("/join").await.refused(404);
    assert_eq!(site.get("/admin_api/invites").await.status, 404);
}
