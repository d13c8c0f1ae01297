//! Work that nobody asks for: what has been over for long enough is forgotten. What was begun and
//! never finished is left alone: only the XMPP server knows what came of it, and its module asks.

use std::time::Duration;

use super::App;
use crate::config::Host;
use crate::error::Error;
use crate::secret;
use crate::store::Sweep;

/// How often old rows are looked for.
const EVERY: Duration = Duration::from_secs(300);
/// Seconds after which another node may sweep if this one is gone.
const LEASE: i64 = 900;
/// Seconds for which an attempt that came to nothing is remembered, since the server may find out
/// later that the account exists after all.
const RELEASED_STAYS: i64 = 7 * 86_400;
/// Seconds for which a request with an `Idempotency-Key` can be repeated.
const REQUEST_STAYS: i64 = 86_400;

impl App {
    /// Sweeps until the task is dropped; of several nodes on one database, one at a time.
    pub async fn keep_swept(&self) {
        let node = secret::random_bytes();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.take_turn(node).await {
                tracing::warn!("sweeping failed: {}", error.chain());
            }
        }
    }

    async fn take_turn(&self, node: [u8; 16]) -> Result<(), Error> {
        let now = self.clock.now();
        let until = now.plus(LEASE);
        if self.store.take_lease("sweeper", node, until, now).await? {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Forgets what has been over for as long as the configuration says. What became of an invite
    /// (`invited user show`) outlives it.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for host in &self.config.hosts {
            let invites = self
                .sweep_all(host, Sweep::Invites, host.invite_retention)
                .await?;
            let history = match host.history_retention {
                Some(seconds) => self.sweep_all(host, Sweep::History, seconds).await?,
                None => 0,
            };
            self.sweep_all(host, Sweep::HeldNames, 0).await?;
            self.sweep_all(host, Sweep::Released, RELEASED_STAYS)
                .await?;
            if invites + history > 0 {
                tracing::info!(host = %host.domain, invites, history, "forgot what was over");
            }
        }
        Ok(self.store.forget_requests(now.plus(-REQUEST_STAYS)).await?)
    }

    /// Deletes bit by bit, so that others get their turn in between; answers how many rows.
    async fn sweep_all(&self, host: &Host, what: Sweep, age: i64) -> Result<usize, Error> {
        let moment = self.clock.now().plus(-age);
        let mut swept = 0;
        loop {
            match self.store.sweep(&host.domain, what, moment).await? {
                0 => return Ok(swept),
                some => swept += some,
            }
        }
    }
}
