//! A server made of a script, at the other end of a pipe in memory, and what a client makes of it.
//!
//! The pipe stands for a connection after TLS. What needs TLS or DNS is not covered here.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::budget::Budget;
use super::error::{Cause, Error, Step};
use super::stream::Stream;
use super::{Server, register_on};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='1' from='a.example' version='1.0' xml:lang='en'>";
const FEATURES: &str = "<stream:features><register xmlns='http://jabber.org/features/iq-register'/>\
    <register xmlns='urn:xmpp:ibr-token:0'/></stream:features>";
const TOKEN_TAKEN: &str = "<iq type='result' id='token' from='a.example'/>";

/// What a script does once the client has sent a given piece of text.
enum Then {
    Say(String),
    HangUp,
    /// Stay connected and say nothing.
    Wait,
}

fn say(text: impl Into<String>) -> Then {
    Then::Say(text.into())
}

/// Plays the script and gives back all that the client sent.
fn play(mut pipe: DuplexStream, script: Vec<(&'static str, Then)>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut heard = String::new();
        let mut buffer = [0; 1024];
        for (cue, then) in script {
            while !heard.contains(cue) {
                match pipe.read(&mut buffer).await {
                    Ok(0) | Err(_) => return heard,
                    Ok(count) => heard.push_str(&String::from_utf8_lossy(&buffer[..count])),
                }
            }
            match then {
                Then::Say(text) => pipe.write_all(text.as_bytes()).await.unwrap_or(()),
                Then::HangUp => return heard,
                Then::Wait => {}
            }
        }
        while let Ok(count) = pipe.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        heard
    })
}

/// Registers with a server that plays `script` after its header, and says what came of it and what
/// the server heard.
async fn register(script: Vec<(&'static str, Then)>) -> (Result<(), Error>, String) {
    let (ours, theirs) = duplex(256);
    let server = Server::new("a.example".to_owned(), None, None);
    let budget = Budget::new(Duration::from_secs(25));
    let mut whole = vec![("<stream:stream", say(HEADER))];
    whole.extend(script);
    let playing = play(theirs, whole);
    let (mut stream, offers) = match budget
        .step(Duration::from_secs(10), Stream::open(ours, "a.example"))
        .await
    {
        Ok(opened) => opened,
        Err(cause) => {
            return (
                Err(Error::Unreachable {
                    what: Step::Features,
                    at: String::new(),
                    cause,
                }),
                String::new(),
            );
        }
    };
    let outcome = register_on(
        &mut stream,
        offers,
        &server,
        &budget,
        "the-token",
        "ada",
        "s3cret & <safe>",
    )
    .await;
    stream.close().await;
    (outcome, playing.await.expect("the script plays to its end"))
}

fn refusal(id: &str, error: &str) -> Then {
    say(format!("<iq type='error' id='{id}'>{error}</iq>"))
}

#[tokio::test(start_paused = true)]
async fn an_account_is_made_with_the_token_shown_first() {
    let script = vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(TOKEN_TAKEN)),
        ("</iq>", Then::Wait),
        (
            "jabber:iq:register",
            say("<iq type='result' id='register'/>"),
        ),
        ("</stream:stream>", say("</stream:stream>")),
    ];
    let (outcome, heard) = register(script).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(heard.find("the-token") < heard.find("<username"), "{heard}");
    assert!(heard.contains("s3cret &amp; &lt;safe&gt;"), "{heard}");
    assert!(heard.ends_with("</stream:stream>"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_tokens_never_sees_one() {
    let plain = "<stream:features><register xmlns='http://jabber.org/features/iq-register'/></stream:features>";
    let (outcome, heard) = register(vec![("version='1.0'>", say(plain))]).await;
    assert!(
        matches!(outcome, Err(Error::TokenNotSupported)),
        "{outcome:?}"
    );
    assert!(!heard.contains("the-token"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_ends_it() {
    let error =
        "<error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let (outcome, heard) = register(vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", refusal("token", error)),
    ])
    .await;
    assert!(matches!(outcome, Err(Error::TokenRefused)), "{outcome:?}");
    assert!(!heard.contains("s3cret"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn answers_to_other_requests_and_other_stanzas_are_passed_over() {
    let noise = "<presence/><message><body>hello</body></message> <iq type='result' id='register'/>\
        <iq type='set' id='token'><x xmlns='y'/></iq><odd xmlns='urn:odd'><a><b/></a></odd>";
    let error =
        "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let script = vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(format!("{noise}{TOKEN_TAKEN}"))),
        ("jabber:iq:register", refusal("register", error)),
    ];
    let (outcome, _) = register(script).await;
    assert!(matches!(outcome, Err(Error::NameTaken)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_lost_before_the_request_leaves_nothing_behind() {
    let (outcome, _) = register(vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", Then::HangUp),
    ])
    .await;
    assert!(
        matches!(
            outcome,
            Err(Error::Unreachable {
                what: Step::Token,
                cause: Cause::Closed,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_lost_after_the_request_leaves_the_outcome_open() {
    let script = vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(TOKEN_TAKEN)),
        ("</query>", Then::HangUp),
    ];
    let (outcome, _) = register(script).await;
    assert!(
        matches!(
            outcome,
            Err(Error::OutcomeUnknown {
                cause: Cause::Closed
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_request_leaves_the_outcome_open() {
    let (outcome, _) = register(vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(TOKEN_TAKEN)),
    ])
    .await;
    assert!(
        matches!(
            outcome,
            Err(Error::OutcomeUnknown {
                cause: Cause::TimedOut
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_error_is_told_by_its_name() {
    let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    let (outcome, _) = register(vec![("version='1.0'>", say(error))]).await;
    match outcome {
        Err(Error::Unreachable {
            cause: Cause::Stream { condition, .. },
            ..
        }) => assert_eq!(condition, "host-unknown"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let (outcome, _) = register(vec![]).await;
    assert!(
        matches!(
            outcome,
            Err(Error::Unreachable {
                cause: Cause::TimedOut,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_end_is_given_up() {
    let flood = "<presence/>".repeat(100_000);
    let (outcome, _) = register(vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(flood)),
    ])
    .await;
    assert!(
        matches!(
            outcome,
            Err(Error::Unreachable {
                what: Step::Token,
                cause: Cause::TooMuch,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn elements_without_end_do_not_exhaust_the_stack() {
    for start in [
        "",
        "<stream:features>",
        "<iq type='error' id='token'><error>",
    ] {
        let deep = format!("{start}{}", "<a>".repeat(50_000));
        let (outcome, _) = register(vec![("version='1.0'>", say(deep))]).await;
        assert!(
            matches!(
                outcome,
                Err(Error::Unreachable {
                    cause: Cause::TooMuch,
                    ..
                })
            ),
            "{outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_xml_is_told_as_such() {
    let (outcome, _) = register(vec![(
        "version='1.0'>",
        say("HTTP/1.1 400 Bad Request\r\n\r\n"),
    )])
    .await;
    assert!(
        matches!(
            outcome,
            Err(Error::Unreachable {
                cause: Cause::Unexpected(_),
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_text_with_the_password_in_it_is_not_passed_on() {
    let error = "<error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
        <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Weak password: s3cret &amp; &lt;safe&gt;</text></error>";
    let script = vec![
        ("version='1.0'>", say(FEATURES)),
        ("urn:xmpp:pars:0", say(TOKEN_TAKEN)),
        ("jabber:iq:register", refusal("register", error)),
    ];
    let (outcome, _) = register(script).await;
    assert!(
        matches!(outcome, Err(Error::PasswordRefused { text: None })),
        "{outcome:?}"
    );
}

/// Begins TLS with a server that answers with `answer`.
async fn begin_tls(answer: &'static str) -> Result<(), Cause> {
    let (ours, theirs) = duplex(4096);
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
    let script = vec![
        ("<stream:stream", say(HEADER)),
        ("version='1.0'>", say(features)),
        ("<starttls", say(answer)),
    ];
    let playing = play(theirs, script);
    let (stream, offers) = Stream::open(ours, "a.example").await?;
    assert!(offers.starttls);
    let begun = stream.begin_tls().await.map(drop);
    playing.await.expect("the script plays to its end");
    begun
}

#[tokio::test(start_paused = true)]
async fn tls_begins_on_the_servers_word() {
    assert!(
        begin_tls("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            .await
            .is_ok()
    );
    let refused =
        begin_tls("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>").await;
    assert!(matches!(refused, Err(Cause::NoStartTls)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_may_follow_the_word_that_begins_tls() {
    let injected = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:features/>";
    assert!(matches!(begin_tls(injected).await, Err(Cause::Pipelined)));
    let space = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\n";
    assert!(matches!(begin_tls(space).await, Err(Cause::Pipelined)));
}
