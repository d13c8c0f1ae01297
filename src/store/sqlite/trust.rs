//! Whether what is written can be called durable. Once it cannot, it never can again in this process.

use std::sync::Arc;

use tokio::sync::watch;

use crate::store::Error;

/// Shared by all that reads and writes one database.
#[derive(Debug, Clone)]
pub(super) struct Trust(Arc<watch::Sender<Option<String>>>);

impl Trust {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// From now on nothing is stored, for this reason.
    pub(super) fn lose(&self, why: String) {
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                if has_log() {
                    tracing::error!("nothing is stored any more: {why}");
                } else {
                    eprintln!("invited: {why}");
                }
                *known = Some(why);
            }
            first
        });
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match &*self.0.borrow() {
            None => Ok(()),
            Some(why) => Err(Error::Unavailable(why.clone().into())),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns when it is lost.
    pub(super) async fn lost(&self) {
        let known = self.0.subscribe().wait_for(Option::is_some).await.is_ok();
        assert!(known, "the sender is in `self`");
    }
}

/// A command has none, but somebody who looks on.
pub(super) fn has_log() -> bool {
    tracing::dispatcher::has_been_set()
}
