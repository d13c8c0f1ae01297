//! The pages that portals and old links lead to.

use axum::http::{Method, Request, header};

use super::support::{Site, request};

fn posted(fields: &str, cookie: &str) -> Request<axum::body::Body> {
    let mut post = request(Method::POST, "/register");
    let form = "application/x-www-form-urlencoded";
    for (name, value) in [(header::CONTENT_TYPE, form), (header::COOKIE, cookie)] {
        let value = value.parse().expect("a header value");
        post.headers_mut().insert(name, value);
    }
    *post.body_mut() = fields.to_owned().into();
    post
}

#[tokio::test]
async fn the_pages_answer_under_the_addresses_of_prosodys_modules() {
    let site = Site::open();
    let token = site.invite(|_| {}).await.token;
    let token = token.expose();
    let page = site.get(&format!("/invites_page?{token}")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let link = format!("<xmpp:chat.example?register;preauth={token}>; rel=\"alternate\"");
    assert_eq!(page.headers["link"], link);
    let head = request(Method::HEAD, &format!("/invites_page?{token}"));
    assert_eq!(site.send(head).await.status, 200);
    let setup = format!("/invites_page/setup/conversations?{token}");
    let setup = site.get(&setup).await;
    assert_eq!(setup.status, 200);
    assert!(!setup.headers.contains_key("link"));
    for (path, status) in [
        ("/invites_page?unknown-unknown".to_owned(), 404),
        ("/invites_page".to_owned(), 404),
        (format!("/invites_page/?{token}"), 200),
        (format!("/invites_page/setup/nothing?{token}"), 404),
        (
            "/invites_page/setup/conversations?unknown-unknown".to_owned(),
            404,
        ),
        (format!("/register?t={token}&c=conversations"), 200),
        (
            "/register?t=unknown-unknown&c=conversations".to_owned(),
            404,
        ),
    ] {
        assert_eq!(site.get(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_form_has_the_fields_of_prosodys_form() {
    let site = Site::open();
    let token = site.invite(|_| {}).await.token;
    let page = site
        .get(&format!("/register?t={}&c=gajim", token.expose()))
        .await;
    for field in ["user", "password", "token", "app_id"] {
        assert!(page.body.contains(&format!("name=\"{field}\"")), "{field}");
    }
    assert!(page.body.contains("value=\"gajim\""));
    let cookie = page.headers["set-cookie"].to_str().expect("a cookie");
    let cookie = cookie.split(';').next().expect("its name and value");
    let csrf = cookie.split('=').nth(1).expect("its value");

    let token = token.expose();
    let fields = format!("user=theo&password=x&token={token}&app_id=gajim&csrf={csrf}");
    let weak = site.send(posted(&fields, cookie)).await;
    assert_eq!(weak.status, 422);
    assert!(weak.body.contains("at least 8 characters"), "{}", weak.body);
    let fields = format!("user=theo&password=x&token=unknown-unknown&csrf={csrf}");
    assert_eq!(site.send(posted(&fields, cookie)).await.status, 404);
}
