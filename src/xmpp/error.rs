//! What can go wrong with a registration, told apart by what it leaves behind.

use std::io;
use std::path::PathBuf;

use super::stanza::Refusal;
use super::stream::TooMuch;

/// The longest text of a server that is passed on, in characters.
const TEXT_LIMIT: usize = 200;

/// Why an account was not made, or may not have been made.
///
/// After [`Error::OutcomeUnknown`] the account may exist. After every other variant this attempt made
/// none, and the token has not been used up by it. A `text` is the server's own sentence for people,
/// in its own language, short and on one line; it is untrusted, so escape it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `conflict`: the account exists already.
    #[error("the name is taken")]
    NameTaken,
    /// The server does not allow this name: malformed, or held for another invite.
    #[error("the server refuses the name")]
    NameRefused {
        /// The server's reason.
        text: Option<String>,
    },
    /// The stream was lost after the request was handed over and before its answer came.
    #[error("the registration was sent, but no answer came")]
    OutcomeUnknown {
        /// What became of the stream.
        #[source]
        cause: Cause,
    },
    /// The server cannot store this password, or finds it too weak.
    #[error("the server refuses the password")]
    PasswordRefused {
        /// The server's reason.
        text: Option<String>,
    },
    /// Any other refusal, by the name of its condition (RFC 6120 §8.3.3).
    #[error("the server refuses the registration: {condition}")]
    Refused {
        /// The name of the condition.
        condition: String,
        /// The server's reason.
        text: Option<String>,
    },
    /// The server does not take invite tokens (XEP-0445).
    #[error("the server does not take invite tokens")]
    TokenNotSupported,
    /// The token is unknown to the server, expired or used up.
    #[error("the server refuses the invite token")]
    TokenRefused,
    /// The server refuses for now: too many registrations, or an outage of its own.
    #[error("the server asks to try again later")]
    TryLater {
        /// The server's reason.
        text: Option<String>,
    },
    /// The server was not reached, or the stream was lost before the request was sent.
    #[error("the XMPP server cannot be used: {what} failed ({at})")]
    Unreachable {
        /// The step that failed; of several addresses, the one that got furthest.
        what: Step,
        /// Whom it was tried with: the domain, or a host with port and address.
        at: String,
        /// What happened there.
        #[source]
        cause: Cause,
    },
}

impl Error {
    /// Whether the server was reached, but does not have this domain in this spelling (RFC 6120 §4.9.3.6).
    pub fn is_unknown_host(&self) -> bool {
        matches!(self, Self::Unreachable { cause: Cause::Stream { condition, .. }, .. } if condition == "host-unknown")
    }

    /// Drops a server's text that contains one of the secrets.
    pub(super) fn without_text_naming(mut self, secrets: &[&str]) -> Self {
        let text = match &mut self {
            Self::NameRefused { text }
            | Self::OutcomeUnknown {
                cause: Cause::Stream { text, .. },
            }
            | Self::PasswordRefused { text }
            | Self::Refused { text, .. }
            | Self::TryLater { text }
            | Self::Unreachable {
                cause: Cause::Stream { text, .. },
                ..
            } => text,
            Self::NameTaken
            | Self::OutcomeUnknown { .. }
            | Self::TokenNotSupported
            | Self::TokenRefused
            | Self::Unreachable { .. } => return self,
        };
        if text
            .as_ref()
            .is_some_and(|text| secrets.iter().any(|secret| text.contains(secret)))
        {
            *text = None;
        }
        self
    }

    /// A refusal that has no name of its own here.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::Refused {
            condition: plain(&refusal.condition, 40)
                .unwrap_or_else(|| "undefined-condition".to_owned()),
            text: refusal.text,
        }
    }
}

/// The steps of a registration, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Finding the server's addresses.
    LookUp,
    /// Reading the roots of trust.
    Trust,
    /// The TCP connection.
    Connect,
    /// The stream in the clear, up to the word that TLS may begin.
    StartTls,
    /// The TLS handshake, certificate included.
    Tls,
    /// The encrypted stream, up to its features.
    Features,
    /// Presenting the token.
    Token,
    /// Everything was ready, but no time was left to send the request.
    Submit,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LookUp => "looking up the address",
            Self::Trust => "reading the roots of trust",
            Self::Connect => "connecting",
            Self::StartTls => "STARTTLS",
            Self::Tls => "the TLS handshake",
            Self::Features => "opening the stream",
            Self::Token => "presenting the token",
            Self::Submit => "sending the registration",
        })
    }
}

/// What happened below a step, for the log and for `doctor`.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The configured certificate file cannot be used.
    #[error("{}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's certificate or its TLS is not acceptable.
    #[error("{0}")]
    Tls(rustls::Error),
    /// The server closed the stream.
    #[error("the server closed the stream")]
    Closed,
    /// DNS did not answer.
    #[error("{0}")]
    Dns(String),
    /// The domain is none.
    #[error("no certificate can be for a domain like this")]
    Domain,
    /// The network failed.
    #[error("{0}")]
    Io(io::Error),
    /// The server does not offer STARTTLS, or refused it.
    #[error("the server does not begin TLS")]
    NoStartTls,
    /// DNS says that the domain has no XMPP service for clients (RFC 6120 §3.2.1).
    #[error("the domain offers no XMPP service to clients")]
    NotOffered,
    /// Bytes followed the word that TLS may begin; somebody may have put them there.
    #[error("the server sent data in the clear where TLS begins")]
    Pipelined,
    /// The server ended the stream with an error (RFC 6120 §4.9).
    #[error("the server ended the stream: {condition}")]
    Stream {
        /// The name of the condition.
        condition: String,
        /// The server's reason.
        text: Option<String>,
    },
    /// The server did not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The server sent more than is read from anybody before sign-in.
    #[error("the server sent more than a registration needs")]
    TooMuch,
    /// The server spoke, but not as a stream goes.
    #[error("the server sent something unexpected: {0}")]
    Unexpected(String),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(tls.clone());
        }
        if inner
            .and_then(|inner| inner.downcast_ref::<TooMuch>())
            .is_some()
        {
            return Self::TooMuch;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed,
            // What the XML parser says holds names and positions, no content of ours.
            io::ErrorKind::InvalidData => {
                Self::Unexpected(plain(&error.to_string(), TEXT_LIMIT).unwrap_or_default())
            }
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// A server's text for people: one line, no control or formatting characters, short. Empty is none.
pub(super) fn sentence(text: &str) -> Option<String> {
    plain(text, TEXT_LIMIT)
}

fn plain(text: &str, limit: usize) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !is_formatting(*c))
        .take(limit)
        .collect();
    (!line.is_empty()).then_some(line)
}

/// Characters that have no shape but change how others are shown, such as the order of writing.
fn is_formatting(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_is_one_short_plain_line() {
        assert_eq!(
            sentence("Username: too\n short\u{1b}[31m"),
            Some("Username: too short [31m".to_owned())
        );
        assert_eq!(sentence("a\u{202e}b"), Some("ab".to_owned()));
        assert_eq!(sentence(" \n\t "), None);
        assert_eq!(
            sentence(&"é".repeat(500)).map(|text| text.chars().count()),
            Some(200)
        );
    }

    #[test]
    fn a_text_that_quotes_a_secret_is_dropped() {
        let error = Error::PasswordRefused {
            text: Some("\"hunter2\" is too weak".to_owned()),
        };
        assert!(matches!(
            error.without_text_naming(&["hunter2"]),
            Error::PasswordRefused { text: None }
        ));
    }

    #[test]
    fn a_tls_failure_is_found_inside_an_io_error() {
        let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert!(matches!(
            Cause::from(error),
            Cause::Tls(rustls::Error::DecryptError)
        ));
    }
}
