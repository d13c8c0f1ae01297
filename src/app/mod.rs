//! What `invited` does. It knows neither HTTP nor SQL text; whatever changes state or reaches the
//! XMPP server goes through here. Plain reads may go from a door straight to the store.

mod history;
mod invite_changes;
mod invites;
mod keys;
mod metrics;
mod moving_in;
mod questions;
mod registration;
mod rights;
mod sweeper;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::jid::Domain;
use crate::store::Store;
use crate::token::Sealer;
use crate::xmpp;

pub use history::{Branch, TREE_SIZE};
pub use invite_changes::Alteration;
pub use invites::{By, Created, FindBy, MAX_BULK, RepeatKey};
pub use keys::{AcceptedKey, NewKey};
pub use metrics::Metrics;
pub use moving_in::{OldInvite, OldKey, OldRegistration, TAKEN_AT_ONCE, TakenKey};
pub use questions::{Known, PATIENCE, Question, Standing, Wanted};

/// Shared handles. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    pub store: Store,
    pub clock: Clock,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    good_keys: Arc<keys::GoodKeys>,
    sealer: Arc<Sealer>,
    /// In the order of `config.hosts`.
    servers: Arc<[xmpp::Server]>,
    /// What these are asked, in the same order.
    lines: Arc<[questions::Line]>,
}

impl App {
    /// Puts the parts together.
    pub fn new(store: Store, clock: Clock, config: Arc<Config>, sealer: Sealer) -> Self {
        let servers = config
            .hosts
            .iter()
            .map(|host| server(host, &host.domain))
            .collect();
        let lines = config.hosts.iter().map(|_| questions::Line::default());
        let lines = lines.collect();
        Self {
            store,
            clock,
            config,
            metrics: Arc::default(),
            good_keys: Arc::default(),
            sealer: Arc::new(sealer),
            servers,
            lines,
        }
    }
}

impl App {
    /// The XMPP servers, in the order of the configuration's hosts.
    pub fn servers(&self) -> &[xmpp::Server] {
        &self.servers
    }
}

/// The XMPP server of `host`, which it knows as `domain`.
pub fn server(host: &crate::config::Host, domain: &Domain) -> xmpp::Server {
    let tls = match host.xmpp.tls {
        crate::config::file::Tls::Direct => xmpp::Tls::Direct,
        crate::config::file::Tls::Starttls => xmpp::Tls::StartTls,
    };
    let address = host
        .xmpp
        .address
        .clone()
        .map(|(host, port)| xmpp::Address { host, port, tls });
    xmpp::Server::new(domain.to_string(), address, host.xmpp.ca_file.clone())
}
