//! Statements that change invites after they were made: revoke, restore, prolong, limit.

use super::{Change, Error, Store};
use crate::clock::Timestamp;
use crate::invite::InviteId;
use crate::jid::{Domain, Localpart};

pub(super) const SQL: &[&str] = &[
    REVOKE,
    FREE_NAMES,
    REVOKE_ALL,
    FREE_ALL_NAMES,
    CREATORS,
    RESTORE,
    ALTER,
    DROP_STALE_HOLDS,
    HOLD_AGAIN,
];

const REVOKE: &str = "
    update invites
       set revoked_at = $1
     where id = $2
       and host = $3
       and revoked_at is null
    returning id";

const FREE_NAMES: &str = "
    delete from held_names
     where invite_id = $1
       and host = $2";

/// What a local user made, and resets of that user's password.
const REVOKE_ALL: &str = "
    update invites
       set revoked_at = $1
     where host = $2
       and revoked_at is null
       and (creator = $3 or kind = 'reset' and localpart = $3)
    returning id";

const FREE_ALL_NAMES: &str = "
    delete from held_names
     where host = $1
       and invite_id in (
           select id
             from invites
            where host = $1
              and creator = $2
              and revoked_at is not null)";

/// Those of whom [`REVOKE_ALL`] would take something back that can still be used.
const CREATORS: &str = "
    select creator as name
      from invites
     where host = $1
       and creator > $2
       and revoked_at is null
       and (max_uses is null or uses < max_uses)
       and (expires_at is null or expires_at >= $3)
     union
    select localpart
      from invites
     where host = $1
       and kind = 'reset'
       and localpart > $2
       and revoked_at is null
       and (max_uses is null or uses < max_uses)
       and (expires_at is null or expires_at >= $3)
     order by name
     limit $4";

/// Not if somebody else holds its name meanwhile.
const RESTORE: &str = "
    update invites
       set revoked_at = null
     where id = $1
       and host = $2
       and revoked_at is not null
       and (kind <> 'account' or not exists (
           select 1
             from held_names
            where held_names.host = invites.host
              and held_names.localpart = invites.localpart
              and held_names.invite_id <> invites.id
              and (held_names.expires_at is null or held_names.expires_at >= $3)))
       and (kind <> 'account' or not exists (
           select 1
             from registrations
            where registrations.host = invites.host
              and registrations.localpart = invites.localpart
              and registrations.invite_id <> invites.id
              and registrations.confirmed_at is null
              and registrations.released_at is null
              and registrations.kind <> 'contact'
              and registrations.kind <> 'reset'))
    returning id";

/// What is not to change is not written, so that two changes at once do not undo each other. Uses
/// that are taken are not taken back, and nobody else's name is.
const ALTER: &str = "
    update invites
       set expires_at = case when cast($1 as bigint) = 1 then cast($2 as bigint) else expires_at end,
           max_uses = case when cast($3 as bigint) = 1 then cast($4 as bigint) else max_uses end,
           details = coalesce(cast($5 as text), details),
           used_up_at = case
               when cast($3 as bigint) = 1 and (cast($4 as bigint) is null or uses < cast($4 as bigint))
               then null
               else used_up_at end
     where id = $6
       and host = $7
       and (cast($3 as bigint) = 0 or cast($4 as bigint) is null or uses <= cast($4 as bigint))
       and (kind <> 'account' or revoked_at is not null or not exists (
           select 1
             from held_names
            where held_names.host = invites.host
              and held_names.localpart = invites.localpart
              and held_names.invite_id <> invites.id
              and (held_names.expires_at is null or held_names.expires_at >= $8)))
    returning id";

/// The invite's own hold, whose end may have changed, and one that nobody needs any more.
const DROP_STALE_HOLDS: &str = "
    delete from held_names
     where host = $1
       and (invite_id = $2
            or (expires_at < $3
                and localpart = (
                    select localpart
                      from invites
                     where id = $2
                       and host = $1)))";

const HOLD_AGAIN: &str = "
    insert into held_names (host, localpart, invite_id, expires_at)
    select host, localpart, id, expires_at
      from invites
     where id = $1
       and host = $2
       and kind = 'account'
       and localpart is not null
       and revoked_at is null
       and (max_uses is null or uses < max_uses)
       and not exists (
           select 1
             from held_names
            where held_names.host = invites.host
              and held_names.localpart = invites.localpart)";

/// What is to be different from now on; what is absent stays as it is.
#[derive(Debug)]
pub struct AlteredInvite {
    /// `Some(None)` for an invite that never expires.
    pub expires_at: Option<Option<Timestamp>>,
    /// `Some(None)` for no limit.
    pub max_uses: Option<Option<i64>>,
    /// The details as JSON.
    pub details: Option<String>,
}

impl Store {
    /// Takes an invite back and frees the name that it held; `false` if it was revoked before.
    pub async fn revoke_invite(
        &self,
        host: &Domain,
        id: InviteId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let host = host.as_str();
        let change = Change::new()
            .then(REVOKE, vec![now.0.into(), id.0.into(), host.into()])
            .then(FREE_NAMES, vec![id.0.into(), host.into()]);
        let answers = self.commit(change).await?;
        Ok(!answers[0].is_empty())
    }

    /// Takes back all invites that a local user made, and resets of that user's password; answers
    /// how many.
    pub async fn revoke_invites_of(
        &self,
        host: &Domain,
        creator: &Localpart,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let host = host.as_str();
        let change = Change::new()
            .then(
                REVOKE_ALL,
                vec![now.0.into(), host.into(), creator.as_str().into()],
            )
            .then(FREE_ALL_NAMES, vec![host.into(), creator.as_str().into()]);
        let answers = self.commit(change).await?;
        Ok(answers[0].len())
    }

    /// Local users whose invites, or resets of whose passwords, can still be used: by name, at most
    /// `limit` after `after`.
    pub async fn creators(
        &self,
        host: &Domain,
        after: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Localpart>, Error> {
        let params = vec![
            host.as_str().into(),
            after.into(),
            now.0.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = self.scan(CREATORS, params).await?;
        rows.iter().map(|row| row.parsed(0)).collect()
    }

    /// Makes a revoked invite good again; `false` if it is not revoked, or its name is held by
    /// another invite.
    pub async fn restore_invite(
        &self,
        host: &Domain,
        id: InviteId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let change = Change::new().must(
            RESTORE,
            vec![id.0.into(), host.as_str().into(), now.0.into()],
        );
        let answers = self.commit(hold_again(change, host, id, now)).await?;
        Ok(!answers.is_empty())
    }

    /// Changes an invite; `false` if more uses are taken than the new limit, or its name is held
    /// by another invite.
    pub async fn alter_invite(
        &self,
        host: &Domain,
        id: InviteId,
        altered: AlteredInvite,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let change = Change::new().must(
            ALTER,
            vec![
                altered.expires_at.is_some().into(),
                altered.expires_at.flatten().map(|t| t.0).into(),
                altered.max_uses.is_some().into(),
                altered.max_uses.flatten().into(),
                altered.details.into(),
                id.0.into(),
                host.as_str().into(),
                now.0.into(),
            ],
        );
        let answers = self.commit(hold_again(change, host, id, now)).await?;
        Ok(!answers.is_empty())
    }
}

/// Adds the statements that hold the name of an invite that is good again, or good for longer.
fn hold_again(change: Change, host: &Domain, id: InviteId, now: Timestamp) -> Change {
    let host = host.as_str();
    change
        .then(
            DROP_STALE_HOLDS,
            vec![host.into(), id.0.into(), now.0.into()],
        )
        .then(HOLD_AGAIN, vec![id.0.into(), host.into()])
}
