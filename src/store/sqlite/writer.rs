//! The thread that writes: takes changes, commits them in groups.

use rusqlite::{CachedStatement, Connection};
use tokio::sync::mpsc;

use super::file::OpenedFile;
use super::recent::Recent;
use super::sync::{Committed, Syncing};
use super::wire::{answers_of, classify, is_conflict};
use crate::store::change::{Change, Rows};
use crate::store::{Error, Job};

/// How many changes share one commit at the most.
const BATCH: usize = 256;

/// The writer: takes the first change and whatever comes while the group before is being made
/// durable, commits them together, passes them on. It waits for nothing else.
pub(super) fn write(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    file: &OpenedFile,
    recent: &Recent,
    committed: &std::sync::mpsc::Sender<Committed>,
    syncing: &Syncing,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = jobs.blocking_recv() {
        if first.change.0.is_empty() {
            continue;
        }
        let mut first = Some(first);
        let next = || match first.take().or_else(|| jobs.try_recv().ok()) {
            None if syncing.awaited() => jobs.blocking_recv(),
            next => next,
        };
        let result = match file.check() {
            Ok(()) => commit_together(&mut connection, recent, next, &mut batch),
            Err(error) => {
                batch.extend(first);
                let reason = error.to_string();
                answer_all(&mut batch, || Error::Unavailable(reason.clone().into()));
                continue;
            }
        };
        let done = settle_batch(&mut connection, recent, &mut batch, result);
        if !done.is_empty() {
            syncing.begin();
            committed
                .send(done)
                .expect("the other thread ends after this one");
        }
    }
}

/// What of a group is committed; the rest of it is answered.
fn settle_batch(
    connection: &mut Connection,
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
