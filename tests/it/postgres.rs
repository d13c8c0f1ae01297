//! What only `PostgreSQL` can get into: lost connections, several nodes, a server that is not good.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use invited::error::Error;
use invited::store::{PostgresAddress, Store};
use tokio_postgres::{Client, NoTls};

use crate::support::postgres::Server;
use crate::support::{Desk, app, open_postgres};

/// A connection of our own.
async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
}

/// A node on the database.
async fn desk(url: &str) -> Desk {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Desk {
        app: app(folder.path(), "", open_postgres(url).await),
        folder,
    }
}

async fn refusal(url: &str) -> String {
    let address = PostgresAddress::new(url, None, None).expect("a good address");
    match Store::open_postgres(address).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{url} was opened"),
    }
}

/// The columns of every table, as far as both engines have them.
fn columns_of_sqlite() -> BTreeSet<String> {
    let desk = Desk::open();
    let file = desk.folder.path().join("invited.sqlite");
    let connection = rusqlite::Connection::open(file).expect("it opens");
    let sql =
        "select m.name || '.' || c.name || (case c.\"notnull\" when 1 then ' not null' else '' end)
                 from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table'";
    let mut statement = connection.prepare(sql).expect("it is good");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let url = Server::get().new_database().await;
    open_postgres(&url).await;
    let sql = "select table_name || '.' || column_name || (case is_nullable when 'NO' then ' not null' else '' end)
                 from information_schema.columns where table_schema = 'public'";
    let rows = client(&url).await.query(sql, &[]).await.expect("rows");
    let columns: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(columns, columns_of_sqlite());
}

#[tokio::test]
async fn postgres_prepares_every_statement() {
    let url = Server::get().new_database().await;
    open_postgres(&url).await;
    let client = client(&url).await;
    for sql in Store::all_sql() {
        if let Err(error) = client.prepare(sql).await {
            panic!("{error:?} in {sql}");
        }
    }
}

#[tokio::test]
async fn a_table_that_changes_under_a_prepared_statement_is_read_all_the_same() {
    let url = Server::get().new_database().await;
    let desk = desk(&url).await;
    let token = desk.invite(|_| {}).await.token;
    let client = client(&url).await;
    for length in [4000, 5000] {
        for _ in 0..2 {
            let found = desk.app.look_up(desk.host(), token.expose()).await;
            found.expect("the invite is found");
        }
        let change = format!("alter table invites alter landing_url type varchar({length})");
        client.batch_execute(&change).await.expect("it is changed");
    }
}

#[tokio::test]
async fn two_nodes_that_start_together_make_the_tables_once() {
    let url = Server::get().new_database().await;
    join_all((0..8).map(|_| open_postgres(&url))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_this_version_work_and_start_beside_one_of_the_next() {
    let url = Server::get().new_database().await;
    let desk = desk(&url).await;
    let before = desk.invite(|_| {}).await.token;
    // What the next version does when its first node starts: it adds, and takes nothing away.
    let next = "alter table invites add column colour text;
                create table palettes (name text primary key);
                insert into schema_migrations values (999, 'colours', 'x', 3, 0)";
    client(&url)
        .await
        .batch_execute(next)
        .await
        .expect("expanded");
    let after = desk
        .invite(|new| new.localpart = Some("theo".parse().expect("a name")))
        .await;
    for (token, name) in [(&before, "ada"), (&after.token, "theo")] {
        let reserved = desk
            .app
            .reserve(desk.host(), token.expose(), name, name)
            .await;
        let reserved = reserved.expect("a use");
        desk.app
            .confirm(desk.host(), reserved)
            .await
            .expect("confirmed");
    }
    open_postgres(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_racing_on_two_nodes_get_no_more_than_the_invite_gives() {
    let url = Server::get().new_database().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (one, two) = tokio::join!(open_postgres(&url), open_postgres(&url));
    let nodes = [app(folder.path(), "", one), app(folder.path(), "", two)];
    let desk = Desk {
        app: nodes[0].clone(),
        folder,
    };
    let shared = desk.invite(|new| new.max_uses = Some(7)).await.token;
    let single = desk.invite(|_| {}).await.token;
    let unlimited = desk.invite(|new| new.max_uses = None).await.token;
    let race = async |token: &str, name: &dyn Fn(usize) -> String| {
        let attempts = (0..60).map(|n| {
            let node = &nodes[n % 2];
            let (host, name) = (
                node.config.host("chat.example").expect("it is there"),
                name(n),
            );
            let (token, holder) = (token.to_owned(), format!("holder{n}"));
            async move { node.reserve(host, &token, &name, &holder).await }
        });
        let answers = join_all(attempts).await;
        for answer in &answers {
            assert!(
                matches!(answer, Ok(_) | Err(Error::InviteBusy | Error::NameHeld)),
                "{answer:?}"
            );
        }
        answers.iter().filter(|answer| answer.is_ok()).count()
    };
    let own = |prefix: &'static str| move |n| format!("{prefix}{n}");
    assert_eq!(race(shared.expose(), &own("a")).await, 7);
    assert_eq!(race(single.expose(), &own("b")).await, 1);
    assert_eq!(race(unlimited.expose(), &|_| "theo".to_owned()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_is_replaced_and_nothing_is_done_twice() {
    let url = Server::get().new_database().await;
    let desk = desk(&url).await;
    let token = desk.invite(|new| new.max_uses = None).await.token;
    let admin = client(&url).await;
    let (mut made, mut unknown) = (0, 0);
    for round in 0..20 {
        let attempts = (0..20).map(|n| {
            let (desk, token) = (&desk, &token);
            let name = format!("user{round}-{n}");
            async move {
                desk.app
                    .reserve(desk.host(), token.expose(), &name, &name)
                    .await
            }
        });
        let end_sessions = admin.batch_execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and application_name = 'invited'",
        );
        let (answers, ended) = tokio::join!(join_all(attempts), end_sessions);
        ended.expect("they end");
        for answer in answers {
            match answer {
                Ok(_) => made += 1,
                Err(Error::OutcomeUnknown) => unknown += 1,
                Err(Error::StoreUnavailable(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    let uses = desk
        .app
        .find_invite(desk.host(), &token)
        .await
        .expect("it is there")
        .uses;
    assert!(uses >= made, "{uses} uses, {made} answered");
    assert!(
        uses <= made + unknown,
        "{uses} uses, {made} answered, {unknown} unknown"
    );
    assert!(made > 0);
    let open = desk
        .app
        .store
        .list_open(&desk.host().domain, 0, desk.app.clock.now())
        .await
        .expect("it reads");
    assert_eq!(i64::try_from(open.len()).expect("few"), uses);
}

#[tokio::test]
async fn what_is_wrong_with_a_database_is_named() {
    let server = Server::get();
    let url = server.new_database().await;
    assert!(
        refusal(&server.url("nowhere"))
            .await
            .contains("database \"nowhere\" does not exist")
    );
    let as_stranger = url.replace("test@", "stranger@");
    assert!(
        refusal(&as_stranger)
            .await
            .contains("role \"stranger\" does not exist")
    );
    let nobody = "postgres://test@127.0.0.1:1/desk?connect_timeout=2";
    assert!(refusal(nobody).await.contains("on 127.0.0.1:1: "));

    let admin = client(&url).await;
    let name = url.split(['/', '?']).nth(3).expect("a name");
    let read_only = format!("alter database {name} set default_transaction_read_only = on");
    admin.batch_execute(&read_only).await.expect("it is set");
    assert!(refusal(&url).await.contains("it is a read-only replica"));

    let writable = format!("alter database {name} set default_transaction_read_only = off");
    let newer = "create table schema_migrations (version bigint primary key, name text, checksum text, oldest bigint, applied_at bigint);
                 insert into schema_migrations values (999, 'future', 'x', 999, 0)";
    admin
        .batch_execute(&format!(
            "set transaction_read_only = off; {writable}; {newer}"
        ))
        .await
        .expect("it is a newer one");
    assert!(refusal(&url).await.contains("a newer invited made"));

    for (url, why) in [
        ("postgres://", "it names no host"),
        ("postgres://a@b/c?nonsense=1", "unknown option"),
        ("postgres://a@b:port/c", "invalid value for option `port`"),
    ] {
        let error = PostgresAddress::new(url, None, None).expect_err("it is wrong");
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_with_an_unknown_certificate_hears_no_password() {
    // Nothing listens with TLS on the socket, so a server that insists on it is refused.
    let url = Server::get()
        .new_database()
        .await
        .replace('?', "?sslmode=require&");
    let told = refusal(&url).await;
    assert!(told.to_lowercase().contains("tls"), "{told}");
}

#[tokio::test]
async fn too_many_connections_are_an_error_with_that_name_and_no_hang() {
    let url = Server::get().new_database().await;
    let admin = client(&url).await;
    let name = url.split(['/', '?']).nth(3).expect("a name").to_owned();
    let user = format!("of_{name}");
    let setup = format!(
        "create role {user} login; alter schema public owner to {user}; alter database {name} connection limit 2"
    );
    admin.batch_execute(&setup).await.expect("it is set up");
    let url = url.replace("test@", &format!("{user}@"));
    let desk = desk(&url).await;
    // The writer has the only connection, so whoever reads gets none.
    let refused = desk.app.look_up(desk.host(), "A-good-looking-token").await;
    let Err(Error::StoreUnavailable(_)) = &refused else {
        panic!("{refused:?}");
    };
    let told = refused.expect_err("it was refused").chain();
    assert!(told.contains("too many connections"), "{told}");
    desk.invite(|_| {}).await;
}

#[test]
fn the_address_shows_no_password() {
    let address = PostgresAddress::new("postgres://a:hunter2@b/c", Some("hunter3"), None)
        .expect("it is good");
    let shown = format!("{address} {address:?}");
    assert!(shown.contains("\"c\" on b"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
}
