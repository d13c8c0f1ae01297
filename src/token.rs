//! Invite tokens: the secret in a link, what is stored of it, and how it is sealed.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use percent_encoding::percent_decode_str;

use crate::jid::Domain;
use crate::secret::{self, Secret};

/// Shortest token that is taken from outside.
pub const MIN_LENGTH: usize = 10;
/// Longest token that is taken from outside.
pub const MAX_LENGTH: usize = 128;
/// Letters at the front of our tokens that say when they were made.
const PLACE_LENGTH: usize = 3;
/// Random letters after them: 125 bits.
const RANDOM_LENGTH: usize = 21;
/// All of them. Prosody's have as many, so that no token of this length needs to be one that somebody
/// thought of.
pub const OUR_LENGTH: usize = PLACE_LENGTH + RANDOM_LENGTH;
/// How long our tokens have the same place, in milliseconds.
const SAME_PLACE: u128 = 8;

/// The secret in an invite's link; `preauth` on the wire (XEP-0379, XEP-0445).
#[derive(Debug, Clone)]
pub struct InviteToken(Secret);

impl InviteToken {
    /// A new token: 24 characters of `[A-Za-z0-9]`. Apps decode other characters differently, and
    /// chat programs cut a trailing `-` or `_` off links.
    ///
    /// Three characters tell the moment, which is no secret; 21 are random. So tokens that are
    /// made together are stored together (`docs/decisions/0016`).
    pub fn generate() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::generate_at(now.unwrap_or_default())
    }

    fn generate_at(since_1970: Duration) -> Self {
        let mut text = String::with_capacity(OUR_LENGTH);
        let letters = secret::ALPHABET.len() as u128;
        let mut moment = since_1970.as_millis() / SAME_PLACE;
        for _ in 0..PLACE_LENGTH {
            text.push(char::from(secret::ALPHABET[(moment % letters) as usize]));
            moment /= letters;
        }
        text += &secret::random_alphanumeric(RANDOM_LENGTH);
        Self(Secret::new(text))
    }

    /// The token in what people and programs make of a link: the link, its path and query, its query
    /// alone, an `xmpp:` URI or the bare token, with whatever came to stand around it.
    ///
    /// Only what no token can contain is cut off; a wrong letter stays wrong. What an app or a chat
    /// server presents is not for this: that is taken as it is (`docs/decisions/0027`).
    pub fn in_link(text: &str) -> Result<Self, NotAToken> {
        let text = percent_decode_str(text).decode_utf8_lossy();
        let places = text.split(['?', '&', ';', '#']).filter_map(|part| {
            let part = part.trim_end_matches('/');
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (rank, token) = match name {
                "preauth" => (0, Self::at_start(value)),
                "t" | "token" => (3, Self::at_start(value)),
                // A parameter that somebody added.
                _ if value.contains(is_of_token) => return None,
                address if address.contains(['/', ':']) => {
                    (4, address.rsplit('/').find_map(Self::at_start))
                }
                alone if alone.len() == part.len() => (1, Self::at_start(alone)),
                // Some programs make `TOKEN=` of a query without any `=`.
                with_sign => (2, Self::at_start(with_sign)),
            };
            Some((rank, token?))
        });
        let best = places.min_by_key(|(rank, _)| *rank);
        best.map(|(_, token)| token).ok_or(NotAToken)
    }

    /// The token that `text` begins with, after quotes and brackets.
    fn at_start(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(|c| !is_of_token(c));
        let end = text.find(|c| !is_of_token(c)).unwrap_or(text.len());
        text[..end].parse().ok()
    }

    /// Whether a program made it, ours or a chat server's: its length says so, since nobody else may
    /// choose one of that length.
    pub fn is_random(&self) -> bool {
        self.expose().len() == OUR_LENGTH
    }

    /// The token's text, for links and URIs.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What is stored of the token. It covers the host, so a token is worth nothing elsewhere.
    pub fn hash(&self, host: &Domain) -> TokenHash {
        let mut hash = secret::hash(&["invite token", host.as_str(), self.expose()]);
        if let Some(place) = self.place() {
            let place = secret::hash(&["place of invite tokens", place]);
            hash[..PLACE_LENGTH].copy_from_slice(&place[..PLACE_LENGTH]);
        }
        TokenHash(hash)
    }

    /// The part that tokens made together have in common; what only looks like one of ours loses
    /// nothing by it but the secrecy of three letters.
    fn place(&self) -> Option<&str> {
        let text = self.expose();
        let ours = text.len() == OUR_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
        ours.then(|| &text[..PLACE_LENGTH])
    }
}

/// The text has a length or a character that no token has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has {MIN_LENGTH} to {MAX_LENGTH} letters, digits, - and _")]
pub struct NotAToken;

impl FromStr for InviteToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&text.len());
        if fits && text.chars().all(is_of_token) {
            Ok(Self(Secret::new(text)))
        } else {
            Err(NotAToken)
        }
    }
}

/// The letters of tokens: ours have neither of the last two, Prosody's and chosen ones may.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// SHA-256 of host and token, of which three bytes give way to those of the token's place; all that
/// the database knows of a token without the sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// Seals tokens for the database under a key that is kept beside it, never in it, so that an
/// admin can see a link again but a stolen copy of the database shows none.
#[derive(Debug)]
pub struct Sealer(LessSafeKey);

const NONCE_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;

impl Sealer {
    /// A sealer with the 32 bytes of the key file.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&aead::AES_256_GCM, key).expect("the key has the right length");
        Self(LessSafeKey::new(key))
    }

    /// Seals `token`; the result opens only together with its own hash.
    pub fn seal(&self, token: &InviteToken, hash: &TokenHash) -> Vec<u8> {
        let nonce = secret::random_bytes::<NONCE_LENGTH>();
        let text = token.expose().as_bytes();
        let mut sealed = Vec::with_capacity(NONCE_LENGTH + text.len() + TAG_LENGTH);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(hash.0),
                &mut sealed[NONCE_LENGTH..],
            )
            .expect("a token is far shorter than the cipher's limit");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`Sealer::seal`] made; `None` if the key has been changed since.
    pub fn open(&self, sealed: &[u8], hash: &TokenHash) -> Option<InviteToken> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LENGTH)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let text = self
            .0
            .open_in_place(nonce, Aad::from(hash.0), &mut body)
            .ok()?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_hash_is_bound_to_its_host() {
        let token = InviteToken::generate();
        let one: Domain = "one.example".parse().expect("a domain");
        let two: Domain = "two.example".parse().expect("a domain");
        assert_ne!(token.hash(&one), token.hash(&two));
    }

    #[test]
    fn a_sealed_token_opens_with_its_own_key_and_hash_only() {
        let host: Domain = "one.example".parse().expect("a domain");
        let (token, other) = (InviteToken::generate(), InviteToken::generate());
        let seal = Sealer::new(&[7; 32]);
        let sealed = seal.seal(&token, &token.hash(&host));

        let opened = seal.open(&sealed, &token.hash(&host));
        assert_eq!(opened.expect("it opens").expose(), token.expose());
        assert!(seal.open(&sealed, &other.hash(&host)).is_none());
        assert!(
            Sealer::new(&[8; 32])
                .open(&sealed, &token.hash(&host))
                .is_none()
        );
        assert!(seal.open(&[], &token.hash(&host)).is_none());
    }

    #[test]
    fn tokens_made_together_are_stored_together_and_others_anywhere() {
        let host: Domain = "one.example".parse().expect("a domain");
        let token =
            |after: u64| InviteToken::generate_at(Duration::from_millis(1_795_000_000_000 + after));
        let place = |after| token(after).hash(&host).0[..PLACE_LENGTH].to_vec();
        assert_eq!(place(0), place(7));
        assert_ne!(place(0), place(8));
        let (one, two) = (token(0), token(0));
        assert_ne!(one.expose(), two.expose());
        assert_ne!(one.hash(&host), two.hash(&host));
        // A short one of somebody's choice keeps all of its hash.
        let chosen: InviteToken = "SummerParty2027".parse().expect("a token");
        assert_eq!(
            chosen.hash(&host).0,
            secret::hash(&["invite token", "one.example", "SummerParty2027"])
        );
    }

    #[test]
    fn the_token_is_found_in_what_people_make_of_a_link() {
        let token = "7Hq2mZc4XwTn9BvKd1Ry5LpA";
        for text in [
            "TOKEN",
            " TOKEN\n",
            "<TOKEN>",
            "\u{feff}TOKEN",
            "?TOKEN",
            "TOKEN=",
            "TOKEN=&x=y",
            "TOKEN&x=y",
            "TOKEN&",
            "TOKEN&amp;x=y",
            "TOKEN#top",
            "TOKEN?utm_source=mail",
            "TOKEN%3Futm_source=mail",
            "TOKEN%3futm_source%3Dmail",
            "fbclid=1&TOKEN&b=2",
            "utm_campaign=spring_party_2027&TOKEN",
            "TOKEN.",
            "TOKEN,",
            "TOKEN)",
            "TOKEN).",
            "TOKEN;",
            "TOKEN!",
            "TOKEN]",
            "TOKEN>",
            "TOKEN%3E",
            "TOKEN\"",
            "TOKEN%22",
            "TOKEN'",
            "TOKEN/",
            "TOKEN ",
            "TOKEN%20",
            "TOKEN+",
            "TOKEN\n",
            "TOKEN%0A",
            "TOKEN\u{200b}",
            "TOKEN%E2%80%8B",
            "TOKEN\u{2019}",
            "TOKEN</a>",
            "TOKEN*",
            "(TOKEN)",
            "\u{300c}TOKEN\u{300d}",
            "%37Hq2mZc4XwTn9BvKd1Ry5Lp%41",
            "/invite?TOKEN",
            "/invite/?TOKEN",
            "/invites_page?TOKEN",
            "/invite/TOKEN",
            "/invite/TOKEN/",
            "/invite/TOKEN.",
            "/invite/TOKEN?utm_source=mail",
            "/invite/setup/conversations?TOKEN",
            "/register?t=TOKEN.",
            "/register?t=TOKEN&c=conversations",
            "/register?c=conversations&t=TOKEN",
            "/register?t=TOKEN?utm_source=mail",
            "/invite/setup/conversations/?TOKEN/",
            "https://example.com/invite?TOKEN",
            "<https://example.com/invite?TOKEN> ",
            "[an invite](https://example.com/invite?TOKEN)",
            "https://example.com/invite%3FTOKEN",
            "https://example.com/invites_page/?TOKEN",
            "https://a-rather-long-name.example/invite/TOKEN",
            "https://a-rather-long-name.example/invite?TOKEN",
            "https://example.com/invite?TOKEN&url=https://elsewhere.example/a-page-of-its-own",
            "https://mail.example/?url=https%3A%2F%2Fexample.com%2Finvite%3FTOKEN&data=05",
            "xmpp:chat.example?register;preauth=TOKEN",
            "xmpp:nora@chat.example?roster;preauth=TOKEN;ibr=y",
            "<xmpp:nora@chat.example?roster;preauth=TOKEN>",
            "https://xmpp.link/#nora@chat.example?roster;preauth=TOKEN",
        ] {
            let text = text.replace("TOKEN", token);
            let found = InviteToken::in_link(&text).map(|found| found.expose().to_owned());
            assert_eq!(found.as_deref(), Ok(token), "{text}");
        }
    }

    #[test]
    fn letters_that_a_chosen_token_may_end_with_stay() {
        for token in [
            "spring-party-",
            "_spring_party_",
            "-spring-party",
            "spring--party",
        ] {
            for text in [
                token.to_owned(),
                format!("<https://example.com/invite?{token}>."),
            ] {
                let found = InviteToken::in_link(&text).expect("a token");
                assert_eq!(found.expose(), token, "{text}");
            }
        }
    }

    #[test]
    fn a_wrong_letter_stays_wrong_and_what_has_no_token_gives_none() {
        for text in [
            "7Hq2mZc4XwTn9BvKd1Ry5Lp",
            "7Hq2mZc4XwTn9BvKd1Ry5LpAA",
            "7Hq2mZc4XwTn9BvKd1Ry5Lpa",
            "7Hq2mZc4XwTn.BvKd1Ry5LpA",
            "7Hq2mZc4XwTn\u{e9}BvKd1Ry5LpA",
            "7Hq2mZc4XwTn 9BvKd1Ry5LpA",
        ] {
            let found = InviteToken::in_link(text).map(|found| found.expose().to_owned());
            assert_ne!(found.as_deref(), Ok("7Hq2mZc4XwTn9BvKd1Ry5LpA"), "{text}");
        }
        for text in [
            "",
            "?",
            "%",
            "%FF%00",
            "a=b",
            "utm_source=newsletter-2027",
            "/invite",
            "https://example.com/invite",
            "xmpp:chat.example",
            &"x".repeat(129),
        ] {
            assert!(InviteToken::in_link(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_of_prosody_are_taken_and_odd_texts_are_not() {
        assert!("c-vhJjyB5Pb4HpAf".parse::<InviteToken>().is_ok());
        assert!("_starts-with-underscore-".parse::<InviteToken>().is_ok());
        for odd in [
            "",
            "short",
            "with space in it",
            "quote'quote'",
            &"x".repeat(129),
        ] {
            assert!(odd.parse::<InviteToken>().is_err(), "{odd}");
        }
    }
}
