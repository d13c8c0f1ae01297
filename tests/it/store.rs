//! The store: what it refuses, and what it survives.

use std::collections::HashSet;

use invited::app::By;
use invited::error::Error;
use invited::invite::NewInvite;
use invited::store::Store;

use crate::support::{Desk, app_in};

#[test]
fn parameters_first_appear_in_ascending_order() {
    for sql in Store::all_sql() {
        let mut seen = HashSet::new();
        let mut highest = 0;
        for part in sql.split('$').skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            let number: usize = digits.parse().expect("a number follows $");
            if seen.insert(number) {
                assert_eq!(number, highest + 1, "in {sql}");
                highest = number;
            }
        }
    }
}

#[tokio::test]
async fn sqlite_prepares_every_statement() {
    let desk = Desk::open();
    let connection =
        rusqlite::Connection::open(desk.folder.path().join("invited.sqlite")).expect("it opens");
    for sql in Store::all_sql() {
        connection
            .prepare(sql)
            .unwrap_or_else(|e| panic!("{e} in {sql}"));
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_by_name() {
    let desk = Desk::open();
    let file = desk.folder.path().join("invited.sqlite");
    let connection = rusqlite::Connection::open(&file).expect("it opens");
    connection
        .execute(
            "insert into schema_migrations values (999, 'future', 'x', 999, 0)",
            [],
        )
        .expect("a row");
    let error = Store::open_sqlite(&file).expect_err("it is refused");
    let text = error.to_string();
    assert!(
        text.contains("invited.sqlite") && text.contains("newer invited"),
        "{text}"
    );
}

#[tokio::test]
async fn a_database_that_vanished_takes_no_more_writes() {
    let desk = Desk::open();
    desk.invite(|_| {}).await;
    std::fs::remove_file(desk.folder.path().join("invited.sqlite")).expect("it is removed");
    let refused = desk
        .app
        .create_invite(
            desk.host(),
            invited::invite::NewInvite::account(),
            invited::app::By::Operator,
        )
        .await;
    assert!(matches!(refused, Err(Error::StoreUnavailable(_))));
}

#[tokio::test]
async fn a_locked_database_is_an_error_that_stores_nothing() {
    let desk = Desk::open();
    let file = desk.folder.path().join("invited.sqlite");
    let locker = rusqlite::Connection::open(&file).expect("it opens");
    locker.execute_batch("begin immediate").expect("it locks");
    let new = invited::invite::NewInvite::account();
    let refused = desk
        .app
        .create_invite(desk.host(), new.clone(), invited::app::By::Operator)
        .await;
    assert!(
        matches!(&refused, Err(Error::StoreUnavailable(_))),
        "{refused:?}"
    );
    locker.execute_batch("rollback").expect("it unlocks");
    desk.invite(|_| {}).await;
    let count: i64 = locker
        .query_row("select count(*) from invites", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_second_process_sees_changes_at_once() {
    let desk = Desk::open();
    let other = app_in(desk.folder.path());
    let host = other.config.host("chat.example").expect("it is configured");
    let key = desk
        .app
        .create_key(desk.host(), invited::app::NewKey::default())
        .await
        .expect("a key");
    let text = key.full_text();
    other
        .accept_key(host, &text)
        .await
        .expect("it is good there, too");
    desk.app
        .delete_key(desk.host(), &key.id)
        .await
        .expect("it is deleted");
    let make = async || {
        let key = other.accept_key(host, &text).await?;
        other
            .create_invite(host, NewInvite::account(), By::Key(&key))
            .await
    };
    for _ in 0..2 {
        assert!(matches!(make().await, Err(Error::KeyRefused)));
    }
}

#[tokio::test]
async fn the_file_holds_no_secret() {
    let desk = Desk::open();
    let created = desk.invite(|_| {}).await;
    let key = desk
        .app
        .create_key(desk.host(), invited::app::NewKey::default())
        .await
        .expect("a key");
    for name in ["invited.sqlite", "invited.sqlite-wal"] {
        let bytes = std::fs::read(desk.folder.path().join(name)).expect("a file");
        for secret in [created.token.expose(), key.secret.expose()] {
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes()),
                "in {name}"
            );
        }
    }
}

/// `SCHED_BATCH`, as proc(5) has it in the 41st field of `stat`.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_of_the_store_do_not_interrupt_those_that_serve() {
    let _desk = Desk::open();
    let policies = || -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
        tasks
            .filter_map(|task| {
                let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
                let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
                let policy = rest.split_whitespace().nth(38)?;
                name.starts_with("store-").then(|| policy.to_owned())
            })
            .collect()
    };
    // A thread sets its own policy, a moment after it was started.
    for _ in 0..1_000 {
        let policies = policies();
        if policies.len() >= 2 && policies.iter().all(|policy| policy == "3") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{:?}", policies());
}
