//! Statements and rows of invites, and of the names that they hold.

use super::change::{Row, Value};
use super::{Change, Error, Store};
use crate::clock::Timestamp;
use crate::invite::{Invite, InviteId, Kind, State};
use crate::jid::{Domain, Localpart};
use crate::token::TokenHash;

pub(super) const SQL: &[&str] = &[
    COUNT_KEY_USE,
    INSERT,
    DROP_STALE_HOLD,
    HOLD_NAME,
    FIND_BY_TOKEN,
    FIND_BY_ID,
    LIST,
    REVOKE,
    FREE_NAMES,
    NAME_IS_HELD,
];

/// With whose authority an invite is made.
#[derive(Debug, Clone, Copy)]
pub enum CreatedBy<'a> {
    /// An API key, checked again inside the statement that inserts.
    Key {
        id: &'a str,
        secret_hash: [u8; 32],
        limited: bool,
    },
    /// The operator, or an XMPP server on the bridge.
    Trusted,
}

/// What came of an attempt to store an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Created,
    /// Key, name or token stood against it; nothing was stored.
    Refused,
}

const COUNT_KEY_USE: &str = "
    update api_keys
       set day_count = case when day = $1 then day_count + 1 else 1 end,
           day = $1,
           last_invite = $2
     where host = $3
       and id = $4
       and secret_hash = $5
       and max_per_day is not null
       and (day <> $1 or day_count < max_per_day)
       and (expires_at is null or expires_at >= $6)";

const INSERT: &str = "
    insert into invites
           (id, host, token_hash, token_sealed, kind, localpart, registers, max_uses, uses,
            created_at, expires_at, landing_url, details)
    select $1, cast($2 as text), $3, $4, cast($5 as text),
           cast($6 as text), cast($7 as bigint), cast($8 as bigint), 0, cast($9 as bigint),
           cast($10 as bigint), cast($11 as text), cast($12 as text)
     where (cast($13 as text) is null
            or exists (
               select 1
                 from api_keys
                where host = $2
                  and id = $13
                  and secret_hash = $14
                  and (expires_at is null or expires_at >= $9)
                  and (max_per_day is null or last_invite = $1)))
       and not exists (
           select 1
             from held_names
            where host = $2
              and localpart = $15
              and (expires_at is null or expires_at >= $9))
       and not exists (
           select 1
             from invites
            where token_hash = $3)
    returning id";

const DROP_STALE_HOLD: &str = "
    delete from held_names
     where host = $1
       and localpart = $2
       and expires_at < $3";

const HOLD_NAME: &str = "
    insert into held_names (host, localpart, invite_id, expires_at)
    select host, localpart, id, expires_at
      from invites
     where id = $1";

const FIND_BY_TOKEN: &str = "
    select id, kind, localpart, registers, max_uses, uses, created_at, expires_at, revoked_at,
           landing_url, details, token_hash, token_sealed,
           (select count(*)
              from registrations
             where invite_id = invites.id
               and confirmed_at is null
               and released_at is null)
      from invites
     where token_hash = $1
       and host = $2";

const FIND_BY_ID: &str = "
    select id, kind, localpart, registers, max_uses, uses, created_at, expires_at, revoked_at,
           landing_url, details, token_hash, token_sealed,
           (select count(*)
              from registrations
             where invite_id = invites.id
               and confirmed_at is null
               and released_at is null)
      from invites
     where id = $1
       and host = $2";

const LIST: &str = "
    select id, kind, localpart, registers, max_uses, uses, created_at, expires_at, revoked_at,
           landing_url, details, token_hash, token_sealed,
           (select count(*)
              from registrations
             where invite_id = invites.id
               and confirmed_at is null
               and released_at is null)
      from invites
     where host = $1
       and id > $2
       and ($3 = 0 or registers = 1)
     order by id
     limit $4";

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

const NAME_IS_HELD: &str = "
    select 1
      from held_names
     where host = $1
       and localpart = $2
       and (expires_at is null or expires_at >= $3)
    union all
    select 1
      from registrations
     where host = $1
       and localpart = $2
       and confirmed_at is null
       and released_at is null
       and kind <> 'contact'";

/// Which invites a list has.
#[derive(Debug, Clone, Copy)]
pub struct ListInvites {
    /// Only those that can be used for an account.
    pub registering: bool,
    /// Those after this one, by age.
    pub after: Option<InviteId>,
    /// Only those in this state.
    pub state: Option<State>,
    pub limit: usize,
}

/// Rows that are read at once while a list is filtered.
const PAGE: i64 = 1_000;

impl Store {
    /// Stores `invite` and holds its fixed name, if `by` may still do that.
    ///
    /// [`Error::Conflict`] means that another node held the name, or took the token, meanwhile.
    pub async fn create_invite(
        &self,
        invite: &Invite,
        by: CreatedBy<'_>,
    ) -> Result<Creation, Error> {
        let (key_id, secret_hash) = match by {
            CreatedBy::Key {
                id, secret_hash, ..
            } => (Some(id), Some(secret_hash)),
            CreatedBy::Trusted => (None, None),
        };
        let now = invite.created_at;
        let held = Some(invite)
            .filter(|invite| invite.kind == Kind::Account)
            .and_then(Invite::fixed_name);
        let mut change = Change::new();
        if let CreatedBy::Key {
            id,
            secret_hash,
            limited: true,
        } = by
        {
            let params = vec![
                now.day().into(),
                invite.id.0.into(),
                invite.host.as_str().into(),
                id.into(),
                secret_hash.into(),
                now.0.into(),
            ];
            change = change.then(COUNT_KEY_USE, params);
        }
        let details =
            serde_json::to_string(&invite.details).map_err(|e| Error::Unavailable(e.into()))?;
        change = change.then(
            INSERT,
            vec![
                invite.id.0.into(),
                invite.host.as_str().into(),
                invite.token_hash.into(),
                invite.token_sealed.clone().into(),
                invite.kind.as_str().into(),
                invite.localpart.as_ref().map(Localpart::as_str).into(),
                invite.allow_registration.into(),
                invite.max_uses.into(),
                now.0.into(),
                invite.expires_at.map(|t| t.0).into(),
                invite.landing_url.as_deref().into(),
                details.into(),
                key_id.into(),
                secret_hash.map_or(Value::Null, Value::from),
                held.map(Localpart::as_str).into(),
            ],
        );
        let inserted = change.0.len() - 1;
        if let Some(name) = held {
            change = change
                .then(
                    DROP_STALE_HOLD,
                    vec![
                        invite.host.as_str().into(),
                        name.as_str().into(),
                        now.0.into(),
                    ],
                )
                .then(HOLD_NAME, vec![invite.id.0.into()]);
        }
        let answers = self.commit(change).await?;
        Ok(if answers[inserted].is_empty() {
            Creation::Refused
        } else {
            Creation::Created
        })
    }

    /// The invite with this token at this host.
    pub async fn find_invite(
        &self,
        host: &Domain,
        token: &TokenHash,
    ) -> Result<Option<Invite>, Error> {
        let rows = self
            .read(FIND_BY_TOKEN, vec![token.0.into(), host.as_str().into()])
            .await?;
        rows.first().map(|row| invite(row, host)).transpose()
    }

    /// The invite with this id at this host.
    pub async fn find_invite_by_id(
        &self,
        host: &Domain,
        id: InviteId,
    ) -> Result<Option<Invite>, Error> {
        let rows = self
            .read(FIND_BY_ID, vec![id.0.into(), host.as_str().into()])
            .await?;
        rows.first().map(|row| invite(row, host)).transpose()
    }

    /// Invites of a host, oldest first.
    pub async fn list_invites(
        &self,
        host: &Domain,
        which: ListInvites,
        now: Timestamp,
    ) -> Result<Vec<Invite>, Error> {
        let mut found = Vec::new();
        let mut after = which.after.map_or([0; 16], |id| id.0);
        loop {
            let rows = self
                .read(
                    LIST,
                    vec![
                        host.as_str().into(),
                        after.into(),
                        which.registering.into(),
                        PAGE.into(),
                    ],
                )
                .await?;
            for row in &rows {
                let invite = invite(row, host)?;
                after = invite.id.0;
                if which.state.is_none_or(|state| state == invite.state(now)) {
                    found.push(invite);
                    if found.len() == which.limit {
                        return Ok(found);
                    }
                }
            }
            if rows.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Takes an invite back and frees the name that it held; `false` if it was revoked before.
    pub async fn revoke_invite(
        &self,
        host: &Domain,
        id: InviteId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let change = Change::new()
            .then(
                REVOKE,
                vec![now.0.into(), id.0.into(), host.as_str().into()],
            )
            .then(FREE_NAMES, vec![id.0.into(), host.as_str().into()]);
        let answers = self.commit(change).await?;
        Ok(!answers[0].is_empty())
    }

    /// Whether a pending invite or an unfinished attempt holds this name.
    pub async fn name_is_held(
        &self,
        host: &Domain,
        name: &Localpart,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = vec![host.as_str().into(), name.as_str().into(), now.0.into()];
        Ok(!self.read(NAME_IS_HELD, params).await?.is_empty())
    }
}

fn invite(row: &Row, host: &Domain) -> Result<Invite, Error> {
    let details = serde_json::from_str(row.text(10)?).map_err(|e| Error::Unavailable(e.into()))?;
    let localpart = match row.maybe_text(2)? {
        Some(_) => Some(row.parsed(2)?),
        None => None,
    };
    let kind = row
        .text(1)?
        .parse()
        .map_err(|()| Error::Unavailable("an invite of unknown kind".into()))?;
    Ok(Invite {
        id: InviteId(row.array(0)?),
        host: host.clone(),
        kind,
        localpart,
        allow_registration: row.int(3)? != 0,
        max_uses: row.maybe_int(4)?,
        uses: row.int(5)?,
        created_at: Timestamp(row.int(6)?),
        expires_at: row.maybe_int(7)?.map(Timestamp),
        revoked_at: row.maybe_int(8)?.map(Timestamp),
        landing_url: row.maybe_text(9)?.map(str::to_owned),
        details,
        token_hash: row.array(11)?,
        token_sealed: row.bytes(12)?.to_vec(),
        unfinished: row.int(13)?,
    })
}
