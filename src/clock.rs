//! Time as an input: the daemon reads the system's clock, tests set their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A moment, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `seconds` later; saturates instead of wrapping.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The UTC day number, for limits per day.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// `2026-11-30T18:00:00Z` (XEP-0082 `DateTime`).
    pub fn iso(self) -> String {
        self.timestamp().to_string()
    }

    /// `30 November 2026, 18:00 UTC`, for pages.
    pub fn long_text(self) -> String {
        self.timestamp()
            .strftime("%-d %B %Y, %H:%M UTC")
            .to_string()
    }

    /// `2026-11-30 18:00 UTC`, for lines.
    pub fn zoned_text(self) -> String {
        format!("{} UTC", self.short_text())
    }

    /// `2026-11-30 18:00`, for tables whose heads say that it is UTC.
    pub fn short_text(self) -> String {
        self.timestamp().strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// A span in words, rounded to its largest unit: `7 days`, `1 hour`, `less than a minute`.
pub fn span_text(seconds: i64) -> String {
    // An invite for a week that was made a moment ago has 7 days left, not 6.
    let rounded = |unit: i64| (seconds + unit / 2) / unit;
    let (count, unit) = match seconds {
        ..60 => return "less than a minute".to_owned(),
        60..3_570 => (rounded(60), "minute"),
        3_570..84_600 => (rounded(3_600), "hour"),
        _ => (rounded(86_400), "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// Stands still until the test moves it.
    Manual(Arc<AtomicI64>),
    System,
}

impl Clock {
    /// A clock that shows `start` until [`Clock::advance`].
    pub fn manual(start: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start)))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Manual(seconds) => Timestamp(seconds.load(Ordering::Relaxed)),
            Self::System => Timestamp(jiff::Timestamp::now().as_second()),
        }
    }

    /// Moves a manual clock on; the system's clock goes by itself.
    pub fn advance(&self, seconds: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(seconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_well() {
        let moment = Timestamp(1_796_061_600);
        assert_eq!(moment.iso(), "2026-11-30T18:00:00Z");
        assert_eq!(moment.long_text(), "30 November 2026, 18:00 UTC");
        assert_eq!(moment.short_text(), "2026-11-30 18:00");
        assert_eq!(moment.zoned_text(), "2026-11-30 18:00 UTC");
        assert_eq!(span_text(59), "less than a minute");
        assert_eq!(span_text(86_400 * 7 - 1), "7 days");
        assert_eq!(span_text(3_569), "59 minutes");
        assert_eq!(span_text(84_599), "23 hours");
        assert_eq!(span_text(86_399), "1 day");
        assert_eq!(span_text(3_600), "1 hour");
    }
}
