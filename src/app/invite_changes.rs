//! Changes invites after they were made: takes back, restores, prolongs, limits.

use super::App;
use super::invites::{CHOSEN_FOR_SEVERAL, check_details, check_lifetime, check_limits, check_note};
use crate::config::Host;
use crate::error::Error;
use crate::invite::{Invite, Lifetime};
use crate::jid::Localpart;
use crate::store::AlteredInvite;

/// What is to be different; what is absent stays as it is.
#[derive(Debug, Default, Clone)]
pub struct Alteration {
    /// From now on.
    pub lifetime: Option<Lifetime>,
    /// `Some(None)` takes the limit away.
    pub max_uses: Option<Option<i64>>,
    /// An empty text takes the note away.
    pub note: Option<String>,
}

impl App {
    /// Takes an invite back; `false` if it was revoked before.
    pub async fn revoke_invite(&self, host: &Host, invite: &Invite) -> Result<bool, Error> {
        let now = self.clock.now();
        Ok(self
            .store
            .revoke_invite(&host.domain, invite.id, now)
            .await?)
    }

    /// Takes back every invite that a local user made, and resets of that user's password.
    pub async fn revoke_invites_of(&self, host: &Host, user: &Localpart) -> Result<usize, Error> {
        let now = self.clock.now();
        Ok(self
            .store
            .revoke_invites_of(&host.domain, user, now)
            .await?)
    }

    /// Makes a revoked invite good again. Its name may be somebody else's meanwhile.
    pub async fn restore_invite(&self, host: &Host, invite: &Invite) -> Result<(), Error> {
        let now = self.clock.now();
        if self
            .store
            .restore_invite(&host.domain, invite.id, now)
            .await?
        {
            return Ok(());
        }
        match self
            .store
            .find_invite_by_id(&host.domain, invite.id)
            .await?
        {
            Some(there) if there.revoked_at.is_some() => Err(Error::NameHeld),
            Some(_) => Err(Error::NotRevoked),
            None => Err(Error::InviteUnknown),
        }
    }

    /// Changes expiry, limit or note; answers the invite as it is then.
    pub async fn alter_invite(
        &self,
        host: &Host,
        invite: &Invite,
        alteration: Alteration,
    ) -> Result<Invite, Error> {
        let now = self.clock.now();
        let details = match alteration.note {
            Some(note) => {
                check_note(Some(&note))?;
                let mut details = invite.details.clone();
                details.note = Some(note).filter(|note| !note.is_empty());
                check_details(&details)?;
                let json = serde_json::to_string(&details);
                Some(json.map_err(|e| Error::Internal(Box::new(e)))?)
            }
            None => None,
        };
        if let Some(max_uses) = alteration.max_uses {
            check_limits(invite.kind, invite.localpart.is_some(), max_uses)?;
            let guessable = || {
                self.token_of(invite)
                    .is_some_and(|token| !token.is_random())
            };
            if max_uses == Some(1) && invite.max_uses != max_uses && guessable() {
                return Err(Error::invalid("max_uses", CHOSEN_FOR_SEVERAL));
            }
        }
        let expires_at = match alteration.lifetime {
            Some(lifetime) => {
                check_lifetime(invite.kind, lifetime)?;
                let seconds = host.lifetime(invite.kind, lifetime);
                Some(seconds.map(|seconds| now.plus(seconds)))
            }
            None => None,
        };
        let altered = AlteredInvite {
            expires_at,
            max_uses: alteration.max_uses,
            details,
        };
        let done = self
            .store
            .alter_invite(&host.domain, invite.id, altered, now)
            .await?;
        let there = self
            .store
            .find_invite_by_id(&host.domain, invite.id)
            .await?
            .ok_or(Error::InviteUnknown)?;
        if done {
            return Ok(there);
        }
        let limit = alteration.max_uses.flatten();
        if limit.is_some_and(|max| there.uses > max) {
            return Err(Error::invalid(
                "max_uses",
                format!("{} uses are taken already", there.uses),
            ));
        }
        Err(Error::NameHeld)
    }
}
