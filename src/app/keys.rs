//! Makes, accepts and takes back API keys.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::App;
use super::invites::check_lifetime;
use crate::api_key::{self, ApiKey, PresentedKey, Scope};
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Kind, Lifetime};
use crate::{secret, store};

/// What a key is made from.
#[derive(Debug, Default)]
pub struct NewKey {
    pub name: Option<String>,
    /// Seconds that it is good; for ever if absent.
    pub expires_in: Option<i64>,
    /// `create` if empty.
    pub scopes: Vec<Scope>,
    pub max_per_day: Option<i64>,
}

/// A key that was good a moment ago; whatever is done with it checks it again.
#[derive(Debug, Clone)]
pub struct AcceptedKey {
    pub(super) id: String,
    pub(super) secret_hash: [u8; 32],
    pub(super) limited: bool,
    scopes: Vec<Scope>,
}

/// Keys that made invites lately, by the hash of their secret: a look-up saved on the fast path.
///
/// No decision rests on it, since the statement that makes the invite checks the key again. A key
/// that was deleted meanwhile is refused there, and then forgotten here.
#[derive(Debug, Default)]
pub(super) struct GoodKeys(Mutex<HashMap<[u8; 32], AcceptedKey>>);

/// Keys that are remembered at a time.
const MOST_KEYS: usize = 1_000;

impl GoodKeys {
    fn find(&self, secret_hash: &[u8; 32]) -> Option<AcceptedKey> {
        self.lock().get(secret_hash).cloned()
    }

    fn remember(&self, key: AcceptedKey) {
        let mut keys = self.lock();
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(key.secret_hash, key);
    }

    fn forget(&self, key: &AcceptedKey) {
        self.lock().remove(&key.secret_hash);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], AcceptedKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AcceptedKey {
    /// Names the key, not a secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the key may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl App {
    /// Makes a key; it can be shown only now.
    pub async fn create_key(&self, host: &Host, new: NewKey) -> Result<PresentedKey, Error> {
        if new
            .name
            .as_ref()
            .is_some_and(|name| name.len() > 200 || name.chars().any(char::is_control))
        {
            return Err(Error::invalid(
                "name",
                "a name is one line of at most 200 bytes",
            ));
        }
        if let Some(seconds) = new.expires_in {
            check_lifetime(Kind::Account, Lifetime::Seconds(seconds))?;
        }
        if new.max_per_day.is_some_and(|max| max < 1) {
            return Err(Error::invalid("max_per_day", "it must be at least 1"));
        }
        let mut scopes = new.scopes;
        if scopes.is_empty() {
            scopes.push(Scope::Create);
        }
        scopes.sort_unstable();
        scopes.dedup();
        let now = self.clock.now();
        loop {
            let key = PresentedKey::generate();
            let stored = store::NewKey {
                host: &host.domain,
                id: &key.id,
                secret_hash: key.secret_hash(&host.domain),
                name: new.name.as_deref(),
                scopes: &scopes,
                created_at: now,
                expires_at: new.expires_in.map(|seconds| now.plus(seconds)),
                max_per_day: new.max_per_day,
            };
            match self.store.create_key(stored).await {
                Ok(()) => return Ok(key),
                // Six random bytes can meet twice.
                Err(store::Error::Conflict) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Checks a key that somebody presents to make an invite. Bad ones never reach the writer,
    /// which has the last word: one that was good lately is not looked up again before that.
    pub async fn accept_key(&self, host: &Host, text: &str) -> Result<AcceptedKey, Error> {
        let presented: PresentedKey = text.parse().map_err(|_| Error::KeyRefused)?;
        if let Some(key) = self.good_keys.find(&presented.secret_hash(&host.domain)) {
            return Ok(key);
        }
        let key = self.recognise_key(host, text).await?;
        if key.may(Scope::Create) {
            self.good_keys.remember(key.clone());
            return Ok(key);
        }
        self.metrics.keys_refused.inc();
        Err(Error::KeyRefused)
    }

    /// Checks a key that somebody presents, whatever it may do.
    pub async fn recognise_key(&self, host: &Host, text: &str) -> Result<AcceptedKey, Error> {
        let presented: PresentedKey = text.parse().map_err(|_| Error::KeyRefused)?;
        let found = self.store.find_key(&host.domain, &presented.id).await?;
        let hash = presented.secret_hash(&host.domain);
        // An unknown id costs the same comparison as a known one.
        let stored = found.as_ref().map_or([0; 32], |(_, stored)| *stored);
        let equal = secret::equal(&hash, &stored);
        match found {
            Some((key, _)) if equal && self.is_current(&key) => Ok(AcceptedKey {
                id: key.id,
                secret_hash: hash,
                limited: key.max_per_day.is_some(),
                scopes: key.scopes,
            }),
            _ => {
                self.metrics.keys_refused.inc();
                Err(Error::KeyRefused)
            }
        }
    }

    /// Forgets a key.
    pub async fn delete_key(&self, host: &Host, id: &str) -> Result<(), Error> {
        // People paste the whole key, too.
        let id = id.split('/').next().unwrap_or_default();
        if !api_key::is_plain(id) {
            return Err(Error::KeyUnknown);
        }
        if self.store.delete_key(&host.domain, id).await? {
            Ok(())
        } else {
            Err(Error::KeyUnknown)
        }
    }

    /// After a refusal inside the statement: an error if the key is good no more.
    pub(super) async fn check_key_again(
        &self,
        host: &Host,
        key: &AcceptedKey,
    ) -> Result<(), Error> {
        self.good_keys.forget(key);
        match self.store.find_key(&host.domain, &key.id).await? {
            Some((stored, hash))
                if secret::equal(&hash, &key.secret_hash) && self.is_current(&stored) =>
            {
                Ok(())
            }
            _ => Err(Error::KeyRefused),
        }
    }

    fn is_current(&self, key: &ApiKey) -> bool {
        key.expires_at.is_none_or(|end| self.clock.now() <= end)
    }
}
