//! Statements that elect one of several nodes for work that only one should do.

use super::{Change, Error, Store};
use crate::clock::Timestamp;

pub(super) const SQL: &[&str] = &[TAKE];

const TAKE: &str = "
    insert into leases (name, holder, expires_at)
    values ($1, $2, $3)
        on conflict (name) do update
       set holder = excluded.holder,
           expires_at = excluded.expires_at
     where leases.holder = excluded.holder
        or leases.expires_at < $4
    returning name";

impl Store {
    /// Takes or prolongs a lease until `expires_at`; `false` if another node has it.
    pub async fn take_lease(
        &self,
        name: &'static str,
        holder: [u8; 16],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let params = vec![
            name.into(),
            holder.into(),
            expires_at.0.into(),
            now.0.into(),
        ];
        let answers = self.commit(Change::new().then(TAKE, params)).await?;
        Ok(!answers[0].is_empty())
    }
}
