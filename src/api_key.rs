//! API keys: `ID/SECRET`, of which the store keeps the id and a hash of the secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::jid::Domain;
use crate::secret::{self, Secret};

/// What a key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything the APIs offer.
    Admin,
    /// Create plain account invites: `docs/api.md` has the table.
    Create,
}

impl Scope {
    /// The word in commands and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Create => "create",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "admin" => Ok(Self::Admin),
            "create" => Ok(Self::Create),
            _ => Err(format!("unknown scope {text:?}; there are: create, admin")),
        }
    }
}

/// A key as the store knows it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub host: Domain,
    pub id: String,
    pub name: Option<String>,
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
    /// After this moment the key is refused.
    pub expires_at: Option<Timestamp>,
    /// How many invites it may make in one UTC day.
    pub max_per_day: Option<i64>,
}

impl ApiKey {
    /// Whether the key may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// A key as somebody presents it.
#[derive(Debug, Clone)]
pub struct PresentedKey {
    pub id: String,
    pub secret: Secret,
}

impl PresentedKey {
    /// A new key: 6 and 24 random bytes in base64url.
    pub fn generate() -> Self {
        Self {
            id: secret::random_base64url::<6>(),
            secret: Secret::new(secret::random_base64url::<24>()),
        }
    }

    /// `ID/SECRET`, as it is shown once.
    pub fn full_text(&self) -> String {
        format!("{}/{}", self.id, self.secret.expose())
    }

    /// What is stored of the secret.
    pub fn secret_hash(&self, host: &Domain) -> [u8; 32] {
        secret::hash(&["api key", host.as_str(), &self.id, self.secret.expose()])
    }
}

/// The text is not of the form `ID/SECRET`.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAKey;

impl FromStr for PresentedKey {
    type Err = NotAKey;

    /// Any lengths are taken, since imported keys have others; absurd ones are not.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (id, secret) = text.split_once('/').ok_or(NotAKey)?;
        if id.is_empty() || secret.is_empty() || text.len() > 512 || !is_plain(text) {
            return Err(NotAKey);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: Secret::new(secret),
        })
    }
}

/// Whether the text has nothing but visible ASCII, as every key has. PostgreSQL would refuse the
/// question about some others.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_lengths_of_the_documented_example() {
        let key = PresentedKey::generate();
        assert_eq!((key.id.len(), key.secret.expose().len()), (8, 32));
        let again: PresentedKey = key.full_text().parse().expect("it parses");
        assert!(again.secret.matches(key.secret.expose()));
    }

    #[test]
    fn the_secret_begins_after_the_first_slash() {
        let key: PresentedKey = "HTwALnKL/a/b".parse().expect("it parses");
        assert_eq!((key.id.as_str(), key.secret.expose()), ("HTwALnKL", "a/b"));
        for odd in ["", "/", "a/", "/b", "no-slash"] {
            assert!(odd.parse::<PresentedKey>().is_err(), "{odd}");
        }
    }

    #[test]
    fn an_admin_key_may_do_everything() {
        let mut key = ApiKey {
            host: "chat.example".parse().expect("a domain"),
            id: "x".into(),
            name: None,
            scopes: vec![Scope::Create],
            created_at: Timestamp(0),
            expires_at: None,
            max_per_day: None,
        };
        assert!(key.may(Scope::Create) && !key.may(Scope::Admin));
        key.scopes = vec![Scope::Admin];
        assert!(key.may(Scope::Create) && key.may(Scope::Admin));
    }
}
