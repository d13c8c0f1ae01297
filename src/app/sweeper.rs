//! Work that nobody asks for: what was begun and never finished is tidied up, and what has been over
//! for long enough is forgotten.

use std::time::Duration;

use super::App;
use crate::config::Host;
use crate::error::Error;
use crate::secret;
use crate::store::Sweep;

/// How often claims are looked at that nobody confirmed.
const EVERY: Duration = Duration::from_secs(20);
/// Rounds of that after which old rows are looked for: every five minutes, and at the start.
const ROUNDS: u64 = 15;
/// Seconds after which another node may sweep if this one is gone.
const LEASE: i64 = 60;
/// Seconds after which a contact claim that nobody confirmed has failed: the server uses it in
/// the same breath.
const CLAIM_LAPSES: i64 = 60;
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
        for round in 0u64.. {
            ticks.tick().await;
            if let Err(error) = self.take_turn(node, round % ROUNDS == 0).await {
                tracing::warn!("sweeping failed: {}", error.chain());
            }
        }
    }

    async fn take_turn(&self, node: [u8; 16], whole: bool) -> Result<(), Error> {
        let now = self.clock.now();
        let until = now.plus(LEASE);
        if !self.store.take_lease("sweeper", node, until, now).await? {
            return Ok(());
        }
        self.release_lapsed_claims().await?;
        if whole {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Gives contact invites back whose claim nobody confirmed. Reservations of accounts are not
    /// touched: only the XMPP server knows whether the account exists, and its module asks for
    /// them.
    pub async fn release_lapsed_claims(&self) -> Result<(), Error> {
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
