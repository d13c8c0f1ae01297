//! Statements and rows of invites, and of the names that they hold.

use super::change::{Column, Many, Row, Value};
use super::requests::{self, Request};
use super::{Change, Error, Store};
use crate::clock::Timestamp;
use crate::invite::{Invite, InviteId, Kind, State};
use crate::jid::{Domain, Localpart};
use crate::token::TokenHash;

pub(super) const SQL: &[&str] = &[
    COUNT_KEY_USE,
    INSERT,
    INSERT_BY_KEY,
    DROP_STALE_HOLD,
    HOLD_NAME,
    FIND_BY_TOKEN,
    FIND_BY_ID,
    FIND_BY_REQUEST,
    LIST,
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
    /// Key, name or token stood against the invite at this place of the list; nothing was stored.
    Refused(usize),
    /// The same request was here before; nothing was stored.
    Repeated,
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
       and (expires_at is null or expires_at >= $6)
    returning id";

/// The columns that an invite begins with.
macro_rules! insert_invite {
    ($insert:literal, $($rest:literal),+) => {
        concat!(
            "
    ",
            $insert,
            " invites
           (id, host, token_hash, token_sealed, kind, localpart, registers, max_uses, uses,
            created_at, expires_at, landing_url, details, creator, request_id)",
            $($rest),+
        )
    };
}

/// For an invite of one use that holds no name and is made with a key.
macro_rules! insert_by_key {
    ($insert:literal, $end:literal) => {
        insert_invite!(
            $insert,
            "
    select $1, cast($2 as text), $3, $4, cast($5 as text),
           cast($6 as text), cast($7 as bigint), cast($8 as bigint), 0, cast($9 as bigint),
           cast($10 as bigint), cast($11 as text), cast($12 as text), cast($13 as text), $14
      from api_keys
     where host = $2
       and id = $15
       and secret_hash = $16
       and (expires_at is null or expires_at >= $9)
       and (max_per_day is null or last_invite = $1)",
            $end
        )
    };
}

const INSERT_BY_KEY: &str = insert_by_key!("insert into", " on conflict do nothing");

/// [`INSERT_BY_KEY`] for many. Invites of one use have random tokens, so that none is in another's
/// way; looking for those would cost a tenth of it all.
const INSERT_MANY: Many = Many {
    sqlite: insert_by_key!("insert or ignore into", ""),
    sql: insert_invite!(
        "insert into",
        "
    select new.id, kinds.host, token_hash, token_sealed,
           ($6::text[])[place] as kind,
           ($7::text[])[place] as localpart,
           ($8::bigint[])[place] as registers,
           ($9::bigint[])[place] as max_uses,
           0 as uses,
           ($10::bigint[])[place] as created_at,
           ($11::bigint[])[place] as expires_at,
           ($12::text[])[place] as landing_url,
           ($13::text[])[place] as details,
           ($14::text[])[place] as creator,
           ($15::bytea[])[place] as request_id
      from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
           as new (id, token_hash, token_sealed, place)
      join (unnest($5::text[], $10::bigint[], $16::text[], $17::bytea[]) with ordinality
            as kinds (host, created_at, key_id, secret_hash, number)
            join api_keys
              on api_keys.host = kinds.host
             and api_keys.id = kinds.key_id
             and api_keys.secret_hash = kinds.secret_hash
             and (api_keys.expires_at is null or api_keys.expires_at >= kinds.created_at))
        on kinds.number = new.place
       and (max_per_day is null or last_invite = new.id)
    returning id"
    ),
    columns: {
        use Column::{Bytes, Int, Text};
        &[
            Bytes, Text, Bytes, Bytes, Text, Text, Int, Int, Int, Int, Text, Text, Text, Bytes,
            Text, Bytes,
        ]
    },
    // Id and token.
    differs: &[0, 2, 3],
};

/// For any invite, with a key or without, if nobody else holds its name.
const INSERT: &str = insert_invite!(
    "insert into",
    "
    select $1, cast($2 as text), $3, $4, cast($5 as text),
           cast($6 as text), cast($7 as bigint), cast($8 as bigint), 0, cast($9 as bigint),
           cast($10 as bigint), cast($11 as text), cast($12 as text), cast($13 as text), $14
     where (cast($15 as text) is null
            or exists (
               select 1
                 from api_keys
                where host = $2
                  and id = $15
                  and secret_hash = $16
                  and (expires_at is null or expires_at >= $9)
                  and (max_per_day is null or last_invite = $1)))
       and not exists (
           select 1
             from held_names
            where host = $2
              and localpart = $17
              and (expires_at is null or expires_at >= $9))
       and not exists (
           select 1
             from registrations
            where host = $2
              and localpart = $17
              and confirmed_at is null
              and released_at is null
              and kind <> 'contact'
              and kind <> 'reset')
        on conflict do nothing"
);

pub(super) const DROP_STALE_HOLD: &str = "
    delete from held_names
     where host = $1
       and localpart = $2
       and expires_at < $3";

const HOLD_NAME: &str = "
    insert into held_names (host, localpart, invite_id, expires_at)
    select host, localpart, id, expires_at
      from invites
     where id = $1";

/// The columns that [`invite`] reads, and whatever narrows them.
macro_rules! select_invite {
    ($rest:literal) => {
        concat!(
            "
    select id, kind, localpart, registers, max_uses, uses, created_at, expires_at, revoked_at,
           landing_url, details, token_hash, token_sealed,
           case when uses > 0
                then (select count(*)
                        from registrations
                       where invite_id = invites.id
                         and confirmed_at is null
                         and released_at is null)
                else 0
           end,
           creator
      from invites",
            $rest
        )
    };
}

const FIND_BY_TOKEN: &str = select_invite!(
    "
     where token_hash = $1
       and host = $2"
);

const FIND_BY_ID: &str = select_invite!(
    "
     where id = $1
       and host = $2"
);

const FIND_BY_REQUEST: &str = select_invite!(
    "
     where request_id = $1
       and host = $2
     order by id"
);

const LIST: &str = select_invite!(
    "
     where host = $1
       and id > $2
       and (cast($3 as bigint) = 0 or registers = 1)
       and (cast($4 as text) is null or kind = $4)
       and (cast($5 as text) is null or creator = $5)
       and (cast($6 as text) is null or localpart = $6)
     order by id
     limit $7"
);

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
       and kind <> 'contact'
       and kind <> 'reset'";

/// Which invites a list has; what is absent does not narrow it.
#[derive(Debug, Clone, Default)]
pub struct ListInvites {
    /// Only those that can be used for an account.
    pub registering: bool,
    pub kind: Option<Kind>,
    /// Only those that this local user made.
    pub creator: Option<Localpart>,
    /// Only those with this fixed name, inviter or account to reset.
    pub localpart: Option<Localpart>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those after this one, by age.
    pub after: Option<InviteId>,
    /// How many at the most.
    pub limit: usize,
}

/// A part of a list.
#[derive(Debug)]
pub struct InvitePage {
    pub invites: Vec<Invite>,
    /// Where the next part begins ([`ListInvites::after`]), if there may be one.
    pub next: Option<InviteId>,
}

/// Rows that are read at once while a list is narrowed to a state.
const ROWS: usize = 1_000;
/// Rows that are looked at for one part of a list, so that a rare state cannot hold up readers.
const MOST_ROWS: usize = 20_000;

impl Store {
    /// Stores all of `invites`, which are of one host, and holds their fixed names, if `by` may
    /// still do that; else none. A `request` is stored along with them.
    ///
    /// [`Error::Conflict`] means that another node held a name, or took a token, meanwhile.
    pub async fn create_invites(
        &self,
        invites: &[Invite],
        by: CreatedBy<'_>,
        request: Option<&Request>,
    ) -> Result<Creation, Error> {
        let mut change = Change::new();
        if let (Some(request), Some(first)) = (request, invites.first()) {
            change = requests::remember(change, &first.host, request, first.created_at);
        }
        let before = change.0.len();
        // Where the statements of each invite end.
        let mut ends = Vec::with_capacity(invites.len());
        for invite in invites {
            change = insert(change, invite, by, request)?;
            ends.push(change.0.len());
        }
        let all = change.0.len();
        let answers = self.commit(change).await?.len();
        Ok(if answers == all {
            Creation::Created
        } else if answers < before {
            Creation::Repeated
        } else {
            Creation::Refused(ends.partition_point(|end| *end <= answers))
        })
    }

    /// The invite with this token at this host.
    pub async fn find_invite(
        &self,
        host: &Domain,
        token: &TokenHash,
    ) -> Result<Option<Invite>, Error> {
        let rows = self.read(FIND_BY_TOKEN, by_token(host, token)).await?;
        rows.first().map(|row| invite(row, host)).transpose()
    }

    /// [`Store::find_invite`] for showing it: what another process has just done to it may not show
    /// for 10 ms.
    pub async fn recall_invite(
        &self,
        host: &Domain,
        token: &TokenHash,
    ) -> Result<Option<Invite>, Error> {
        let rows = self.recall(FIND_BY_TOKEN, by_token(host, token)).await?;
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

    /// The invites that a request made, in its order.
    pub async fn find_invites_of_request(
        &self,
        host: &Domain,
        request_id: [u8; 16],
    ) -> Result<Vec<Invite>, Error> {
        let rows = self
            .scan(
                FIND_BY_REQUEST,
                vec![request_id.into(), host.as_str().into()],
            )
            .await?;
        rows.iter().map(|row| invite(row, host)).collect()
    }

    /// Invites of a host, oldest first.
    pub async fn list_invites(
        &self,
        host: &Domain,
        which: &ListInvites,
        now: Timestamp,
    ) -> Result<InvitePage, Error> {
        let mut invites = Vec::new();
        let mut after = which.after;
        let rows_at_once = if which.state.is_some() {
            ROWS
        } else {
            ROWS.min(which.limit)
        };
        for _ in 0..MOST_ROWS / ROWS {
            let rows = self
                .scan(
                    LIST,
                    vec![
                        host.as_str().into(),
                        after.map_or([0; 16], |id| id.0).into(),
                        which.registering.into(),
                        which.kind.map(Kind::as_str).into(),
                        which.creator.as_ref().map(Localpart::as_str).into(),
                        which.localpart.as_ref().map(Localpart::as_str).into(),
                        i64::try_from(rows_at_once).unwrap_or(i64::MAX).into(),
                    ],
                )
                .await?;
            for row in &rows {
                let invite = invite(row, host)?;
                after = Some(invite.id);
                if which.state.is_none_or(|state| state == invite.state(now)) {
                    invites.push(invite);
                    if invites.len() == which.limit {
                        return Ok(InvitePage {
                            invites,
                            next: after,
                        });
                    }
                }
            }
            if rows.len() < rows_at_once {
                return Ok(InvitePage {
                    invites,
                    next: None,
                });
            }
        }
        Ok(InvitePage {
            invites,
            next: after,
        })
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

/// The parameters of [`FIND_BY_TOKEN`].
fn by_token(host: &Domain, token: &TokenHash) -> Vec<Value> {
    vec![token.0.into(), host.as_str().into()]
}

/// Adds the statements that store one invite.
fn insert(
    mut change: Change,
    invite: &Invite,
    by: CreatedBy<'_>,
    request: Option<&Request>,
) -> Result<Change, Error> {
    let (key_id, secret_hash) = match by {
        CreatedBy::Key {
            id, secret_hash, ..
        } => (Some(id), Some(secret_hash)),
        CreatedBy::Trusted => (None, None),
    };
    let now = invite.created_at;
    let held = invite.held_name();
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
        change = change.must(COUNT_KEY_USE, params);
    }
    let details =
        serde_json::to_string(&invite.details).map_err(|e| Error::Unavailable(e.into()))?;
    let mut params = vec![
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
        invite.creator.as_ref().map(Localpart::as_str).into(),
        request.map_or(Value::Null, |request| request.id.into()),
        key_id.into(),
        secret_hash.map_or(Value::Null, Value::from),
    ];
    match held {
        None if key_id.is_some() && invite.max_uses == Some(1) => {
            change = change.must_each(INSERT_BY_KEY, &INSERT_MANY, params);
        }
        _ => {
            params.push(held.map(Localpart::as_str).into());
            change = change.must(INSERT, params);
        }
    }
    if let Some(name) = held {
        let (host, name) = (invite.host.as_str(), name.as_str());
        change = change
            .then(
                DROP_STALE_HOLD,
                vec![host.into(), name.into(), now.0.into()],
            )
            .then(HOLD_NAME, vec![invite.id.0.into()]);
    }
    Ok(change)
}

fn invite(row: &Row, host: &Domain) -> Result<Invite, Error> {
    let details = serde_json::from_str(row.text(10)?).map_err(|e| Error::Unavailable(e.into()))?;
    let kind = row
        .text(1)?
        .parse()
        .map_err(|()| Error::Unavailable("an invite of unknown kind".into()))?;
    Ok(Invite {
        id: InviteId(row.array(0)?),
        host: host.clone(),
        kind,
        localpart: row.maybe_parsed(2)?,
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
        creator: row.maybe_parsed(14)?,
    })
}
