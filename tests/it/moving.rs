//! Everything moves from one engine to the other and back, and is as good as before.

use std::collections::BTreeSet;

use invited::app::NewKey;
use invited::store::{Place, PostgresAddress, Progress, Store, all_columns};

use crate::support::postgres::Server;
use crate::support::{Desk, app, app_in, open_postgres};

fn place(url: &str) -> Place {
    Place::Postgres(PostgresAddress::new(url, None, None).expect("a good address"))
}

#[tokio::test]
async fn every_column_of_every_table_is_moved() {
    let desk = Desk::open();
    let file = desk.folder.path().join("invited.sqlite");
    let connection = rusqlite::Connection::open(file).expect("it opens");
    let mut statement = connection
        .prepare(
            "select m.name || '.' || c.name from sqlite_master m, pragma_table_info(m.name) c
              where m.type = 'table' and m.name not in ('leases', 'schema_migrations')",
        )
        .expect("it is good");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    let there: BTreeSet<String> = rows.map(|row| row.expect("a row")).collect();
    assert_eq!(all_columns().collect::<BTreeSet<_>>(), there);
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_and_keys_work_after_a_move_to_postgres_and_back() {
    let desk = Desk::with("usernames = \"any\"");
    let (app_before, host) = (&desk.app, desk.host());
    let key = app_before
        .create_key(host, NewKey::default())
        .await
        .expect("a key")
        .full_text();
    let open = desk.invite(|new| new.max_uses = Some(3)).await.token;
    let fixed = desk
        .invite(|new| new.localpart = Some("théo".parse().expect("a name")))
        .await;
    assert!(fixed.invite.localpart.is_some());
    let begun = app_before
        .reserve(host, open.expose(), "ada", "holder")
        .await
        .expect("a use");
    for _ in 0..60 {
        desk.invite(|_| {}).await;
    }

    let url = Server::get().new_database().await;
    let sqlite = Place::Sqlite(desk.folder.path().join("invited.sqlite"));
    let raw =
        rusqlite::Connection::open(desk.folder.path().join("invited.sqlite")).expect("it opens");
    raw.busy_timeout(std::time::Duration::ZERO)
        .expect("it is set");
    let mut told = Vec::new();
    let moved = Store::move_all(&sqlite, &place(&url), |progress: Progress| {
        assert!(
            raw.execute("delete from invites", []).is_err(),
            "the source takes no writes"
        );
        told.push((progress.table, progress.done, progress.total));
    })
    .await
    .expect("it is moved");
    assert!(told.contains(&("invites", 62, 62)), "{told:?}");
    assert!(moved > 62);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = app(folder.path(), "", open_postgres(&url).await);
    node.confirm(host, begun).await.expect("confirmed");
    node.accept_key(host, &key).await.expect("the key is good");
    assert!(node.check_name(host, "théo").await.is_err(), "it is held");

    let back = tempfile::tempdir().expect("a temporary folder");
    let file = Place::Sqlite(back.path().join("invited.sqlite"));
    Store::move_all(&place(&url), &file, |_| {})
        .await
        .expect("it is moved back");
    let again = app_in(back.path());
    let found = again.find_invite(host, &open).await.expect("it is there");
    assert_eq!((found.uses, found.unfinished), (1, 0));
    again
        .reserve(host, open.expose(), "bob", "holder")
        .await
        .expect("another use");
    assert_eq!(
        again.token_of(&found).expect("it opens").expose(),
        open.expose()
    );

    let refused = Store::move_all(&sqlite, &place(&url), |_| {}).await;
    let told = refused.expect_err("there is something").to_string();
    assert!(
        told.contains("is not empty: there are rows in api_keys"),
        "{told}"
    );
    let refused = Store::move_all(&file, &file, |_| {}).await;
    assert!(refused.is_err(), "onto itself");
}
