//! The client side of an XMPP stream: makes an account with an invite token, as an app would.
//!
//! ```text
//! dns ─▶ connect (tls, stream) ─▶ features ─▶ ibr_token (XEP-0445) ─▶ ibr (XEP-0077) ─▶ goodbye
//! ```
//!
//! Rules of this room:
//!
//! * It is the only room that knows XML. Callers see strings, [`Features`] and [`Error`].
//! * Nothing is sent before TLS is up and the certificate is good for the domain. There is no switch
//!   that turns this off; `ca_file` replaces the roots, it does not add to them.
//! * Every wait has an end: each step has its own limit, everything up to the registration request
//!   shares [`PREPARATION`], and the request keeps [`ANSWER`] for itself, so that the whole takes at
//!   most 40 s. What a server may make us read is bounded as well (`stream.rs`).
//! * [`Error`] says whether an account may have been made. Only [`Error::OutcomeUnknown`] leaves
//!   that open; it arises from nothing but a stream that broke after the request was handed over.
//! * Dropping the future of [`register`] loses the outcome. Callers that must know it run it in a
//!   task of its own.
//! * Stanzas are never logged, by us or by the crates below; see `stream.rs`.
//!
//! One more protocol is one more file named after it, with its elements, what it asks and how it
//! reads refusals; its namespaces go to `ns.rs`, its steps to `error.rs`.

mod budget;
mod connect;
mod dns;
mod error;
mod ibr;
mod ibr_token;
mod ns;
mod stanza;
mod stream;
mod tls;

#[cfg(test)]
mod fake_server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;

pub use self::error::{Cause, Error, Step};

use self::budget::Budget;
use self::stream::{Offers, Stream};
use self::tls::Connectors;

/// What may pass before the registration request is sent.
const PREPARATION: Duration = Duration::from_secs(25);

/// What a server may take to answer one request.
const ANSWER: Duration = Duration::from_secs(15);

/// Where and how the accounts of one domain are made.
///
/// Keep one for as long as the configuration holds: the roots of trust are read on first use and
/// kept. A failure to read them is not kept, it is tried again.
#[derive(Debug)]
pub struct Server {
    domain: String,
    address: Option<Address>,
    ca_file: Option<PathBuf>,
    connectors: OnceCell<Connectors>,
}

impl Server {
    /// `domain` is as the server writes it. Without an `address` the server is looked up in DNS;
    /// without a `ca_file` the roots of the operating system count.
    pub fn new(domain: String, address: Option<Address>, ca_file: Option<PathBuf>) -> Self {
        Self {
            domain,
            address,
            ca_file,
            connectors: OnceCell::new(),
        }
    }

    /// The domain that this server is for.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// A configured place of a server; SRV records are then not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A host name or an IP address. The certificate is still checked for the domain, not for this.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How TLS begins on that port.
    pub tls: Tls,
}

/// How TLS begins on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// With the first byte (XEP-0368).
    Direct,
    /// On request, inside the stream (RFC 6120 §5).
    StartTls,
}

/// What a server offers to somebody who has not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Registration in the stream (XEP-0077).
    pub registration: bool,
    /// Registration by token (XEP-0445), under its present or its older name.
    pub invite_token: bool,
    /// The address that answered.
    pub peer: SocketAddr,
    /// How TLS began there.
    pub tls: Tls,
}

/// Makes the account `localpart` with the invite `token`, or resets its password if the token is a
/// reset token.
///
/// `Ok` means that the server said so. See [`Error`] for what each failure leaves behind.
pub async fn register(
    server: &Server,
    token: &str,
    localpart: &str,
    password: &str,
) -> Result<(), Error> {
    check_input(token, localpart, password)?;
    let budget = Budget::new(PREPARATION);
    let connect::Opened {
        mut stream, offers, ..
    } = connect::open(server, &budget).await?;
    let outcome = register_on(
        &mut stream,
        offers,
        server,
        &budget,
        token,
        localpart,
        password,
    )
    .await;
    stream.close().await;
    outcome
}

/// Opens a stream as far as the features after TLS, and reports what is offered there.
///
/// Fails with [`Error::Unreachable`] only.
pub async fn probe(server: &Server) -> Result<Features, Error> {
    let budget = Budget::new(PREPARATION);
    let connect::Opened {
        stream,
        offers,
        peer,
        tls,
    } = connect::open(server, &budget).await?;
    stream.close().await;
    Ok(Features {
        registration: offers.registration,
        invite_token: offers.invite_token,
        peer,
        tls,
    })
}

/// What a stanza cannot carry is refused before anybody is asked.
fn check_input(token: &str, localpart: &str, password: &str) -> Result<(), Error> {
    let bad = |text: &str| {
        text.is_empty()
            || text
                .chars()
                .any(|c| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}'))
    };
    if bad(token) {
        return Err(Error::TokenRefused);
    }
    if bad(localpart) {
        return Err(Error::NameRefused { text: None });
    }
    if bad(password) {
        return Err(Error::PasswordRefused { text: None });
    }
    Ok(())
}

async fn register_on<S>(
    stream: &mut Stream<S>,
    offers: Offers,
    server: &Server,
    budget: &Budget,
    token: &str,
    localpart: &str,
    password: &str,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // XEP-0445 §3: a server that takes tokens says so. One that does not must not see the token.
    if !offers.invite_token {
        return Err(Error::TokenNotSupported);
    }
    ibr_token::present(stream, server.domain(), budget, token).await?;
    ibr::register(stream, server.domain(), budget, localpart, password)
        .await
        .map_err(|error| {
            // A server may quote what it refuses; a text that does so goes no further.
            error.without_text_naming(&[token, password])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: [&str; 3], expected: &str) {
        let outcome = check_input(input[0], input[1], input[2]);
        assert_eq!(
            outcome.map_err(|error| error.to_string()),
            Err(expected.to_owned())
        );
    }

    #[test]
    fn what_xml_cannot_carry_is_refused_without_a_connection() {
        check(
            ["a\u{0}", "ada", "secret"],
            "the server refuses the invite token",
        );
        check(["", "ada", "secret"], "the server refuses the invite token");
        check(
            ["token", "a\u{1f}da", "secret"],
            "the server refuses the name",
        );
        check(["token", "ada", ""], "the server refuses the password");
        check(
            ["token", "ada", "sec\u{FFFF}ret"],
            "the server refuses the password",
        );
        assert!(check_input("token", "ada", "correct horse & <battery>").is_ok());
    }
}
