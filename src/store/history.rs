//! Statements about what was: which invite gave which account, and what is swept when it has been
//! over for long enough.

use super::change::Row;
use super::{Change, Error, Store};
use crate::clock::Timestamp;
use crate::invite::InviteId;
use crate::jid::{Domain, Localpart};
use crate::registration::{PastRegistration, RegistrationId};

pub(super) const SQL: &[&str] = &[
    MADE_AS,
    MADE_BY,
    LIST,
    SWEEP_EXPIRED,
    SWEEP_ENDLESS,
    SWEEP_RELEASED,
    SWEEP_HISTORY,
    SWEEP_NAMES,
];

/// How an account came to be.
const MADE_AS: &str = "
    select id, invite_id, kind, localpart, confirmed_at, source, creator
      from registrations
     where host = $1
       and localpart = $2
       and confirmed_at is not null
       and kind <> 'contact'
     order by confirmed_at desc
     limit 500";

/// The accounts that came of a local user's invites.
const MADE_BY: &str = "
    select id, invite_id, kind, localpart, confirmed_at, source, creator
      from registrations
     where host = $1
       and creator = $2
       and confirmed_at is not null
       and kind = 'account'
     order by confirmed_at, localpart
     limit 10000";

const LIST: &str = "
    select id, invite_id, kind, localpart, confirmed_at, source, creator
      from registrations
     where host = $1
       and (confirmed_at > $2 or confirmed_at = $2 and id > $3)
     order by confirmed_at, id
     limit $4";

/// An attempt that is not finished keeps its invite.
const SWEEP_EXPIRED: &str = "
    delete from invites
     where id in (
           select id
             from invites
            where host = $1
              and expires_at < $2
              and not exists (
                  select 1
                    from registrations
                   where registrations.invite_id = invites.id
                     and registrations.confirmed_at is null
                     and registrations.released_at is null)
            limit 500)
    returning id";

const SWEEP_ENDLESS: &str = "
    delete from invites
     where id in (
           select id
             from invites
            where host = $1
              and expires_at is null
              and (used_up_at is not null or revoked_at is not null)
              and (used_up_at < $2 or revoked_at < $2)
              and not exists (
                  select 1
                    from registrations
                   where registrations.invite_id = invites.id
                     and registrations.confirmed_at is null
                     and registrations.released_at is null)
            limit 500)
    returning id";

/// Attempts that came to nothing.
const SWEEP_RELEASED: &str = "
    delete from registrations
     where id in (
           select id
             from registrations
            where host = $1
              and released_at < $2
            limit 500)
    returning id";

const SWEEP_HISTORY: &str = "
    delete from registrations
     where id in (
           select id
             from registrations
            where host = $1
              and confirmed_at < $2
            limit 500)
    returning id";

const SWEEP_NAMES: &str = "
    delete from held_names
     where host = $1
       and expires_at < $2";

/// What is swept: everything of a host that was over before the moment.
#[derive(Debug, Clone, Copy)]
pub enum Sweep {
    /// Names that nobody can claim any more.
    HeldNames,
    /// Registrations that happened.
    History,
    /// Invites, some time after their expiry, and those without expiry after their last use.
    Invites,
    /// Registrations that came to nothing.
    Released,
}

impl Store {
    /// How the account with this name came to be, latest first; more than once if it was deleted
    /// and made again.
    pub async fn registrations_as(
        &self,
        host: &Domain,
        name: &Localpart,
    ) -> Result<Vec<PastRegistration>, Error> {
        self.past(MADE_AS, host, name).await
    }

    /// The accounts that came of this local user's invites, oldest first.
    pub async fn registrations_by(
        &self,
        host: &Domain,
        creator: &Localpart,
    ) -> Result<Vec<PastRegistration>, Error> {
        self.past(MADE_BY, host, creator).await
    }

    async fn past(
        &self,
        sql: &'static str,
        host: &Domain,
        name: &Localpart,
    ) -> Result<Vec<PastRegistration>, Error> {
        let rows = self
            .scan(sql, vec![host.as_str().into(), name.as_str().into()])
            .await?;
        rows.iter().map(past).collect()
    }

    /// All registrations of a host, oldest first, those after `after`.
    pub async fn list_past_registrations(
        &self,
        host: &Domain,
        after: Option<(Timestamp, RegistrationId)>,
        limit: usize,
    ) -> Result<Vec<PastRegistration>, Error> {
        let (moment, id) = after.map_or((i64::MIN, [0; 16]), |(moment, id)| (moment.0, id.0));
        let params = vec![
            host.as_str().into(),
            moment.into(),
            id.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = self.scan(LIST, params).await?;
        rows.iter().map(past).collect()
    }

    /// Deletes some of what was over before `moment`; answers how many rows, so that the caller
    /// can come again until there is nothing left, and others get their turn in between.
    pub async fn sweep(
        &self,
        host: &Domain,
        what: Sweep,
        moment: Timestamp,
    ) -> Result<usize, Error> {
        let params = || vec![host.as_str().into(), moment.0.into()];
        let change = match what {
            Sweep::HeldNames => Change::new().then(SWEEP_NAMES, params()),
            Sweep::History => Change::new().then(SWEEP_HISTORY, params()),
            Sweep::Invites => Change::new()
                .then(SWEEP_EXPIRED, params())
                .then(SWEEP_ENDLESS, params()),
            Sweep::Released => Change::new().then(SWEEP_RELEASED, params()),
        };
        let answers = self.commit(change).await?;
        Ok(answers.iter().map(Vec::len).sum())
    }
}

fn past(row: &Row) -> Result<PastRegistration, Error> {
    Ok(PastRegistration {
        id: RegistrationId(row.array(0)?),
        invite_id: InviteId(row.array(1)?),
        kind: row
            .text(2)?
            .parse()
            .map_err(|()| Error::Unavailable("a registration of unknown kind".into()))?,
        localpart: row.parsed(3)?,
        confirmed_at: Timestamp(row.int(4)?),
        source: row.maybe_text(5)?.map(str::to_owned),
        creator: row.maybe_parsed(6)?,
    })
}
