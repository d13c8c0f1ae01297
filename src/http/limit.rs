//! Slows those down who guess: counts what each client failed at in a minute.
//!
//! A library for limits counts every request, or cannot say whether a client is over its limit
//! without counting; here only failures count, so this is our own (`docs/decisions/0010`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::error::Error;

/// Clients that are remembered at a time; a bound against abuse.
const MOST_CLIENTS: usize = 50_000;
const MINUTE: i64 = 60;

/// Unknown invites and refused keys, by client.
#[derive(Debug)]
pub(super) struct Failures {
    /// No limit if 0.
    per_minute: u32,
    clients: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Debug)]
struct Count {
    since: Timestamp,
    failures: u32,
}

impl Failures {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            clients: Mutex::default(),
        }
    }

    /// Counts a failure; an error if there were too many before.
    pub(super) fn note(&self, ip: IpAddr, now: Timestamp) -> Result<(), Error> {
        self.check(ip, now)?;
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, count| now < count.since.plus(MINUTE));
        }
        // Whoever has so many addresses is not slowed down by any limit per address.
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        let count = clients.entry(client(ip)).or_insert(Count {
            since: now,
            failures: 0,
        });
        if now >= count.since.plus(MINUTE) {
            *count = Count {
                since: now,
                failures: 0,
            };
        }
        count.failures += 1;
        Ok(())
    }

    /// An error if this client has failed too often. Counts nothing.
    pub(super) fn check(&self, ip: IpAddr, now: Timestamp) -> Result<(), Error> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match clients.get(&client(ip)) {
            Some(count) if count.failures >= self.per_minute && now < count.since.plus(MINUTE) => {
                Err(Error::TooManyFailures {
                    retry_after: count.since.plus(MINUTE).0 - now.0,
                })
            }
            _ => Ok(()),
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which one customer
/// has at the least (RFC 6177 §2).
fn client(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_waits_after_too_many_failures_and_others_do_not() {
        let failures = Failures::new(3);
        let now = Timestamp(1_000);
        for _ in 0..3 {
            failures.note(ip("192.0.2.1"), now).expect("within limits");
        }
        for refused in [
            failures.note(ip("192.0.2.1"), now.plus(10)),
            failures.check(ip("192.0.2.1"), now.plus(10)),
        ] {
            assert!(matches!(
                refused,
                Err(Error::TooManyFailures { retry_after: 50 })
            ));
        }
        failures.note(ip("192.0.2.2"), now).expect("another client");
        failures
            .note(ip("192.0.2.1"), now.plus(60))
            .expect("another minute");
    }

    #[test]
    fn a_client_with_ipv6_is_its_network() {
        let failures = Failures::new(1);
        let now = Timestamp(0);
        failures.note(ip("2001:db8::1"), now).expect("the first");
        assert!(failures.note(ip("2001:db8::ffff:2"), now).is_err());
        failures.note(ip("2001:db8:0:1::1"), now).expect("another");
    }

    #[test]
    fn nought_is_no_limit() {
        let failures = Failures::new(0);
        for _ in 0..1_000 {
            failures
                .note(ip("192.0.2.1"), Timestamp(0))
                .expect("no limit");
        }
    }

    #[test]
    fn the_memory_of_clients_is_bounded() {
        let failures = Failures::new(1);
        for n in 0..MOST_CLIENTS as u128 + 10 {
            let address = Ipv6Addr::from_bits(n << 64).into();
            failures.note(address, Timestamp(0)).expect("the first");
        }
        let clients = failures.clients.lock().expect("nobody panicked");
        assert!(clients.len() <= MOST_CLIENTS);
    }
}
