//! Statements of requests that a client may send again without making more of anything
//! (draft-ietf-httpapi-idempotency-key-header).

use super::change::Change;
use super::{Error, Store};
use crate::clock::Timestamp;
use crate::jid::Domain;

pub(super) const SQL: &[&str] = &[REMEMBER, FIND, FORGET];

/// A request that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: [u8; 16],
    /// Hash of who asks and of the key that the client gave the request.
    pub key: [u8; 32],
    /// Hash of what is asked.
    pub fingerprint: [u8; 32],
}

const REMEMBER: &str = "
    insert into requests (host, request_key, id, fingerprint, created_at)
    select cast($1 as text), $2, $3, $4, cast($5 as bigint)
     where not exists (
           select 1
             from requests
            where host = $1
              and request_key = $2)
    returning id";

const FIND: &str = "
    select id, fingerprint
      from requests
     where host = $1
       and request_key = $2";

const FORGET: &str = "
    delete from requests
     where created_at < $1";

/// Adds the statement that undoes the change if the request was here before.
pub(super) fn remember(change: Change, host: &Domain, request: &Request, now: Timestamp) -> Change {
    change.must(
        REMEMBER,
        vec![
            host.as_str().into(),
            request.key.into(),
            request.id.into(),
            request.fingerprint.into(),
            now.0.into(),
        ],
    )
}

impl Store {
    /// The request with this key, if it was here before.
    pub async fn find_request(
        &self,
        host: &Domain,
        key: [u8; 32],
    ) -> Result<Option<Request>, Error> {
        let rows = self
            .read(FIND, vec![host.as_str().into(), key.into()])
            .await?;
        rows.first()
            .map(|row| {
                Ok(Request {
                    id: row.array(0)?,
                    key,
                    fingerprint: row.array(1)?,
                })
            })
            .transpose()
    }

    /// Forgets requests of before `moment`, at all hosts.
    pub async fn forget_requests(&self, moment: Timestamp) -> Result<(), Error> {
        let change = Change::new().then(FORGET, vec![moment.0.into()]);
        self.commit(change).await.map(drop)
    }
}
