//! A desk without listeners: a real SQLite file, a clock that stands still until it is moved.

use std::path::Path;
use std::sync::Arc;

use invited::app::{App, By, Created};
use invited::clock::Clock;
use invited::config::{Config, Host};
use invited::invite::NewInvite;
use invited::store::Store;
use invited::token::Sealer;
use tempfile::TempDir;

/// Where every manual clock begins: 2027-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_798_761_600;

/// The parts below the doors. Nobody listens; no XMPP server is there.
pub(crate) struct Desk {
    pub(crate) app: App,
    pub(crate) folder: TempDir,
}

impl Desk {
    /// Two hosts, `chat.example` and `other.example`.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            app: app_in(folder.path()),
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
    let text = "[hosts.\"chat.example\"]\n[hosts.\"other.example\"]\n";
    let config = Config::parse(&folder.join("invited.toml"), text).expect("a good configuration");
    let store = Store::open_sqlite(&folder.join("invited.sqlite")).expect("the store opens");
    App::new(
        store,
        Clock::manual(START),
        Arc::new(config),
        Sealer::new(&[7; 32]),
    )
}
