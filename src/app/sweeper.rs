//! Work that nobody asks for: what was begun and never finished is tidied up.

use std::time::Duration;

use super::App;
use crate::error::Error;

/// How often the sweeper looks.
const EVERY: Duration = Duration::from_secs(20);
/// Seconds after which a contact claim that nobody confirmed has failed: the server uses it in
/// the same breath.
const CLAIM_LAPSES: i64 = 60;

impl App {
    /// Sweeps until the task is dropped.
    pub async fn keep_swept(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep().await {
                tracing::warn!("sweeping failed: {}", error.chain());
            }
        }
    }

    /// One round. Reservations of accounts are not touched: only the XMPP server knows whether
    /// the account exists, and its module asks for them.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for host in &self.config.hosts {
            for id in self
                .store
                .list_lapsed_claims(&host.domain, CLAIM_LAPSES, now)
                .await?
            {
                self.store.release(&host.domain, id, now).await?;
                tracing::info!(host = %host.domain, "gave back a contact invite that nobody confirmed");
            }
        }
        Ok(())
    }
}
