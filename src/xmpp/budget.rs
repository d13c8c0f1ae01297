//! Time limits: one end for all of the preparation, and an end for each step inside it.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::Cause;

/// The time that is left for everything before the registration request.
#[derive(Debug)]
pub(super) struct Budget {
    end: Instant,
}

impl Budget {
    pub(super) fn new(whole: Duration) -> Self {
        Self {
            end: Instant::now() + whole,
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Runs one step for no longer than `limit`, nor beyond the end of the whole.
    pub(super) async fn step<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        within(self.end.min(Instant::now() + limit), step).await
    }
}

/// Runs one step for no longer than `limit`, however much of a budget is left.
pub(super) async fn alone<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    within(Instant::now() + limit, step).await
}

async fn within<T>(end: Instant, step: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    timeout_at(end, step).await.unwrap_or(Err(Cause::TimedOut))
}
