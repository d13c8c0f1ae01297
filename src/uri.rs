//! `xmpp:` URIs of invites (RFC 5122, XEP-0379, XEP-0445), built so that real apps read them.

use std::fmt::Write as _;

use crate::invite::{Invite, Kind};
use crate::token::InviteToken;

/// The URI of an invite.
///
/// The separator is `;`, the action comes first and no key is repeated: Conversations builds an
/// immutable map of them, and Monal drops what follows a second `=`.
pub fn invite_uri(invite: &Invite, token: &InviteToken) -> String {
    let mut uri = "xmpp:".to_owned();
    if let Some(localpart) = &invite.localpart {
        uri.push_str(&percent_encoded(localpart.as_str()));
        uri.push('@');
    }
    // A URI, not an IRI: it goes into headers, and browsers would write a link like this anyway.
    uri.push_str(&percent_encoded(&invite.host.to_string()));
    let action = match invite.kind {
        Kind::Account | Kind::Reset => "register",
        Kind::Contact => "roster",
    };
    uri.push('?');
    uri.push_str(action);
    uri.push_str(";preauth=");
    uri.push_str(token.expose());
    if invite.kind == Kind::Contact && invite.allow_registration {
        uri.push_str(";ibr=y");
    }
    uri
}

/// Everything but the unreserved characters of RFC 3986 §2.3, as `%XX` of its UTF-8 bytes.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, localpart: Option<&str>, allow_registration: bool, expected: &str) {
        let mut invite = Invite::sample(kind);
        invite.localpart = localpart.map(|l| l.parse().expect("a localpart"));
        invite.allow_registration = allow_registration;
        let token = "7Hq2mZc4XwTn9BvKd1Ry5LpA".parse().expect("a token");
        assert_eq!(invite_uri(&invite, &token), expected);
    }

    #[test]
    fn each_kind_of_invite_has_its_form() {
        let token = "preauth=7Hq2mZc4XwTn9BvKd1Ry5LpA";
        check(
            Kind::Account,
            None,
            true,
            &format!("xmpp:chat.example?register;{token}"),
        );
        check(
            Kind::Account,
            Some("theo"),
            true,
            &format!("xmpp:theo@chat.example?register;{token}"),
        );
        check(
            Kind::Reset,
            Some("theo"),
            true,
            &format!("xmpp:theo@chat.example?register;{token}"),
        );
        check(
            Kind::Contact,
            Some("nora"),
            false,
            &format!("xmpp:nora@chat.example?roster;{token}"),
        );
        check(
            Kind::Contact,
            Some("nora"),
            true,
            &format!("xmpp:nora@chat.example?roster;{token};ibr=y"),
        );
        check(
            Kind::Contact,
            Some("nóra%"),
            false,
            &format!("xmpp:n%C3%B3ra%25@chat.example?roster;{token}"),
        );
    }

    #[test]
    fn a_host_is_spelt_as_its_chat_server_does_and_in_ascii() {
        for (host, expected) in [
            ("bücher.example", "b%C3%BCcher.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("my_chat.r3--x.internal", "my_chat.r3--x.internal"),
        ] {
            let mut invite = Invite::sample(Kind::Account);
            invite.host = host.parse().expect("a domain");
            let token = "7Hq2mZc4XwTn9BvKd1Ry5LpA".parse().expect("a token");
            assert_eq!(
                invite_uri(&invite, &token),
                format!("xmpp:{expected}?register;preauth=7Hq2mZc4XwTn9BvKd1Ry5LpA")
            );
        }
    }
}
