//! The thread that writes: takes changes, commits them in groups.

use rusqlite::{CachedStatement, Connection, ffi};
use tokio::sync::mpsc;

use super::anew::checkpoint;
use super::opened::OpenedFiles;
use super::recent::Recent;
use super::sync::{Committed, Syncing};
use super::trust::Trust;
use super::wire::{answers_of, classify, is_conflict};
use crate::store::change::{Change, Rows};
use crate::store::{Error, Job};

/// How many changes share one commit at the most.
const BATCH: usize = 256;

/// Pages of the log after which it is brought into the file: 16 MiB, seldom enough that a page which
/// is written again and again is written once, and soon done.
const LOG_PAGES: i64 = 4_000;

/// The writer: takes the first change and whatever comes while the group before is being made
/// durable, commits them together, passes them on. It waits for nothing else.
pub(super) fn write(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    files: &OpenedFiles,
    trust: &Trust,
    recent: &Recent,
    committed: &std::sync::mpsc::Sender<Committed>,
    syncing: &Syncing,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = jobs.blocking_recv() {
        if first.change.0.is_empty() {
            continue;
        }
        if let Err(why) = files.stand() {
            trust.lose(why);
        }
        if let Err(error) = trust.check() {
            let _ = first.answer.send(Err(error));
            continue;
        }
        let mut first = Some(first);
        let next = || match first.take().or_else(|| jobs.try_recv().ok()) {
            None if syncing.awaited() => jobs.blocking_recv(),
            next => next,
        };
        let result = commit_together(&mut connection, recent, next, &mut batch);
        let done = settle_batch(&mut connection, trust, recent, &mut batch, result);
        if !done.is_empty() {
            syncing.begin();
            // Nobody takes it when trust is lost, and nobody is answered.
            let _ = committed.send(done);
            if let Err(error) = bring_in(&connection, files, trust) {
                lose_if_unsynced(trust, &error);
                tracing::warn!("the log stays beside the database for now: {error}");
            }
        }
    }
    if trust.is_lost() {
        // Closing it would bring the log into whatever stands where the database was.
        std::mem::forget(connection);
    }
}

/// Brings the log into the file, when it is long enough. `SQLite` would do that by itself, but keep to itself
/// what went wrong.
fn bring_in(connection: &Connection, files: &OpenedFiles, trust: &Trust) -> rusqlite::Result<()> {
    if checkpoint(connection, "pragma wal_checkpoint(noop)")?.frames < LOG_PAGES {
        return Ok(());
    }
    match files.check() {
        Ok(()) => checkpoint(connection, "pragma wal_checkpoint(passive)").map(drop),
        Err(why) => {
            trust.lose(why);
            Ok(())
        }
    }
}

/// After a sync that failed, what was written may be in memory only, and the next one would not tell.
fn lose_if_unsynced(trust: &Trust, error: &rusqlite::Error) {
    let code = error.sqlite_error().map(|error| error.extended_code);
    if matches!(
        code,
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    ) {
        trust.lose(format!("it could not be made durable: {error}"));
    }
}

/// What of a group is committed; the rest of it is answered.
fn settle_batch(
    connection: &mut Connection,
    trust: &Trust,
    recent: &Recent,
    batch: &mut Vec<Job>,
    result: rusqlite::Result<Vec<Vec<Rows>>>,
) -> Committed {
    match result {
        Ok(results) => {
            let answers = batch.drain(..).map(|job| job.answer);
            answers.zip(results).collect()
        }
        // One guilty change must not take the others with it: each runs alone.
        Err(error) if is_conflict(&error) => {
            let mut done = Vec::new();
            for job in std::mem::take(batch) {
                let mut alone = Some(job);
                match commit_together(connection, recent, || alone.take(), batch) {
                    Ok(results) => {
                        let answers = batch.drain(..).map(|job| job.answer);
                        done.extend(answers.zip(results));
                    }
                    Err(error) => {
                        lose_if_unsynced(trust, &error);
                        let error = classify(error);
                        if let Some(job) = batch.pop() {
                            let _ = job.answer.send(Err(error));
                        }
                    }
                }
            }
            done
        }
        // A full disk or a foreign lock is nobody's guilt, and each try may wait for long.
        Err(error) => {
            lose_if_unsynced(trust, &error);
            let reason = error.to_string();
            answer_all(batch, || Error::Unavailable(reason.clone().into()));
            Committed::new()
        }
    }
}

/// Runs all changes that `next` gives, which end up in `batch`, in one transaction. An error means
/// that it was rolled back.
fn commit_together(
    connection: &mut Connection,
    recent: &Recent,
    mut next: impl FnMut() -> Option<Job>,
    batch: &mut Vec<Job>,
) -> rusqlite::Result<Vec<Vec<Rows>>> {
    let mut run = || {
        connection
            .prepare_cached("begin immediate")?
            .raw_execute()?;
        let mut results = Vec::with_capacity(BATCH);
        let mut last = None;
        while batch.len() < BATCH
            && let Some(job) = next()
        {
            let change = &job.change;
            let result = apply(connection, change, &mut last);
            batch.push(job);
            results.push(result?);
        }
        drop(last);
        let mut commit = connection.prepare_cached("commit")?;
        recent.while_changing(|| commit.raw_execute())?;
        Ok(results)
    };
    let result = run();
    if result.is_err() && !connection.is_autocommit() {
        // If this fails too, the next `begin` says so.
        let _ = connection.execute_batch("rollback");
    }
    // What `begin` kept from running shares its error.
    if result.is_err() && batch.is_empty() {
        batch.extend(next());
    }
    result
}

/// The statement that ran last: in a group of like changes it is looked up once.
type Last<'c> = Option<(&'static str, CachedStatement<'c>)>;

/// Runs the statements of one change, up to the one that undoes it, if there is one.
fn apply<'c>(
    connection: &'c Connection,
    change: &Change,
    last: &mut Last<'c>,
) -> rusqlite::Result<Vec<Rows>> {
    let may_be_undone = change.may_be_undone();
    if may_be_undone {
        connection
            .prepare_cached("savepoint change")?
            .raw_execute()?;
    }
    let mut answers = Vec::with_capacity(change.0.len());
    for statement in &change.0 {
        let sql = statement.many.map_or(statement.sql, |many| many.sqlite);
        let prepared = match last.take() {
            Some((before, prepared)) if std::ptr::eq(before, sql) => prepared,
            _ => connection.prepare_cached(sql)?,
        };
        let (_, prepared) = last.insert((sql, prepared));
        let rows = answers_of(prepared, &statement.params)?;
        if statement.must && rows.is_empty() {
            if may_be_undone {
                connection
                    .prepare_cached("rollback to change")?
                    .raw_execute()?;
            }
            break;
        }
        answers.push(rows);
    }
    if may_be_undone {
        connection.prepare_cached("release change")?.raw_execute()?;
    }
    Ok(answers)
}

fn answer_all(batch: &mut Vec<Job>, error: impl Fn() -> Error) {
    for job in batch.drain(..) {
        let _ = job.answer.send(Err(error()));
    }
}
