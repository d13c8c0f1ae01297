//! Statements that take over what another server made: many rows at once, and a row that is there
//! already stays as it is, so that taking over twice is the same as once.

use super::change::Value;
use super::invites::DROP_STALE_HOLD;
use super::{Change, Error, NewKey, Store};
use crate::clock::Timestamp;
use crate::invite::{Invite, InviteId, Kind};
use crate::jid::{Domain, Localpart};
use crate::registration::RegistrationId;
use crate::token::TokenHash;

pub(super) const SQL: &[&str] = &[INSERT_KEY, INSERT_INVITE, HOLD_NAME, INSERT_REGISTRATION];

const INSERT_KEY: &str = "
    insert into api_keys
           (host, id, secret_hash, name, scopes, created_at, expires_at, max_per_day, day, day_count)
    values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)
        on conflict do nothing
    returning id";

const INSERT_INVITE: &str = "
    insert into invites
           (id, host, token_hash, token_sealed, kind, localpart, registers, max_uses, uses,
            created_at, expires_at, landing_url, details, creator, used_up_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        on conflict do nothing
    returning id";

/// Does nothing for an invite that was there already, and one whose name another invite holds.
const HOLD_NAME: &str = "
    insert into held_names (host, localpart, invite_id, expires_at)
    select host, localpart, id, expires_at
      from invites
     where id = $1
       and localpart is not null
       and (expires_at is null or expires_at >= $2)
        on conflict do nothing";

/// The invite may be gone, since other servers forget what is used up.
const INSERT_REGISTRATION: &str = "
    insert into registrations
           (id, host, invite_id, kind, localpart, holder, reserved_at, confirmed_at, source, creator)
    select $1, cast($2 as text),
           coalesce((select id from invites where token_hash = $3), $4),
           cast($5 as text), cast($6 as text), 'import', cast($7 as bigint), cast($7 as bigint),
           cast($8 as text), cast($9 as text)
     where not exists (
           select 1
             from registrations
            where id = $1)
        on conflict do nothing
    returning id";

/// An account, or what else came of an invite, that another server wrote down.
#[derive(Debug)]
pub struct KnownRegistration {
    pub id: RegistrationId,
    /// The invite's token, if that is known.
    pub token_hash: Option<TokenHash>,
    /// What stands for the invite if it is not there.
    pub invite_id: InviteId,
    pub kind: Kind,
    pub localpart: Localpart,
    pub at: Timestamp,
    pub source: Option<String>,
    pub creator: Option<Localpart>,
}

impl Store {
    /// Stores keys that are not there yet; answers for each whether it is new.
    pub async fn take_over_keys(&self, keys: &[NewKey<'_>]) -> Result<Vec<bool>, Error> {
        let change = keys.iter().fold(Change::new(), |change, key| {
            change.then(INSERT_KEY, super::api_keys::params(key))
        });
        let answers = self.commit(change).await?;
        Ok(answers.iter().map(|rows| !rows.is_empty()).collect())
    }

    /// Stores invites whose tokens are not there yet, and holds the fixed names of those that can
    /// still be used, as far as nobody else holds them; answers for each whether it is new.
    pub async fn take_over_invites(
        &self,
        invites: &[Invite],
        now: Timestamp,
    ) -> Result<Vec<bool>, Error> {
        let mut change = Change::new();
        let mut places = Vec::with_capacity(invites.len());
        for invite in invites {
            places.push(change.0.len());
            change = take_over(change, invite, now)?;
        }
        let answers = self.commit(change).await?;
        Ok(places
            .into_iter()
            .map(|place| !answers[place].is_empty())
            .collect())
    }

    /// Writes history that is not there yet; answers for each line whether it is new.
    pub async fn take_over_registrations(
        &self,
        host: &Domain,
        known: &[KnownRegistration],
    ) -> Result<Vec<bool>, Error> {
        let change = known.iter().fold(Change::new(), |change, known| {
            change.then(
                INSERT_REGISTRATION,
                vec![
                    known.id.0.into(),
                    host.as_str().into(),
                    known.token_hash.map_or(Value::Null, |hash| hash.0.into()),
                    known.invite_id.0.into(),
                    known.kind.as_str().into(),
                    known.localpart.as_str().into(),
                    known.at.0.into(),
                    known.source.as_deref().into(),
                    known.creator.as_ref().map(Localpart::as_str).into(),
                ],
            )
        });
        let answers = self.commit(change).await?;
        Ok(answers.iter().map(|rows| !rows.is_empty()).collect())
    }
}

fn take_over(mut change: Change, invite: &Invite, now: Timestamp) -> Result<Change, Error> {
    let used_up = invite.max_uses.is_some_and(|max| invite.uses >= max);
    let details =
        serde_json::to_string(&invite.details).map_err(|e| Error::Unavailable(e.into()))?;
    change = change.then(
        INSERT_INVITE,
        vec![
            invite.id.0.into(),
            invite.host.as_str().into(),
            invite.token_hash.into(),
            invite.token_sealed.clone().into(),
            invite.kind.as_str().into(),
            invite.localpart.as_ref().map(Localpart::as_str).into(),
            invite.allow_registration.into(),
            invite.max_uses.into(),
            invite.uses.into(),
            invite.created_at.0.into(),
            invite.expires_at.map(|t| t.0).into(),
            invite.landing_url.as_deref().into(),
            details.into(),
            invite.creator.as_ref().map(Localpart::as_str).into(),
            used_up.then_some(now.0).into(),
        ],
    );
    if invite.kind == Kind::Account
        && !used_up
        && let Some(name) = invite.fixed_name()
    {
        change = change
            .then(
                DROP_STALE_HOLD,
                vec![
                    invite.host.as_str().into(),
                    name.as_str().into(),
                    now.0.into(),
                ],
            )
            .then(HOLD_NAME, vec![invite.id.0.into(), now.0.into()]);
    }
    Ok(change)
}
