//! XEP-0077: registers an account, and reads why a server would not.
//!
//! The plain fields are sent at once, without asking for the form (XEP-0077 §3.1): Prosody and
//! ejabberd take them when name and password are all that they want. A server that wants more, such
//! as an answer to a picture, refuses, and the refusal is passed on.

use tokio::io::{AsyncRead, AsyncWrite};
use xso::AsXml;

use super::ANSWER;
use super::budget::{self, Budget};
use super::error::{Cause, Error, Step};
use super::ns;
use super::stanza::{Payload, Refusal, Request};
use super::stream::Stream;

/// XEP-0077 §3.1: the registration.
#[derive(AsXml)]
#[xml(namespace = ns::REGISTER, name = "query")]
pub struct Query {
    #[xml(extract(name = "username", fields(text(type_ = String))))]
    username: String,
    #[xml(extract(name = "password", fields(text(type_ = String))))]
    password: String,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Query")
    }
}

/// Sends the registration and waits for its answer.
///
/// From the first byte on, a broken stream means [`Error::OutcomeUnknown`]. The request has its own
/// time in full, so it is not begun when the preparation has used up its own.
pub(super) async fn register<S>(
    stream: &mut Stream<S>,
    domain: &str,
    budget: &Budget,
    localpart: &str,
    password: &str,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if budget.is_spent() {
        return Err(Error::Unreachable {
            what: Step::Submit,
            at: domain.to_owned(),
            cause: Cause::TimedOut,
        });
    }
    let query = Query {
        username: localpart.to_owned(),
        password: password.to_owned(),
    };
    let request = Request::set("register", domain, Payload::Register(query));
    match budget::alone(ANSWER, stream.ask(&request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => Err(name(refusal)),
        Err(cause) => Err(Error::OutcomeUnknown { cause }),
    }
}

/// What a refusal of the registration means.
fn name(refusal: Refusal) -> Error {
    match (refusal.kind.as_str(), refusal.condition.as_str()) {
        ("wait", _) | (_, "resource-constraint" | "internal-server-error") => {
            Error::TryLater { text: refusal.text }
        }
        (_, "conflict") => Error::NameTaken,
        (_, "jid-malformed" | "not-allowed") => Error::NameRefused { text: refusal.text },
        (_, "gone" | "item-not-found") => Error::TokenRefused,
        (_, "not-acceptable") => by_text(refusal),
        // COMPAT: Prosody up to 13 answers so when the storage of accounts declines, whatever the
        // reason; only the text tells whether the password was it.
        (_, "feature-not-implemented") if mentions(&refusal, "password") => {
            Error::PasswordRefused { text: refusal.text }
        }
        _ => Error::refused(refusal),
    }
}

/// COMPAT: Prosody up to 13 and ejabberd use `not-acceptable` for nearly everything; the text decides.
fn by_text(refusal: Refusal) -> Error {
    if mentions(&refusal, "password") {
        Error::PasswordRefused { text: refusal.text }
    } else if mentions(&refusal, "username") {
        Error::NameRefused { text: refusal.text }
    } else if mentions(&refusal, "invitation") || mentions(&refusal, "invite") {
        Error::TokenRefused
    } else {
        Error::refused(refusal)
    }
}

fn mentions(refusal: &Refusal, word: &str) -> bool {
    refusal
        .text
        .as_ref()
        .is_some_and(|text| text.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, condition: &str, text: &str, expected: &str) {
        let text = (!text.is_empty()).then(|| text.to_owned());
        let error = name(Refusal {
            kind: kind.into(),
            condition: condition.into(),
            text,
        });
        let shown = format!("{error:?}");
        let shown = shown.split(" {").next().unwrap_or_default();
        assert_eq!(shown, expected, "{kind}/{condition}: {error:?}");
    }

    #[test]
    fn register_iq_on_a_cleartext_stream() {
        check(
            "modify",
            "policy-violation",
            "Encryption is required",
            "Refused",
        );
    }

    #[test]
    fn no_valid_token_and_the_server_is_invite_only() {
        check(
            "modify",
            "not-acceptable",
            "Registration on this server is through invitation only",
            "TokenRefused",
        );
        check(
            "auth",
            "forbidden",
            "Access denied by service policy",
            "Refused",
        );
    }

    #[test]
    fn field_missing_or_empty() {
        check(
            "modify",
            "not-acceptable",
            "Username: Required value missing",
            "NameRefused",
        );
        check(
            "modify",
            "not-acceptable",
            "Password: Required value missing",
            "PasswordRefused",
        );
        check(
            "modify",
            "not-acceptable",
            "Email: Required value missing",
            "Refused",
        );
        check("modify", "bad-request", "", "Refused");
    }

    #[test]
    fn name_malformed_after_nodeprep() {
        check(
            "modify",
            "not-acceptable",
            "The requested username is invalid.",
            "NameRefused",
        );
        check("modify", "jid-malformed", "", "NameRefused");
    }

    #[test]
    fn name_taken() {
        check(
            "cancel",
            "conflict",
            "The requested username already exists.",
            "NameTaken",
        );
    }

    #[test]
    fn name_reserved_by_or_differing_from_that_of_a_token() {
        check("cancel", "not-allowed", "", "NameRefused");
        check(
            "modify",
            "not-acceptable",
            "The chosen username is not valid with this invitation",
            "NameRefused",
        );
    }

    #[test]
    fn token_refused_at_the_last_step() {
        check("cancel", "item-not-found", "", "TokenRefused");
    }

    #[test]
    fn unusable_or_weak_password() {
        check(
            "cancel",
            "feature-not-implemented",
            "Password fails SASLprep.",
            "PasswordRefused",
        );
        check("cancel", "feature-not-implemented", "", "Refused");
        check(
            "modify",
            "not-acceptable",
            "The password is too weak",
            "PasswordRefused",
        );
    }

    #[test]
    fn too_many_registrations() {
        check(
            "wait",
            "policy-violation",
            "Too many registrations",
            "TryLater",
        );
        check("wait", "resource-constraint", "", "TryLater");
        check("cancel", "resource-constraint", "", "TryLater");
    }

    #[test]
    fn client_address_blocked() {
        check("auth", "forbidden", "", "Refused");
    }

    #[test]
    fn another_handler_says_no() {
        check("modify", "not-acceptable", "", "Refused");
        check("modify", "not-acceptable", "Not today", "Refused");
    }

    #[test]
    fn storage_failed() {
        check(
            "wait",
            "internal-server-error",
            "Failed to write data to disk.",
            "TryLater",
        );
        check("", "internal-server-error", "", "TryLater");
    }

    #[test]
    fn remove_before_login() {
        check("auth", "registration-required", "", "Refused");
        check("cancel", "unexpected-request", "", "Refused");
    }

    #[test]
    fn a_password_is_not_shown_when_debugged() {
        let query = Query {
            username: "ada".into(),
            password: "secret".into(),
        };
        assert!(!format!("{:?}", Payload::Register(query)).contains("secret"));
    }
}
