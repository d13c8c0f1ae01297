//! A desk without listeners: a real SQLite file, a clock that stands still until it is moved.

pub(crate) mod postgres;

use std::path::Path;
use std::sync::Arc;

use invited::app::{App, By, Created};
use invited::clock::Clock;
use invited::config::{Config, Host};
use invited::invite::NewInvite;
use invited::store::{PostgresAddress, Store};
use invited::token::Sealer;
use tempfile::TempDir;

/// Where every manual clock begins: 2027-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_798_761_600;

/// The parts below the doors. Nobody listens; no XMPP server is there.
pub(crate) struct Desk {
    pub(crate) app: App,
    pub(crate) folder: TempDir,
}

/// Makes two tests of one: the same case on each engine.
#[macro_export]
macro_rules! on_both_engines {
    ($(async fn $name:ident($desk:ident: Desk $(, $options:literal)?) $case:block)*) => {$(
        mod $name {
            use super::*;

            async fn case($desk: Desk) $case

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                case(Desk::with(concat!($($options)?))).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                case(Desk::on_postgres(concat!($($options)?)).await).await;
            }
        }
    )*};
}

impl Desk {
    /// Two hosts, `chat.example` and `other.example`, on SQLite.
    pub(crate) fn open() -> Self {
        Self::with("")
    }

    /// The same with more options.
    pub(crate) fn with(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open_sqlite(&folder.path().join("invited.sqlite"));
        Self {
            app: app(folder.path(), options, store.expect("the store opens")),
            folder,
        }
    }

    /// The same on PostgreSQL, with a database of its own.
    pub(crate) async fn on_postgres(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = postgres::Server::get().new_database().await;
        Self {
            app: app(folder.path(), options, open_postgres(&url).await),
            folder,
        }
    }

    pub(crate) fn host(&self) -> &Host {
        self.app
            .config
            .host("chat.example")
            .expect("it is configured")
    }

    #[track_caller]
    pub(crate) fn invite(
        &self,
        change: impl FnOnce(&mut NewInvite),
    ) -> impl Future<Output = Created> {
        let mut new = NewInvite::account();
        change(&mut new);
        async move {
            self.app
                .create_invite(self.host(), new, By::Operator)
                .await
                .expect("the invite is made")
        }
    }
}

/// Another process on the same folder, as the command line is.
pub(crate) fn app_in(folder: &Path) -> App {
    let store = Store::open_sqlite(&folder.join("invited.sqlite")).expect("the store opens");
    app(folder, "", store)
}

/// Another node on the same database.
pub(crate) async fn open_postgres(url: &str) -> Store {
    let address = PostgresAddress::new(url, None, None).expect("a good address");
    Store::open_postgres(address)
        .await
        .expect("the store opens")
}

/// The parts above a store.
pub(crate) fn app(folder: &Path, options: &str, store: Store) -> App {
    let text = format!("{options}\n[hosts.\"chat.example\"]\n[hosts.\"other.example\"]\n");
    let config = Config::parse(&folder.join("invited.toml"), &text).expect("it is good");
    App::new(
        store,
        Clock::manual(START),
        Arc::new(config),
        Sealer::new(&[7; 32]),
    )
}
