//! The writing connection: commits what is queued in groups.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use deadpool::managed::Pool;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::Address;
use super::errors::{classify, leaves_open};
use super::session::Session;
use super::wire::{execute, execute_many, types_of};
use crate::store::change::{Change, Many, Row, Rows, Statement, Value};
use crate::store::{Error, Job};

/// How many changes share one commit at the most.
const BATCH: usize = 256;
/// How long a group may take. Beyond that the connection is given up, and with it the knowledge
/// of what became of the group. With [`CONNECT`](super::address::CONNECT), a primary that vanished is left within 15 s.
const COMMIT: Duration = Duration::from_secs(8);
/// Pause after a connection that failed, and its growth up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Times that a change is tried which another node's change has crossed.
const TRIES: usize = 5;

/// The writer: takes the first change and everything already queued, and commits them together.
pub(super) async fn write(readers: Pool<Address>, session: Session, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = Some(session);
    let mut batch = Vec::with_capacity(BATCH);
    let mut pause = FIRST_PAUSE;
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let closed = |session: &Session| session.client.is_closed();
        if connection.as_ref().is_none_or(closed) {
            connection = match readers.manager().connect().await {
                Ok(session) => {
                    tracing::info!("connected to the database again");
                    pause = FIRST_PAUSE;
                    Some(session)
                }
                Err(error) => {
                    let reason = error.to_string();
                    for job in batch.drain(..) {
                        answer(job, Err(Error::Unavailable(reason.clone().into())));
                    }
                    // A server that is coming back must not be met by every node at once, again and
                    // again; whoever asks meanwhile waits for the pause and the next try, then is told.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    None
                }
            };
        }
        if let Some(session) = &connection
            && commit_batch(session, &mut batch).await.is_break()
        {
            connection = None;
            // Those who read may have nobody at the other end either, and would each wait to find out.
            readers.retain(|_, _| false);
        }
    }
}

/// Breaks if the connection is of no more use.
async fn commit_batch(session: &Session, batch: &mut Vec<Job>) -> std::ops::ControlFlow<()> {
    use std::ops::ControlFlow::{Break, Continue};
    // In one flight nothing can depend on an answer.
    let depends = |change: &Change| change.0.len() > 1 && change.0.iter().any(|s| s.must);
    let (mut alone, together): (Vec<_>, Vec<_>) =
        batch.drain(..).partition(|job| depends(&job.change));
    if !together.is_empty() {
        let changes: Vec<_> = together.iter().map(|job| &job.change).collect();
        match commit_together(session, &changes).await {
            Ok(results) => {
                for (job, rows) in together.into_iter().zip(results) {
                    answer(job, Ok(rows));
                }
            }
            // One guilty change must not take the others with it: each runs alone.
            Err(Failed::RolledBack(_)) => {
                session.forget();
                alone.extend(together);
            }
            Err(Failed::Unknown) => {
                for job in together.into_iter().chain(alone) {
                    answer(job, Err(Error::OutcomeUnknown));
                }
                return Break(());
            }
        }
    }
    let mut waiting = alone.into_iter();
    while let Some(job) = waiting.next() {
        match commit_alone(&session.client, &job.change).await {
            Ok(rows) => answer(job, Ok(rows)),
            Err(Failed::RolledBack(error)) => answer(job, Err(error)),
            Err(Failed::Unknown) => {
                answer(job, Err(Error::OutcomeUnknown));
                for job in waiting {
                    answer(job, Err(Error::Unavailable("the database was lost".into())));
                }
                return Break(());
            }
        }
    }
    Continue(())
}

fn answer(job: Job, result: Result<Vec<Rows>, Error>) {
    // A caller that went away does not need it.
    let _ = job.answer.send(result);
}

/// Why a transaction is not there.
enum Failed {
    /// The server said so.
    RolledBack(Error),
    /// It did not say anything, so the transaction may be there.
    Unknown,
}

/// All changes in one flight; those that are one statement of the same kind share a single one.
async fn commit_together(session: &Session, changes: &[&Change]) -> Result<Vec<Vec<Rows>>, Failed> {
    let client = &session.client;
    let many = changes.iter().find_map(|change| change.one_of_many());
    let many = many.map(|(_, many)| many);
    let shared: Vec<_> = changes
        .iter()
        .filter_map(|change| alike(change, many))
        .collect();

    let flight = async {
        let mut sent: Vec<Sent<'_>> = Vec::new();
        if let Some(many) = many {
            let prepared = session.prepare(many.sql, &types_of(many)).await?;
            sent.push(Box::pin(execute_many(client, many, prepared, &shared)));
        }
        let others = changes
            .iter()
            .filter(|change| alike(change, many).is_none())
            .flat_map(|change| &change.0);
        sent.extend(others.map(|statement| ask(client, statement)));
        // One statement is a transaction by itself.
        if sent.len() == 1 {
            return in_one_flight(sent).await;
        }
        sent.insert(0, order(client, "begin"));
        sent.push(order(client, "commit"));
        let mut answers = in_one_flight(sent).await?;
        answers.remove(0);
        Ok(answers)
    };
    // The commit of a transaction that failed is no error, so the statements decide.
    let answers = finish(tokio::time::timeout(COMMIT, flight).await)?;

    let mut answers = answers.into_iter();
    let done = many.and_then(|_| answers.next()).unwrap_or_default();
    let all = done.len() == shared.len();
    let done: HashSet<_> = if all {
        HashSet::new()
    } else {
        done.iter().filter_map(|row| row.0.first()).collect()
    };
    let answers_of = |change: &&Change| {
        if let Some(params) = alike(change, many) {
            let there = all || params.first().is_some_and(|first| done.contains(first));
            return vec![vec![Row(Vec::new())]; usize::from(there)];
        }
        let mut answers: Vec<_> = answers.by_ref().take(change.0.len()).collect();
        answers.truncate(refused_at(change, &answers).unwrap_or(answers.len()));
        answers
    };
    Ok(changes.iter().map(answers_of).collect())
}

/// The parameters of a change that is one of `many`.
fn alike<'a>(change: &'a Change, many: Option<&Many>) -> Option<&'a Vec<Value>> {
    let (statement, its) = change.one_of_many()?;
    many.is_some_and(|many| std::ptr::eq(its, many))
        .then_some(&statement.params)
}

/// One change in a transaction of its own, in two flights: a statement of it may undo the rest.
async fn commit_alone(client: &Client, change: &Change) -> Result<Vec<Rows>, Failed> {
    let mut tries = 0;
    loop {
        tries += 1;
        let attempt = async {
            let mut sent: Vec<Sent<'_>> = vec![order(client, "begin")];
            sent.extend(change.0.iter().map(|statement| ask(client, statement)));
            let mut answers = in_one_flight(sent).await?;
            answers.remove(0);
            match refused_at(change, &answers) {
                Some(at) => {
                    answers.truncate(at);
                    client.batch_execute("rollback").await?;
                }
                None => client.batch_execute("commit").await?,
            }
            Ok(answers)
        };
        match finish(tokio::time::timeout(COMMIT, attempt).await) {
            Err(Failed::RolledBack(error)) => {
                order(client, "rollback")
                    .await
                    .map_err(|_| Failed::Unknown)?;
                if !(matches!(error, Error::Crossed) && tries < TRIES) {
                    return Err(Failed::RolledBack(error));
                }
            }
            other => return other,
        }
    }
}

/// The place of the statement that had to answer something and did not.
fn refused_at(change: &Change, answers: &[Rows]) -> Option<usize> {
    let mut answered = change.0.iter().zip(answers);
    answered.position(|(statement, rows)| statement.must && rows.is_empty())
}

/// A question that is sent when it is first polled.
type Sent<'a> = Pin<Box<dyn Future<Output = Result<Rows, tokio_postgres::Error>> + Send + 'a>>;

fn ask<'a>(client: &'a Client, statement: &'a Statement) -> Sent<'a> {
    Box::pin(execute(client, statement))
}

fn order<'a>(client: &'a Client, word: &'static str) -> Sent<'a> {
    Box::pin(async move { client.batch_execute(word).await.map(|()| Rows::new()) })
}

/// Sends everything in order before it waits for the first answer; the first error ends it.
async fn in_one_flight(mut sent: Vec<Sent<'_>>) -> Result<Vec<Rows>, tokio_postgres::Error> {
    let mut answers: Vec<Option<_>> = Vec::with_capacity(sent.len());
    poll_fn(|context| {
        for question in &mut sent {
            answers.push(match question.as_mut().poll(context) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            });
        }
        Poll::Ready(())
    })
    .await;
    let mut rows = Vec::with_capacity(sent.len());
    for (question, answer) in sent.into_iter().zip(answers) {
        rows.push(match answer {
            Some(answer) => answer?,
            None => question.await?,
        });
    }
    Ok(rows)
}

/// What an answer, or its absence, says about the transaction.
fn finish<T>(
    answer: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
) -> Result<T, Failed> {
    match answer {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.as_db_error().is_some_and(|told| !leaves_open(told)) => {
            Err(Failed::RolledBack(classify(&error)))
        }
        Ok(Err(_)) | Err(_) => Err(Failed::Unknown),
    }
}
