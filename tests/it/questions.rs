//! What the chat server says before an invite is made, and what happens if it says nothing.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use futures_util::future::join_all;
use invited::app::{By, Known, Standing, Wanted};
use invited::error::Error;
use invited::http::bridge::Bridge;
use invited::invite::{Kind, NewInvite};
use invited::secret::Secret;
use serde_json::{Value, json};

use crate::support::{Desk, TestServer};

const SECRET: &str = "a secret of the tests";

/// Status and body of what the bridge answers about `chat.example`.
async fn ask(desk: &Desk, operation: &str, mut question: Value) -> (u16, Value) {
    question["host"] = json!("chat.example");
    let request = Request::post(format!("/bridge/v1/{operation}"))
        .header("authorization", format!("Bearer {SECRET}"))
        .body(Body::from(question.to_string()))
        .expect("a request");
    let bridge = Bridge::new(desk.app.clone(), Secret::new(SECRET));
    let answer = bridge.dispatch(request).await;
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

/// Waits for questions and answers each as `say` does, as Prosody's module does, until it is dropped.
async fn module(desk: &Desk, say: impl Fn(&Value) -> Value) {
    loop {
        let (status, asked) = ask(desk, "questions", json!({})).await;
        assert_eq!(status, 200, "{asked}");
        for question in asked["questions"].as_array().expect("a list") {
            let mut told = say(question);
            told["id"] = question["id"].clone();
            assert_eq!(ask(desk, "answers", told).await, (200, json!({})));
        }
    }
}

/// Does `what` beside a module.
async fn beside<T>(desk: &Desk, say: impl Fn(&Value) -> Value, what: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        () = module(desk, say) => unreachable!("it goes on for ever"),
        done = what => done,
    }
}

fn named(kind: Kind, name: &str) -> NewInvite {
    let mut new = NewInvite::account();
    new.kind = kind;
    new.localpart = Some(name.parse().expect("a name"));
    new
}

#[tokio::test]
async fn each_kind_needs_its_account_to_be_there_or_not() {
    let desk = Desk::open();
    for (kind, standing, refused, doubts) in [
        (Kind::Account, Some(Standing::Missing), None, 0),
        (Kind::Account, Some(Standing::Exists), Some("name_taken"), 0),
        (
            Kind::Account,
            Some(Standing::Disabled),
            Some("name_taken"),
            0,
        ),
        (Kind::Account, Some(Standing::Unusable), Some("invalid"), 0),
        (Kind::Account, None, None, 1),
        (Kind::Contact, Some(Standing::Exists), None, 0),
        (Kind::Contact, Some(Standing::Disabled), None, 1),
        (Kind::Contact, Some(Standing::Missing), Some("invalid"), 0),
        (Kind::Contact, Some(Standing::Unusable), Some("invalid"), 0),
        (Kind::Contact, None, None, 1),
        (Kind::Reset, Some(Standing::Exists), None, 0),
        (Kind::Reset, Some(Standing::Disabled), None, 1),
        (Kind::Reset, Some(Standing::Missing), Some("invalid"), 0),
        (Kind::Reset, Some(Standing::Unusable), Some("invalid"), 0),
        (Kind::Reset, None, None, 1),
    ] {
        let mut known = Known::default();
        if let Some(standing) = standing {
            known.accounts.insert("kim".into(), standing);
        }
        let judged = known.judge(desk.host(), &named(kind, "kim"));
        let found = judged.as_ref().err().map(Error::code);
        assert_eq!(found, refused, "{kind:?} {standing:?}");
        assert_eq!(
            judged.map_or(0, |doubts| doubts.len()),
            doubts,
            "{kind:?} {standing:?}"
        );
    }
}

#[tokio::test]
async fn roles_and_groups_are_refused_with_those_that_there_are() {
    let desk = Desk::open();
    let mut new = NewInvite::account();
    new.details.roles = vec!["prosody:operatr".into()];
    let known = |roles: Option<&[&str]>, answered| Known {
        roles: roles.map(|roles| roles.iter().map(ToString::to_string).collect()),
        answered,
        ..Known::default()
    };
    let judge = |known: Known| {
        known
            .judge(desk.host(), &new)
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        judge(known(Some(&["prosody:admin", "prosody:member"]), true)),
        Err("roles: the chat server has no role \"prosody:operatr\"; it has: prosody:admin, prosody:member".into())
    );
    assert_eq!(
        judge(known(Some(&[]), true)),
        Err("roles: the chat server has no role \"prosody:operatr\"; it has none".into())
    );
    assert_eq!(judge(known(Some(&["prosody:operatr"]), true)), Ok(vec![]));
    assert_eq!(judge(known(None, true)), Ok(vec![]), "it takes any name");
    assert_eq!(
        judge(known(None, false)),
        Ok(vec![
            "The chat server did not say which roles it has.".into()
        ])
    );

    let mut grouped = NewInvite::account();
    grouped.details.groups = vec!["readers".into(), "riters".into()];
    let known = Known {
        groups: Some(vec!["readers".into(), "writers".into()]),
        answered: true,
        ..Known::default()
    };
    let refused = known.judge(desk.host(), &grouped).expect_err("a slip");
    assert!(
        refused
            .to_string()
            .starts_with("groups: the chat server has no group \"riters\"")
    );
}

#[tokio::test]
async fn what_the_module_says_reaches_whoever_asked() {
    let desk = Desk::open();
    let wanted = Wanted {
        accounts: ["kim".to_owned(), "lena".to_owned()].into(),
        roles: true,
        groups: true,
    };
    let say = |question: &Value| {
        assert_eq!(question["accounts"], json!(["kim", "lena"]));
        assert_eq!(
            (&question["roles"], &question["groups"]),
            (&json!(true), &json!(true))
        );
        // Lua writes an empty list as an object.
        json!({"accounts": {"kim": "exists", "lena": "missing"}, "groups": {}})
    };
    let asked = async {
        let known = desk.app.ask_server(desk.host(), wanted.clone()).await;
        let mut question = json!(wanted);
        question["groups"] = json!(true);
        (known, ask(&desk, "ask", question).await)
    };
    let (known, (status, told)) = beside(&desk, say, asked).await;
    assert_eq!(known.accounts["kim"], Standing::Exists);
    assert_eq!(
        (known.roles, known.groups, known.answered),
        (None, Some(vec![]), true)
    );
    assert_eq!(status, 200);
    assert_eq!(
        told,
        json!({"accounts": {"kim": "exists", "lena": "missing"}, "groups": [], "answered": true})
    );
}

#[tokio::test]
async fn many_names_are_asked_at_once_and_the_bad_one_is_named() {
    let desk = Desk::open();
    let say = |question: &Value| {
        let names = question["accounts"].as_array().expect("a list");
        assert!(names.len() <= 500);
        let standing = |name: &Value| {
            if name == "user700" {
                "exists"
            } else {
                "missing"
            }
        };
        let accounts = names.iter().map(|name| {
            (
                name.as_str().expect("a text").to_owned(),
                json!(standing(name)),
            )
        });
        json!({"accounts": accounts.collect::<serde_json::Map<_, _>>()})
    };
    let new = (0..1_500)
        .map(|n| named(Kind::Account, &format!("user{n}")))
        .collect();
    let made = desk
        .app
        .create_invites(desk.host(), new, By::Operator, None);
    let refused = beside(&desk, say, made).await.expect_err("one is taken");
    assert!(
        matches!(refused, Error::Item { index: 701, .. }),
        "{refused:?}"
    );
    assert_eq!(refused.code(), "name_taken");
}

#[tokio::test]
async fn a_plain_invite_asks_nobody_and_a_server_knows_itself() {
    let desk = Desk::open();
    let say = |question: &Value| panic!("nothing is to be asked: {question}");
    beside(&desk, say, async {
        desk.invite(|_| {}).await;
        let new = named(Kind::Reset, "nobody");
        desk.app
            .create_invite(desk.host(), new, By::Server)
            .await
            .expect("made");
    })
    .await;
}

#[tokio::test]
async fn without_a_module_the_invite_is_made_at_once_with_a_warning() {
    let desk = Desk::open();
    let began = Instant::now();
    let made = desk.invite(|new| *new = named(Kind::Reset, "kim")).await;
    assert_eq!(
        made.doubts,
        ["The chat server did not say whether kim@chat.example exists."]
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "nobody is waited for"
    );
}

#[tokio::test]
async fn a_silent_module_is_waited_for_two_seconds() {
    let desk = Desk::open();
    // It fetches the question and never answers.
    let silent = async {
        loop {
            let _ = desk.app.next_questions(desk.host()).await;
        }
    };
    let began = Instant::now();
    let made = tokio::select! {
        biased;
        () = silent => unreachable!("it goes on for ever"),
        made = desk.invite(|new| *new = named(Kind::Reset, "kim")) => made,
    };
    assert_eq!(made.doubts.len(), 1);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test]
async fn modules_that_wait_are_sent_home_at_the_end_and_bounded_in_number() {
    let desk = Desk::open();
    let polls = join_all((0..9).map(|_| ask(&desk, "questions", json!({}))));
    let end = async {
        tokio::task::yield_now().await;
        desk.app.close_questions();
    };
    let began = Instant::now();
    let (answers, ()) = tokio::join!(polls, end);
    let sent_home = answers
        .iter()
        .filter(|answer| **answer == (200, json!({"questions": []})));
    assert_eq!(sent_home.count(), 8);
    assert_eq!(
        answers.iter().filter(|(status, _)| *status == 503).count(),
        1
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    let (_, late) = ask(&desk, "questions", json!({})).await;
    assert_eq!(late, json!({"questions": []}));
}

#[tokio::test]
async fn the_api_tells_what_was_not_said() {
    let server = TestServer::start().await;
    let made = server
        .create(json!({"kind": "reset", "username": "kim"}))
        .await;
    assert_eq!(
        made["warnings"],
        json!(["The chat server did not say whether kim@chat.example exists."])
    );
    let plain = server.create(json!({})).await;
    assert!(plain.get("warnings").is_none());
}
