//! Brings the tables up to date: numbered files, run in order, each with its record in one
//! transaction, never edited after release, forward only.
//!
//! A step that only adds (expand) leaves the nodes of the version before it working, and says so by
//! its `oldest`; one that takes something away (contract) comes a release later. So nodes are
//! upgraded one by one.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Error;
use crate::secret;

/// One file.
struct Step {
    version: i64,
    name: &'static str,
    /// The oldest schema that a node must know to work with the database after this step.
    oldest: i64,
    sql: &'static str,
}

const POSTGRES: &[Step] = &[
    Step {
        version: 1,
        name: "start",
        oldest: 1,
        sql: include_str!("../../migrations/postgres/0001_start.sql"),
    },
    Step {
        version: 2,
        name: "history",
        oldest: 2,
        sql: include_str!("../../migrations/postgres/0002_history.sql"),
    },
    Step {
        version: 3,
        name: "leases",
        oldest: 3,
        sql: include_str!("../../migrations/postgres/0003_leases.sql"),
    },
];

const SQLITE: &[Step] = &[
    Step {
        version: 1,
        name: "start",
        oldest: 1,
        sql: include_str!("../../migrations/sqlite/0001_start.sql"),
    },
    Step {
        version: 2,
        name: "history",
        oldest: 2,
        sql: include_str!("../../migrations/sqlite/0002_history.sql"),
    },
    Step {
        version: 3,
        name: "leases",
        oldest: 3,
        sql: include_str!("../../migrations/sqlite/0003_leases.sql"),
    },
];

const TABLE: &str = "
    create table if not exists schema_migrations (
        version    bigint not null primary key,
        name       text   not null,
        checksum   text   not null,
        oldest     bigint not null,
        applied_at bigint not null
    )";

const NEWEST: &str = "
    select version, oldest
      from schema_migrations
     order by version desc
     limit 1";

const RECORD: &str = "
    insert into schema_migrations (version, name, checksum, oldest, applied_at)
    values ($1, $2, $3, $4, $5)";

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
    let newest: Option<(i64, i64)> = transaction
        .query_row(NEWEST, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unavailable)?;
    refuse_newer(newest)?;
    for step in SQLITE {
        let checksum = checksum(step.sql);
        let applied: Option<String> = transaction
            .query_row(
                "select checksum from schema_migrations where version = $1",
                [step.version],
                |row| row.get(0),
            )
            .optional()
            .map_err(unavailable)?;
        if let Some(applied) = applied {
            same_step(step, &applied, &checksum)?;
            continue;
        }
        transaction.execute_batch(step.sql).map_err(unavailable)?;
        transaction
            .execute(
                RECORD,
                rusqlite::params![step.version, step.name, checksum, step.oldest, now],
            )
            .map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)
}

/// The same for `PostgreSQL`. Each step is a transaction that begins with its record, so that of
/// several nodes one takes the step and the others wait for it.
pub(super) async fn postgres(client: &mut Client, now: i64) -> Result<(), Error> {
    let unavailable =
        |e: tokio_postgres::Error| Error::Unavailable(super::postgres::chain(&e).into());
    let there_now = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_OBJECT,
        SqlState::DUPLICATE_TABLE,
    ];
    if let Err(error) = client.batch_execute(TABLE).await
        // Two nodes that make the table at the same moment get past `if not exists` together.
        && !error.code().is_some_and(|code| there_now.contains(code))
    {
        return Err(unavailable(error));
    }
    loop {
        let rows = client
            .query_typed(
                "select version, checksum, oldest from schema_migrations order by version",
                &[],
            )
            .await
            .map_err(unavailable)?;
        refuse_newer(rows.last().map(|row| (row.get(0), row.get(2))))?;
        let mut missing = None;
        for step in POSTGRES {
            let checksum = checksum(step.sql);
            match rows.iter().find(|row| row.get::<_, i64>(0) == step.version) {
                Some(row) => same_step(step, row.get(1), &checksum)?,
                None => missing = missing.or(Some((step, checksum))),
            }
        }
        let Some((step, checksum)) = missing else {
            return Ok(());
        };
        let transaction = client.transaction().await.map_err(unavailable)?;
        let recorded = transaction
            .execute_typed(
                RECORD,
                &[
                    (&step.version, Type::INT8),
                    (&step.name, Type::TEXT),
                    (&checksum, Type::TEXT),
                    (&step.oldest, Type::INT8),
                    (&now, Type::INT8),
                ],
            )
            .await;
        match recorded {
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => continue,
            other => other.map_err(unavailable)?,
        };
        transaction
            .batch_execute(step.sql)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
    }
}

/// `newest` is the last step that the database has seen, and the `oldest` of that.
fn refuse_newer(newest: Option<(i64, i64)>) -> Result<(), Error> {
    let known = SQLITE.len().try_into().unwrap_or(i64::MAX);
    match newest {
        Some((newest, oldest)) if oldest > known => Err(Error::Unavailable(
            format!(
                "the database has schema {newest}, which a newer invited made; this one knows up to {known}. \
                 Install that version again, or restore a backup"
            )
            .into(),
        )),
        _ => Ok(()),
    }
}

fn same_step(step: &Step, applied: &str, checksum: &str) -> Result<(), Error> {
    if applied == checksum {
        return Ok(());
    }
    let Step { version, name, .. } = step;
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
