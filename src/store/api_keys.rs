//! Statements and rows of API keys.

use super::change::{Row, Value};
use super::{Change, Error, Store};
use crate::api_key::{ApiKey, Scope};
use crate::clock::Timestamp;
use crate::jid::Domain;

pub(super) const SQL: &[&str] = &[INSERT, DELETE, LIST, FIND];

/// What a key is stored from.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub host: &'a Domain,
    pub id: &'a str,
    pub secret_hash: [u8; 32],
    pub name: Option<&'a str>,
    pub scopes: &'a [Scope],
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub max_per_day: Option<i64>,
}

const INSERT: &str = "
    insert into api_keys
           (host, id, secret_hash, name, scopes, created_at, expires_at, max_per_day, day, day_count)
    values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)";

const DELETE: &str = "
    delete from api_keys
     where host = $1
       and id = $2
    returning id";

const LIST: &str = "
    select id, name, scopes, created_at, expires_at, max_per_day
      from api_keys
     where host = $1
     order by created_at, id";

const FIND: &str = "
    select id, name, scopes, created_at, expires_at, max_per_day, secret_hash
      from api_keys
     where host = $1
       and id = $2";

impl Store {
    /// Stores a key. An id that is taken is a [`Error::Conflict`].
    pub async fn create_key(&self, key: NewKey<'_>) -> Result<(), Error> {
        let change = Change::new().then(INSERT, params(&key));
        self.commit(change).await.map(drop)
    }

    /// Forgets a key; `false` if there was none. Its very next use is refused.
    pub async fn delete_key(&self, host: &Domain, id: &str) -> Result<bool, Error> {
        let change = Change::new().then(DELETE, vec![host.as_str().into(), id.into()]);
        let answers = self.commit(change).await?;
        Ok(!answers[0].is_empty())
    }

    /// All keys of a host, oldest first.
    pub async fn list_keys(&self, host: &Domain) -> Result<Vec<ApiKey>, Error> {
        let rows = self.scan(LIST, vec![host.as_str().into()]).await?;
        rows.iter().map(|row| key(row, host)).collect()
    }

    /// A key and the hash of its secret.
    pub async fn find_key(
        &self,
        host: &Domain,
        id: &str,
    ) -> Result<Option<(ApiKey, [u8; 32])>, Error> {
        let rows = self
            .read(FIND, vec![host.as_str().into(), id.into()])
            .await?;
        rows.first()
            .map(|row| Ok((key(row, host)?, row.array(6)?)))
            .transpose()
    }
}

/// What a statement that inserts a key takes.
pub(super) fn params(key: &NewKey<'_>) -> Vec<Value> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    vec![
        key.host.as_str().into(),
        key.id.into(),
        key.secret_hash.into(),
        key.name.into(),
        scopes.join(" ").into(),
        key.created_at.0.into(),
        key.expires_at.map(|t| t.0).into(),
        key.max_per_day.into(),
    ]
}

fn key(row: &Row, host: &Domain) -> Result<ApiKey, Error> {
    let scopes = row
        .text(2)?
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    Ok(ApiKey {
        host: host.clone(),
        id: row.text(0)?.to_owned(),
        name: row.maybe_text(1)?.map(str::to_owned),
        scopes: scopes.collect(),
        created_at: Timestamp(row.int(3)?),
        expires_at: row.maybe_int(4)?.map(Timestamp),
        max_per_day: row.maybe_int(5)?,
    })
}
