//! XEP-0445: presents an invite token before a registration in the same stream.

use tokio::io::{AsyncRead, AsyncWrite};
use xso::AsXml;

use super::ANSWER;
use super::budget::Budget;
use super::error::{Error, Step};
use super::ns;
use super::stanza::{Payload, Refusal, Request};
use super::stream::Stream;

/// XEP-0445 §4: the token.
#[derive(AsXml)]
#[xml(namespace = ns::PARS, name = "preauth")]
pub struct Preauth {
    #[xml(attribute)]
    token: String,
}

impl std::fmt::Debug for Preauth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Preauth")
    }
}

/// Shows the token to the server, which holds it for the registration that follows.
///
/// The token is not used up by this. XEP-0445 §4 has the server look at its expiry here and not again.
pub(super) async fn present<S>(
    stream: &mut Stream<S>,
    domain: &str,
    budget: &Budget,
    token: &str,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request::set(
        "token",
        domain,
        Payload::Preauth(Preauth {
            token: token.to_owned(),
        }),
    );
    match budget.step(ANSWER, stream.ask(&request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => Err(name(refusal).without_text_naming(&[token])),
        Err(cause) => Err(Error::Unreachable {
            what: Step::Token,
            at: domain.to_owned(),
            cause,
        }
        .without_text_naming(&[token])),
    }
}

/// What a refusal of the token means.
fn name(refusal: Refusal) -> Error {
    match (refusal.kind.as_str(), refusal.condition.as_str()) {
        ("wait", _) | (_, "resource-constraint" | "internal-server-error") => {
            Error::TryLater { text: refusal.text }
        }
        // COMPAT: Prosody up to 13 answers `forbidden` to any token that is not good. Of type `auth`
        // it would be about us, not about the token.
        (_, "item-not-found" | "gone") | ("cancel" | "modify", "forbidden") => Error::TokenRefused,
        (_, "service-unavailable" | "feature-not-implemented") => Error::TokenNotSupported,
        _ => Error::refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, condition: &str, expected: &str) {
        let error = name(Refusal {
            kind: kind.into(),
            condition: condition.into(),
            text: None,
        });
        assert_eq!(format!("{error:?}"), expected, "{kind}/{condition}");
    }

    #[test]
    fn token_unknown_expired_used_or_missing() {
        check("cancel", "item-not-found", "TokenRefused");
        check("cancel", "forbidden", "TokenRefused");
    }

    #[test]
    fn preauth_not_supported() {
        check("cancel", "service-unavailable", "TokenNotSupported");
        check("cancel", "feature-not-implemented", "TokenNotSupported");
    }

    #[test]
    fn an_outage_says_nothing_about_the_token() {
        check("wait", "item-not-found", "TryLater { text: None }");
        check("wait", "remote-server-timeout", "TryLater { text: None }");
        check("cancel", "internal-server-error", "TryLater { text: None }");
        check(
            "auth",
            "forbidden",
            "Refused { condition: \"forbidden\", text: None }",
        );
    }

    #[test]
    fn a_token_is_not_shown_when_debugged() {
        let request = Request::set(
            "1",
            "a.example",
            Payload::Preauth(Preauth {
                token: "secret".into(),
            }),
        );
        assert!(!format!("{request:?}").contains("secret"));
    }
}
