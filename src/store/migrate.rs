//! Brings the tables up to date: numbered files, run in order, each with its record in one
//! transaction, never edited after release, forward only.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Error;
use crate::secret;

/// Number, name and text of each step.
type Steps = &'static [(i64, &'static str, &'static str)];

const POSTGRES: Steps = &[
    (
        1,
        "start",
        include_str!("../../migrations/postgres/0001_start.sql"),
    ),
    (
        2,
        "history",
        include_str!("../../migrations/postgres/0002_history.sql"),
    ),
    (
        3,
        "leases",
        include_str!("../../migrations/postgres/0003_leases.sql"),
    ),
];

const SQLITE: Steps = &[
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
    (
        3,
        "leases",
        include_str!("../../migrations/sqlite/0003_leases.sql"),
    ),
];

const TABLE: &str = "
    create table if not exists schema_migrations (
        version    bigint not null primary key,
        name       text   not null,
        checksum   text   not null,
        applied_at bigint not null
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
    refuse_newer(newest)?;
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
        if let Some(applied) = applied {
            same_step(version, name, &applied, &checksum)?;
            continue;
        }
        transaction.execute_batch(sql).map_err(unavailable)?;
        transaction
            .execute(
                "insert into schema_migrations (version, name, checksum, applied_at) values ($1, $2, $3, $4)",
                rusqlite::params![version, name, checksum, now],
            )
            .map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)
}

/// The same for `PostgreSQL`. Each step is a transaction that begins with its record, so that of
/// several nodes one takes the step and the others wait for it.
pub(super) async fn postgres(client: &mut Client, now: i64) -> Result<(), Error> {
    let unavailable = |e: tokio_postgres::Error| Error::Unavailable(Box::new(e));
    if let Err(error) = client.batch_execute(TABLE).await
        // Two nodes that make the table at the same moment: it is there now.
        && error.code() != Some(&SqlState::UNIQUE_VIOLATION)
    {
        return Err(unavailable(error));
    }
    loop {
        let rows = client
            .query_typed(
                "select version, checksum from schema_migrations order by version",
                &[],
            )
            .await
            .map_err(unavailable)?;
        let applied: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        refuse_newer(applied.last().map(|(version, _)| *version))?;
        let mut missing = None;
        for &(version, name, sql) in POSTGRES {
            let checksum = checksum(sql);
            match applied.iter().find(|(applied, _)| *applied == version) {
                Some((_, applied)) => same_step(version, name, applied, &checksum)?,
                None => missing = missing.or(Some((version, name, sql, checksum))),
            }
        }
        let Some((version, name, sql, checksum)) = missing else {
            return Ok(());
        };
        let step = client.transaction().await.map_err(unavailable)?;
        let recorded = step
            .execute_typed(
                "insert into schema_migrations (version, name, checksum, applied_at) values ($1, $2, $3, $4)",
                &[
                    (&version, Type::INT8),
                    (&name, Type::TEXT),
                    (&checksum, Type::TEXT),
                    (&now, Type::INT8),
                ],
            )
            .await;
        match recorded {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => continue,
            other => other.map_err(unavailable)?,
        };
        step.batch_execute(sql).await.map_err(unavailable)?;
        step.commit().await.map_err(unavailable)?;
    }
}

fn refuse_newer(newest: Option<i64>) -> Result<(), Error> {
    let known = SQLITE.len().try_into().unwrap_or(i64::MAX);
    match newest {
        Some(newest) if newest > known => Err(Error::Unavailable(
            format!(
                "the database has schema {newest}, which a newer invited made; this one knows up to {known}. \
                 Install that version again, or restore a backup"
            )
            .into(),
        )),
        _ => Ok(()),
    }
}

fn same_step(version: i64, name: &str, applied: &str, checksum: &str) -> Result<(), Error> {
    if applied == checksum {
        return Ok(());
    }
    Err(Error::Unavailable(
        format!("step {version} ({name}) of the database is not the one of this version").into(),
    ))
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
