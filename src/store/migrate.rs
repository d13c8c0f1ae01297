//! Brings the tables up to date: numbered files, run in order, each with its record in one
//! transaction, never edited after release, forward only.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::Error;
use crate::secret;

/// Number, name and text of each step.
pub(super) const SQLITE: &[(i64, &str, &str)] = &[
    (
        1,
        "start",
        include_str!("../../migrations/sqlite/0001_start.sql"),
    ),
    (
        2,
        "history",
        include_str!("../../migrations/sqlite/0002_history.sql"),
    ),
];

const TABLE: &str = "
    create table if not exists schema_migrations (
        version    integer not null primary key,
        name       text    not null,
        checksum   text    not null,
        applied_at integer not null
    )";

/// Applies the steps that are missing; refuses a database of a newer version, or one whose steps
/// are not ours.
pub(super) fn sqlite(connection: &mut Connection, now: i64) -> Result<(), Error> {
    let unavailable = |e: rusqlite::Error| Error::Unavailable(Box::new(e));
    // Two processes may start on a new file at the same moment, so even the first look is taken
    // under the write lock.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    transaction.execute_batch(TABLE).map_err(unavailable)?;
    let newest: Option<i64> = transaction
        .query_row("select max(version) from schema_migrations", [], |row| {
            row.get(0)
        })
        .map_err(unavailable)?;
    let known = SQLITE.len().try_into().unwrap_or(i64::MAX);
    if newest.is_some_and(|newest| newest > known) {
        return Err(Error::Unavailable(
            format!(
                "the database has schema {}, which a newer invited made; this one knows up to {known}. \
                 Install that version again, or restore a backup",
                newest.unwrap_or_default()
            )
            .into(),
        ));
    }
    for &(version, name, sql) in SQLITE {
        let checksum = checksum(sql);
        let applied: Option<String> = transaction
            .query_row(
                "select checksum from schema_migrations where version = $1",
                [version],
                |row| row.get(0),
            )
            .optional()
            .map_err(unavailable)?;
        match applied {
            Some(applied) if applied == checksum => {}
            Some(_) => {
                return Err(Error::Unavailable(
                    format!(
                        "step {version} ({name}) of the database is not the one of this version"
                    )
                    .into(),
                ));
            }
            None => {
                transaction.execute_batch(sql).map_err(unavailable)?;
                transaction
                    .execute(
                        "insert into schema_migrations (version, name, checksum, applied_at) values ($1, $2, $3, $4)",
                        rusqlite::params![version, name, checksum, now],
                    )
                    .map_err(unavailable)?;
            }
        }
    }
    transaction.commit().map_err(unavailable)
}

fn checksum(sql: &str) -> String {
    use std::fmt::Write as _;
    secret::hash(&[sql])
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
