//! Statements of reservations: one use of an invite, bound to an attempt, then confirmed or
//! released. The heart of the promise that an invite gives exactly what it says.

use super::{Change, Error, Store};
use crate::clock::Timestamp;
use crate::invite::{InviteId, Kind};
use crate::jid::{Domain, Localpart};
use crate::registration::{OpenReservation, Registration, RegistrationId, Reserved};
use crate::secret;
use crate::token::TokenHash;

pub(super) const SQL: &[&str] = &[
    KEEP,
    TAKE_USE,
    INSERT,
    TAKE_CONTACT_USE,
    CONFIRM,
    CONFIRM_LATE,
    COUNT_LATE_USE,
    FREE_NAME,
    REVOKE_OF_PREDECESSOR,
    NOTE_LAST_USE,
    RELEASE,
    GIVE_USE_BACK,
    FIND_OPEN,
    LIST_OPEN,
    LIST_BY_INVITE,
];

/// The same holder asks again: it keeps its use, under the new name.
const KEEP: &str = "
    update registrations
       set localpart = $1,
           reserved_at = $2
     where host = $3
       and holder = $4
       and invite_id = (
           select id
             from invites
            where token_hash = $5
              and host = $3
              and revoked_at is null
              and (localpart is null or kind = 'contact' or localpart = $1))
       and confirmed_at is null
       and released_at is null
       and kind <> 'contact'
       and (kind = 'reset' or not exists (
           select 1
             from held_names
            where held_names.host = $3
              and held_names.localpart = $1
              and held_names.invite_id <> registrations.invite_id
              and (held_names.expires_at is null or held_names.expires_at >= $2)))
       and not exists (
           select 1
             from registrations other
            where other.host = $3
              and other.localpart = $1
              and other.id <> registrations.id
              and other.confirmed_at is null
              and other.released_at is null
              and other.kind <> 'contact')
    returning id";

/// Expiry is not looked at: it was when the token was presented (XEP-0445 §3). A name that is kept
/// free for a new account stands in no reset's way: that account is there already.
const TAKE_USE: &str = "
    update invites
       set uses = uses + 1,
           last_use = $1
     where token_hash = $2
       and host = $3
       and revoked_at is null
       and registers = 1
       and (max_uses is null or uses < max_uses)
       and (localpart is null or kind = 'contact' or localpart = $4)
       and not exists (
           select 1
             from registrations
            where registrations.invite_id = invites.id
              and registrations.holder = $5
              and registrations.confirmed_at is null
              and registrations.released_at is null)
       and (kind = 'reset' or not exists (
           select 1
             from held_names
            where held_names.host = $3
              and held_names.localpart = $4
              and held_names.invite_id <> invites.id
              and (held_names.expires_at is null or held_names.expires_at >= $6)))
       and not exists (
           select 1
             from registrations other
            where other.host = $3
              and other.localpart = $4
              and other.confirmed_at is null
              and other.released_at is null
              and other.kind <> 'contact')
    returning id";

const TAKE_CONTACT_USE: &str = "
    update invites
       set uses = uses + 1,
           last_use = $1
     where token_hash = $2
       and host = $3
       and revoked_at is null
       and kind = 'contact'
       and localpart = $4
       and (max_uses is null or uses < max_uses)
       and (expires_at is null or expires_at >= $5)
    returning id";

/// Does nothing if the statement before it took no use.
const INSERT: &str = "
    insert into registrations
           (id, host, invite_id, kind, localpart, holder, reserved_at, source, creator)
    select last_use, host, id, cast($1 as text), cast($2 as text), cast($3 as text),
           cast($4 as bigint), cast($5 as text), creator
      from invites
     where token_hash = $6
       and last_use = $7";

const CONFIRM: &str = "
    update registrations
       set confirmed_at = $1
     where id = $2
       and host = $3
       and confirmed_at is null
       and released_at is null
    returning id";

/// The account exists although the reservation was given up: it is counted, whatever the limit.
const CONFIRM_LATE: &str = "
    update registrations
       set confirmed_at = $1,
           released_at = null,
           settled_by = $2
     where id = $3
       and host = $4
       and released_at is not null
    returning id";

const COUNT_LATE_USE: &str = "
    update invites
       set uses = uses + 1
     where id = (
           select invite_id
             from registrations
            where id = $1
              and host = $2
              and settled_by = $3)";

/// The account exists, so nothing has to keep its name free any more.
const FREE_NAME: &str = "
    delete from held_names
     where host = $1
       and localpart = (
           select localpart
             from registrations
            where id = $2
              and host = $1
              and confirmed_at is not null)
       and invite_id = (
           select invite_id
             from registrations
            where id = $2
              and host = $1)";

/// Whoever had the name before is gone, so what was made by or for that account must not act on
/// the new one.
const REVOKE_OF_PREDECESSOR: &str = "
    update invites
       set revoked_at = $1
     where host = $2
       and revoked_at is null
       and id in (
           select old.id
             from invites old, registrations made
            where made.id = $3
              and made.host = $2
              and made.kind = 'account'
              and made.confirmed_at is not null
              and old.host = $2
              and old.kind = 'reset'
              and old.localpart = made.localpart
              and old.created_at < made.reserved_at
            union
           select old.id
             from invites old, registrations made
            where made.id = $3
              and made.host = $2
              and made.kind = 'account'
              and made.confirmed_at is not null
              and old.host = $2
              and old.creator = made.localpart
              and old.created_at < made.reserved_at)";

/// Notes when the last use was taken for good.
const NOTE_LAST_USE: &str = "
    update invites
       set used_up_at = $1
     where id = (
           select invite_id
             from registrations
            where id = $2
              and host = $3)
       and used_up_at is null
       and uses >= max_uses";

const RELEASE: &str = "
    update registrations
       set released_at = $1,
           settled_by = $2
     where id = $3
       and host = $4
       and confirmed_at is null
       and released_at is null
    returning id";

const GIVE_USE_BACK: &str = "
    update invites
       set uses = uses - 1
     where id = (
           select invite_id
             from registrations
            where id = $1
              and host = $2
              and settled_by = $3)";

const FIND_OPEN: &str = "
    select id
      from registrations
     where host = $1
       and localpart = $2
       and invite_id = $3
       and confirmed_at is null
       and released_at is null
       and kind <> 'contact'";

const LIST_OPEN: &str = "
    select id, localpart, kind, reserved_at, invite_id
      from registrations
     where host = $1
       and reserved_at <= $2
       and confirmed_at is null
       and released_at is null
     order by reserved_at
     limit 500";

const LIST_BY_INVITE: &str = "
    select localpart, confirmed_at, id, reserved_at
      from registrations
     where invite_id = $1
       and host = $2
       and released_at is null
     order by reserved_at";

/// Who wants which use of what.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub token: &'a TokenHash,
    pub name: &'a Localpart,
    pub kind: Kind,
    /// Whoever may ask again, with another name, for the same use.
    pub holder: &'a str,
    /// Who made the invite, for the history.
    pub source: Option<&'a str>,
}

impl Store {
    /// Binds one use of the invite to the attempt, or reports that the invite gives none.
    /// One conditional statement decides.
    pub async fn reserve(
        &self,
        host: &Domain,
        attempt: Attempt<'_>,
        now: Timestamp,
    ) -> Result<Reserved, Error> {
        let Attempt {
            token,
            name,
            kind,
            holder,
            source,
        } = attempt;
        let id = RegistrationId::generate();
        let change = Change::new()
            .then(
                KEEP,
                vec![
                    name.as_str().into(),
                    now.0.into(),
                    host.as_str().into(),
                    holder.into(),
                    token.0.into(),
                ],
            )
            .then(
                TAKE_USE,
                vec![
                    id.0.into(),
                    token.0.into(),
                    host.as_str().into(),
                    name.as_str().into(),
                    holder.into(),
                    now.0.into(),
                ],
            )
            .then(
                INSERT,
                vec![
                    kind.as_str().into(),
                    name.as_str().into(),
                    holder.into(),
                    now.0.into(),
                    source.into(),
                    token.0.into(),
                    id.0.into(),
                ],
            );
        let answers = match self.commit(change).await {
            // Another node reserved the same name at the same moment.
            Err(Error::Conflict) => return Ok(Reserved::Refused),
            other => other?,
        };
        if let Some(row) = answers[0].first() {
            return Ok(Reserved::Kept(RegistrationId(row.array(0)?)));
        }
        Ok(if answers[1].is_empty() {
            Reserved::Refused
        } else {
            Reserved::New(id)
        })
    }

    /// Binds one use of a contact token of `inviter` to this attempt. Expiry counts here: the
    /// token is presented and used at the same moment (XEP-0379 §4).
    pub async fn claim_contact(
        &self,
        host: &Domain,
        token: &TokenHash,
        inviter: &Localpart,
        source: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<RegistrationId>, Error> {
        let id = RegistrationId::generate();
        let change = Change::new()
            .then(
                TAKE_CONTACT_USE,
                vec![
                    id.0.into(),
                    token.0.into(),
                    host.as_str().into(),
                    inviter.as_str().into(),
                    now.0.into(),
                ],
            )
            .then(
                INSERT,
                vec![
                    Kind::Contact.as_str().into(),
                    inviter.as_str().into(),
                    "".into(),
                    now.0.into(),
                    source.into(),
                    token.0.into(),
                    id.0.into(),
                ],
            );
        let answers = self.commit(change).await?;
        Ok((!answers[0].is_empty()).then_some(id))
    }

    /// Records that the account exists; saying so twice changes nothing. `false` if it was
    /// confirmed before or is unknown.
    pub async fn confirm(
        &self,
        host: &Domain,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mark = secret::random_bytes::<16>();
        let host = host.as_str();
        let change = Change::new()
            .then(CONFIRM, vec![now.0.into(), id.0.into(), host.into()])
            .then(
                CONFIRM_LATE,
                vec![now.0.into(), mark.into(), id.0.into(), host.into()],
            )
            .then(COUNT_LATE_USE, vec![id.0.into(), host.into(), mark.into()])
            .then(FREE_NAME, vec![host.into(), id.0.into()])
            .then(
                REVOKE_OF_PREDECESSOR,
                vec![now.0.into(), host.into(), id.0.into()],
            )
            .then(NOTE_LAST_USE, vec![now.0.into(), id.0.into(), host.into()]);
        let answers = self.commit(change).await?;
        Ok(!answers[0].is_empty() || !answers[1].is_empty())
    }

    /// Gives the use back; saying so twice changes nothing. `false` if there was nothing to
    /// release.
    pub async fn release(
        &self,
        host: &Domain,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mark = secret::random_bytes::<16>();
        let host = host.as_str();
        let change = Change::new()
            .then(
                RELEASE,
                vec![now.0.into(), mark.into(), id.0.into(), host.into()],
            )
            .then(GIVE_USE_BACK, vec![id.0.into(), host.into(), mark.into()]);
        let answers = self.commit(change).await?;
        Ok(!answers[0].is_empty())
    }

    /// The unfinished attempt to give `name` by this invite; there is one at the most.
    pub async fn find_open(
        &self,
        host: &Domain,
        invite: InviteId,
        name: &Localpart,
    ) -> Result<Option<RegistrationId>, Error> {
        let params = vec![host.as_str().into(), name.as_str().into(), invite.0.into()];
        let rows = self.read(FIND_OPEN, params).await?;
        rows.first()
            .map(|row| Ok(RegistrationId(row.array(0)?)))
            .transpose()
    }

    /// Reservations that are at least `min_age` seconds old and that
    /// nobody confirmed or released, oldest first, at most 500.
    pub async fn list_open(
        &self,
        host: &Domain,
        min_age: i64,
        now: Timestamp,
    ) -> Result<Vec<OpenReservation>, Error> {
        let params = vec![host.as_str().into(), now.plus(-min_age).0.into()];
        let rows = self.scan(LIST_OPEN, params).await?;
        rows.iter()
            .map(|row| {
                Ok(OpenReservation {
                    id: RegistrationId(row.array(0)?),
                    localpart: row.parsed(1)?,
                    kind: row.text(2)?.parse().map_err(|()| {
                        Error::Unavailable("a registration of unknown kind".into())
                    })?,
                    age: now.0 - row.int(3)?,
                    invite_id: InviteId(row.array(4)?),
                })
            })
            .collect()
    }

    /// What an invite gave, and what it is about to give.
    pub async fn list_registrations(
        &self,
        host: &Domain,
        invite: InviteId,
    ) -> Result<Vec<Registration>, Error> {
        let params = vec![invite.0.into(), host.as_str().into()];
        let rows = self.scan(LIST_BY_INVITE, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Registration {
                    invite_id: invite,
                    localpart: row.parsed(0)?,
                    confirmed_at: row.maybe_int(1)?.map(Timestamp),
                    id: RegistrationId(row.array(2)?),
                    reserved_at: Timestamp(row.int(3)?),
                })
            })
            .collect()
    }
}
