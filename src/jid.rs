//! Parts of an XMPP address (RFC 7622), prepared once: constructing one is the check.

use std::fmt;
use std::str::FromStr;

use ::jid::NodePart;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer};

/// Why a text is not a localpart or a domain; reads as the rest of "… cannot be used: it …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("is empty")]
    Empty,
    /// An address at another host than this one.
    #[error(
        "is an address elsewhere: those here end with @{0}, so give only what stands before that"
    )]
    Elsewhere(Domain),
    #[error("has characters that an address cannot have")]
    Forbidden,
    #[error("is too long")]
    TooLong,
}

/// The part before the `@`, prepared by nodeprep, as Prosody does (RFC 6122 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Localpart(String);

impl Localpart {
    /// A name as people give it: what ends with `@host` stands for what is before that.
    pub fn at(host: &Domain, text: &str) -> Result<Self, ParseError> {
        match text.split_once('@') {
            None => text.parse(),
            Some((name, domain)) if domain.parse().as_ref() == Ok(host) => name.parse(),
            Some(_) => Err(ParseError::Elsewhere(host.clone())),
        }
    }

    /// The prepared text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a name of the plain kind: `[a-z0-9][a-z0-9._-]{0,63}`, which leaves no
    /// two servers or apps in doubt and no look-alikes.
    pub fn is_plain(&self) -> bool {
        let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = self.0.as_bytes();
        bytes.len() <= 64
            && bytes.first().is_some_and(letter)
            && bytes.iter().all(|b| letter(b) || b"._-".contains(b))
    }
}

impl FromStr for Localpart {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Empty);
        }
        if text.len() > 1023 {
            return Err(ParseError::TooLong);
        }
        let prepared = NodePart::new(text).map_err(|_| ParseError::Forbidden)?;
        Ok(Self(prepared.as_str().to_owned()))
    }
}

impl fmt::Display for Localpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a label in ASCII cannot have: all but letters, digits, hyphen and, unlike in host names, the underscore.
const NOT_IN_LABELS: AsciiDenyList = AsciiDenyList::new(true, r##"!"#$%&'()*+,/:;<=>?@[\]^`{|}~"##);

/// An XMPP host. Two are equal if they are one name, whether their labels are written as `bücher` or as
/// `xn--bcher-kva`; but chat servers tell these spellings apart, so it is shown as it was written.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Lower case, U-labels, no trailing dot.
    unicode: String,
    /// Whether it was written with A-labels.
    in_a_labels: bool,
}

impl Domain {
    /// What the host is known by here, in the database above all: U-labels, however it was written.
    pub fn as_str(&self) -> &str {
        &self.unicode
    }

    /// The A-label form, for DNS and HTTP.
    pub fn ascii(&self) -> String {
        idna::domain_to_ascii(&self.unicode).expect("the domain was made from this form")
    }

    /// The same host in its other spelling; `None` if it has one only.
    #[must_use]
    pub fn respelled(&self) -> Option<Self> {
        (self.ascii() != self.unicode).then(|| Self {
            unicode: self.unicode.clone(),
            in_a_labels: !self.in_a_labels,
        })
    }
}

impl FromStr for Domain {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(ParseError::Empty);
        }
        if text.len() > 1023 {
            return Err(ParseError::TooLong);
        }
        let ascii = Uts46::new()
            .to_ascii(
                text.as_bytes(),
                NOT_IN_LABELS,
                Hyphens::Allow,
                DnsLength::Verify,
            )
            .map_err(|_| ParseError::Forbidden)?;
        let (unicode, result) = idna::domain_to_unicode(&ascii);
        result.map_err(|_| ParseError::Forbidden)?;
        let in_a_labels = text
            .split('.')
            .filter_map(|label| label.get(..4))
            .any(|start| start.eq_ignore_ascii_case("xn--"));
        Ok(Self {
            unicode,
            in_a_labels,
        })
    }
}

/// As it was written, and so as the chat server knows it.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_a_labels {
            f.write_str(&self.ascii())
        } else {
            f.write_str(&self.unicode)
        }
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.unicode == other.unicode
    }
}

impl Eq for Domain {}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|why| serde::de::Error::custom(format!("the host {text:?} {why}")))
    }
}

/// `localpart@domain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareJid {
    pub localpart: Localpart,
    pub domain: Domain,
}

impl FromStr for BareJid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (localpart, domain) = text.split_once('@').ok_or(ParseError::Forbidden)?;
        Ok(Self {
            localpart: localpart.parse()?,
            domain: domain.parse()?,
        })
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.localpart, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_localpart(text: &str, prepared: Option<&str>) {
        let parsed = text.parse::<Localpart>().ok();
        assert_eq!(parsed.as_ref().map(Localpart::as_str), prepared);
    }

    #[test]
    fn localparts_are_prepared_as_prosody_does() {
        check_localpart("Theo", Some("theo"));
        check_localpart("", None);
        check_localpart("a b", None);
        check_localpart("a@b", None);
        check_localpart("a:b", None);
        check_localpart("a%b", Some("a%b"));
        check_localpart("Straße", Some("strasse"));
        check_localpart(&"x".repeat(1024), None);
    }

    #[test]
    fn a_whole_address_stands_for_its_name_only_at_its_own_host() {
        let host: Domain = "bücher.example".parse().expect("a domain");
        let named = |text| Localpart::at(&host, text).map(|name| name.to_string());
        for text in [
            "Theo",
            "theo@bücher.example",
            "theo@BÜCHER.example.",
            "theo@xn--bcher-kva.example",
        ] {
            assert_eq!(named(text).as_deref(), Ok("theo"), "{text}");
        }
        for text in [
            "theo@example.com",
            "theo@chat.bücher.example",
            "theo@",
            "theo@a@bücher.example",
            "theo@bücher.example/phone",
        ] {
            assert_eq!(
                named(text),
                Err(ParseError::Elsewhere(host.clone())),
                "{text}"
            );
        }
        assert_eq!(named("@bücher.example"), Err(ParseError::Empty));
    }

    #[test]
    fn plain_names_are_short_and_ascii() {
        for (name, plain) in [
            ("theo", true),
            ("t.h-e_o1", true),
            (".theo", false),
            ("thé", false),
        ] {
            let parsed: Localpart = name.parse().expect("the name is a localpart");
            assert_eq!(parsed.is_plain(), plain, "{name}");
        }
    }

    #[test]
    fn a_domain_is_known_by_u_labels_and_shown_as_it_was_written() {
        for (text, known, shown) in [
            ("Example.COM.", "example.com", "example.com"),
            ("localhost", "localhost", "localhost"),
            ("bücher.example", "bücher.example", "bücher.example"),
            ("BÜCHER.example", "bücher.example", "bücher.example"),
            (
                "xn--bcher-kva.example",
                "bücher.example",
                "xn--bcher-kva.example",
            ),
            (
                "XN--BCHER-KVA.Example.",
                "bücher.example",
                "xn--bcher-kva.example",
            ),
            ("my_chat.internal", "my_chat.internal", "my_chat.internal"),
            ("_chat.internal", "_chat.internal", "_chat.internal"),
            ("r3--chat.example", "r3--chat.example", "r3--chat.example"),
            ("-chat-.example", "-chat-.example", "-chat-.example"),
            (
                "bü_cher--.example",
                "bü_cher--.example",
                "bü_cher--.example",
            ),
            ("例え.テスト", "例え.テスト", "例え.テスト"),
            ("i❤.example", "i❤.example", "i❤.example"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ] {
            let parsed: Domain = text.parse().expect(text);
            assert_eq!(
                (parsed.as_str(), parsed.to_string().as_str()),
                (known, shown)
            );
            // What is in databases already is found again, and no form is without the other.
            assert_eq!(known.parse().as_ref(), Ok(&parsed), "{text}");
            assert_eq!(parsed.ascii().parse().as_ref(), Ok(&parsed), "{text}");
            assert!(parsed.ascii().is_ascii());
            if let Some(other) = parsed.respelled() {
                assert_eq!(other, parsed);
                assert_ne!(other.to_string(), parsed.to_string());
            }
        }
    }

    #[test]
    fn what_has_no_form_for_dns_or_links_is_no_domain() {
        let long = "x".repeat(64);
        for text in [
            "",
            ".",
            "a b",
            "a..b",
            "a/b",
            "a@b",
            "a:5222",
            "a?b",
            "a%b",
            "\u{0}",
            "xn--\u{fc}",
            "xn--a-.example",
            long.as_str(),
            "bü cher.example",
        ] {
            assert!(text.parse::<Domain>().is_err(), "{text:?}");
        }
    }
}
