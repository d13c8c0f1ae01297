//! Takes over what another server made: its tokens, keys and times stay as they are. Doing it twice
//! is the same as doing it once.

use super::App;
use super::invites::{check_details, creator, without_token};
use crate::api_key::{PresentedKey, Scope};
use crate::clock::Timestamp;
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Details, Invite, InviteId, Kind};
use crate::jid::Localpart;
use crate::registration::RegistrationId;
use crate::secret;
use crate::store::{KnownRegistration, NewKey};
use crate::token::InviteToken;

/// An API key of another server.
#[derive(Debug, Clone)]
pub struct OldKey {
    pub key: PresentedKey,
    pub name: Option<String>,
    pub created_at: Option<Timestamp>,
}

/// An invite of another server.
#[derive(Debug, Clone)]
pub struct OldInvite {
    pub token: InviteToken,
    pub kind: Kind,
    pub localpart: Option<Localpart>,
    pub allow_registration: bool,
    pub max_uses: Option<i64>,
    pub uses: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub landing_url: Option<String>,
    pub details: Details,
}

/// What came of an invite of another server.
#[derive(Debug, Clone)]
pub struct OldRegistration {
    /// The invite's token, if that is known.
    pub token: Option<InviteToken>,
    pub kind: Kind,
    /// The new account, the one that was reset, or the inviter of a contact.
    pub localpart: Localpart,
    /// When, if that is known.
    pub at: Option<Timestamp>,
    pub source: Option<String>,
}

/// What came of taking over a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenKey {
    /// Another key has its id; that one stays.
    Differs,
    New,
    There,
}

/// How many rows share one commit; others get their turn in between.
pub const TAKEN_AT_ONCE: usize = 500;
/// Longest address of a page that is kept, in bytes.
const MAX_LANDING_URL: usize = 2048;

impl OldInvite {
    /// What speaks against keeping it, if anything does.
    pub fn check(&self) -> Result<(), Error> {
        if self
            .landing_url
            .as_ref()
            .is_some_and(|url| url.len() > MAX_LANDING_URL)
        {
            return Err(Error::invalid(
                "landing_page",
                "it is longer than 2048 bytes",
            ));
        }
        check_details(&self.details)
    }
}

impl App {
    /// Stores keys that are not there yet; answers for each what came of it.
    pub async fn take_over_keys(
        &self,
        host: &Host,
        keys: &[OldKey],
    ) -> Result<Vec<TakenKey>, Error> {
        let now = self.clock.now();
        let rows: Vec<_> = keys
            .iter()
            .map(|old| NewKey {
                host: &host.domain,
                id: &old.key.id,
                secret_hash: old.key.secret_hash(&host.domain),
                name: old.name.as_deref(),
                scopes: &[Scope::Create],
                created_at: old.created_at.unwrap_or(now),
                expires_at: None,
                max_per_day: None,
            })
            .collect();
        let mut taken = Vec::with_capacity(keys.len());
        for rows in rows.chunks(TAKEN_AT_ONCE) {
            let new = self.store.take_over_keys(rows).await?;
            for (row, new) in rows.iter().zip(new) {
                if new {
                    taken.push(TakenKey::New);
                    continue;
                }
                let there = self.store.find_key(&host.domain, row.id).await?;
                let same = there.is_some_and(|(_, hash)| secret::equal(&hash, &row.secret_hash));
                taken.push(if same {
                    TakenKey::There
                } else {
                    TakenKey::Differs
                });
            }
        }
        Ok(taken)
    }

    /// Stores invites whose tokens are not there yet; answers for each whether it is new. At most
    /// [`TAKEN_AT_ONCE`] of them, which are durable together.
    pub async fn take_over_invites(
        &self,
        host: &Host,
        old: &[OldInvite],
    ) -> Result<Vec<bool>, Error> {
        let invites: Vec<_> = old.iter().map(|old| self.known_invite(host, old)).collect();
        let now = self.clock.now();
        Ok(self.store.take_over_invites(&invites, now).await?)
    }

    /// Writes history that is not there yet; answers for each line whether it is new. At most
    /// [`TAKEN_AT_ONCE`] of them.
    pub async fn take_over_registrations(
        &self,
        host: &Host,
        old: &[OldRegistration],
    ) -> Result<Vec<bool>, Error> {
        let now = self.clock.now();
        let known: Vec<_> = old
            .iter()
            .map(|old| known_registration(host, old, now))
            .collect();
        Ok(self
            .store
            .take_over_registrations(&host.domain, &known)
            .await?)
    }

    fn known_invite(&self, host: &Host, old: &OldInvite) -> Invite {
        let hash = old.token.hash(&host.domain);
        Invite {
            id: InviteId::generate_at(old.created_at),
            host: host.domain.clone(),
            kind: old.kind,
            creator: creator(host, old.kind, old.localpart.as_ref(), &old.details),
            localpart: old.localpart.clone(),
            allow_registration: old.allow_registration,
            max_uses: old.max_uses,
            uses: old.uses,
            unfinished: 0,
            created_at: old.created_at,
            expires_at: Some(old.expires_at),
            revoked_at: None,
            landing_url: old
                .landing_url
                .as_ref()
                .map(|url| without_token(url, &old.token)),
            details: old.details.clone(),
            token_hash: hash.0,
            token_sealed: self.sealer.seal(&old.token, &hash),
        }
    }
}

/// Its id follows from what it says, so that it is written once.
fn known_registration(host: &Host, old: &OldRegistration, now: Timestamp) -> KnownRegistration {
    let name = old.localpart.as_str();
    let token = old.token.as_ref().map_or("", InviteToken::expose);
    let id = |parts: &[&str]| {
        let mut id = [0; 16];
        id.copy_from_slice(&secret::hash(parts)[..16]);
        id
    };
    let domain = host.domain.as_str();
    let invite = if token.is_empty() { name } else { token };
    let details = Details {
        source: old.source.clone(),
        ..Details::default()
    };
    KnownRegistration {
        id: RegistrationId(id(&["imported registration", domain, name, token])),
        token_hash: old.token.as_ref().map(|token| token.hash(&host.domain)),
        invite_id: InviteId(id(&["imported invite", domain, invite])),
        kind: old.kind,
        localpart: old.localpart.clone(),
        at: old.at.unwrap_or(now),
        source: old.source.clone(),
        creator: creator(host, old.kind, Some(&old.localpart), &details),
    }
}
