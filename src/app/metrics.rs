//! Counters for whoever watches over the daemon.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::Timestamp;

/// What has happened since the start of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub invites_created: Counter,
    pub reservations: Counter,
    pub reservations_refused: Counter,
    pub confirmed: Counter,
    pub released: Counter,
    pub keys_refused: Counter,
    /// Addresses that speak for others without being trusted proxies.
    pub strangers: Counter,
    /// By host.
    last_question: Family<[(&'static str, String); 1], Gauge>,
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("invited");
        let last_question = Family::default();
        registry.register_with_unit(
            "bridge_last_question_timestamp",
            "When the module of an XMPP server asked last",
            Unit::Seconds,
            Family::clone(&last_question),
        );
        let mut counter = |name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        Self {
            last_question,
            invites_created: counter("invites_created", "Invites made"),
            reservations: counter("reservations", "Uses of invites bound to an attempt"),
            reservations_refused: counter("reservations_refused", "Attempts that got no use"),
            confirmed: counter(
                "registrations_confirmed",
                "Accounts, resets and contacts made",
            ),
            released: counter("reservations_released", "Uses given back"),
            keys_refused: counter("keys_refused", "Requests without a good API key"),
            strangers: counter(
                "untrusted_proxies",
                "Addresses that spoke for others and are not in trusted_proxies",
            ),
            registry,
        }
    }

    /// Notes that the module of `host` asked something.
    pub fn note_question(&self, host: &str, now: Timestamp) {
        self.last_question
            .get_or_create_owned(&[("host", host.to_owned())])
            .set(now.0);
    }

    /// The counters in the text form of `OpenMetrics`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
