//! Where a domain's server is: SRV records for both ways to begin TLS (RFC 6120 §3.2, XEP-0368).
//!
//! Host names become addresses through the operating system, as for every other program on the
//! machine; only SRV records, which it has no call for, are asked for here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};

use super::error::Cause;
use super::{Address, Tls};
use crate::secret;

/// RFC 6120 §3.2.2: the port when DNS names none.
const DEFAULT_PORT: u16 = 5222;

/// The longest wait for one answer of one DNS server.
const ONE_ANSWER: Duration = Duration::from_secs(2);

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub priority: u16,
    pub weight: u16,
    pub target: Address,
}

/// The places to try for a domain in its A-label form, in this order.
pub(super) async fn find_targets(domain: &str) -> Result<Vec<Address>, Cause> {
    if let Ok(ip) = domain.parse::<IpAddr>() {
        return Ok(vec![Address {
            host: ip.to_string(),
            port: DEFAULT_PORT,
            tls: Tls::StartTls,
        }]);
    }
    let resolver = resolver()?;
    let (starttls, direct) = tokio::join!(
        find_records(
            &resolver,
            format!("_xmpp-client._tcp.{domain}."),
            Tls::StartTls
        ),
        find_records(
            &resolver,
            format!("_xmpps-client._tcp.{domain}."),
            Tls::Direct
        ),
    );
    choose(domain, starttls, direct, at_most)
}

fn resolver() -> Result<TokioResolver, Cause> {
    let mut builder = match TokioResolver::builder_tokio() {
        Ok(builder) => builder,
        // COMPAT: hickory-resolver 0.26 fails without a resolv.conf, where resolver(5) has everybody
        // ask the machine itself.
        Err(_) => TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(vec![NameServerConfig::udp_and_tcp(IpAddr::V4(
                Ipv4Addr::LOCALHOST,
            ))]),
            TokioRuntimeProvider::default(),
        ),
    };
    let options = builder.options_mut();
    options.timeout = ONE_ANSWER;
    options.attempts = 2;
    // One look-up, one resolver: nothing to remember.
    options.cache_size = 0;
    builder
        .build()
        .map_err(|error| Cause::Dns(error.to_string()))
}

/// No records is an empty list; no answer is an error.
async fn find_records(
    resolver: &TokioResolver,
    name: String,
    tls: Tls,
) -> Result<Vec<Record>, Cause> {
    let name = Name::from_ascii(name).map_err(|error| Cause::Dns(error.to_string()))?;
    let lookup = match resolver.srv_lookup(name).await {
        Ok(lookup) => lookup,
        Err(error) if is_no_records(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Cause::Dns(error.to_string())),
    };
    let records = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Record {
                priority: srv.priority,
                weight: srv.weight,
                target: Address {
                    host: host(&srv.target.to_ascii()),
                    port: srv.port,
                    tls,
                },
            }),
            _ => None,
        });
    Ok(records.collect())
}

fn is_no_records(error: &NetError) -> bool {
    error.is_no_records_found()
}

/// The root, which means "not here", stays a dot; other names lose theirs.
fn host(name: &str) -> String {
    match name.strip_suffix('.') {
        Some("") | None => name.to_owned(),
        Some(host) => host.to_owned(),
    }
}

/// Makes one list of both look-ups. `at_most` gives a random number from 0 to its argument.
fn choose(
    domain: &str,
    starttls: Result<Vec<Record>, Cause>,
    direct: Result<Vec<Record>, Cause>,
    at_most: impl FnMut(u32) -> u32,
) -> Result<Vec<Address>, Cause> {
    let is_silent = matches!(&starttls, Ok(records) if records.is_empty());
    let (records, failures): (Vec<_>, Vec<_>) =
        [starttls, direct].into_iter().partition(Result::is_ok);
    // RFC 6120 §3.2.1: a target "." says that there is no such service.
    let offered: Vec<Record> = records
        .into_iter()
        .flatten()
        .flatten()
        .filter(|record| record.target.host != ".")
        .collect();
    if !offered.is_empty() {
        return Ok(order(offered, at_most));
    }
    if let Some(Err(cause)) = failures.into_iter().next() {
        return Err(cause);
    }
    // RFC 6120 §3.2.2: the domain itself, only if DNS is silent about the service.
    if is_silent {
        return Ok(vec![Address {
            host: domain.to_owned(),
            port: DEFAULT_PORT,
            tls: Tls::StartTls,
        }]);
    }
    Err(Cause::NotOffered)
}

/// RFC 6120 §3.2.1, by way of RFC 2782: by priority, and within one priority drawn by weight.
/// XEP-0368 §3: both services are one list.
fn order(mut records: Vec<Record>, mut at_most: impl FnMut(u32) -> u32) -> Vec<Address> {
    // Weight 0 first, so that it has a small chance when others have weight.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let same = records
            .iter()
            .take_while(|record| record.priority == first.priority)
            .count();
        let total = records[..same]
            .iter()
            .map(|record| u32::from(record.weight))
            .sum();
        let drawn = at_most(total);
        let mut running = 0;
        let index = records[..same].iter().position(|record| {
            running += u32::from(record.weight);
            running >= drawn
        });
        ordered.push(records.remove(index.unwrap_or(0)).target);
    }
    ordered
}

fn at_most(limit: u32) -> u32 {
    u32::from_le_bytes(secret::random_bytes()) % limit.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str, tls: Tls) -> Record {
        Record {
            priority,
            weight,
            target: Address {
                host: host.to_owned(),
                port: 5222,
                tls,
            },
        }
    }

    /// Hosts in the order that comes out when each draw gives the next of `draws`.
    #[track_caller]
    fn check(records: &[(u16, u16, &str)], draws: &[u32], expected: &[&str]) {
        let records = records
            .iter()
            .map(|(priority, weight, host)| record(*priority, *weight, host, Tls::StartTls))
            .collect();
        let mut draws = draws.iter().copied();
        let ordered = order(records, |limit| draws.next().unwrap_or(limit).min(limit));
        let hosts: Vec<_> = ordered.iter().map(|target| target.host.as_str()).collect();
        assert_eq!(hosts, expected);
    }

    #[test]
    fn lower_priority_comes_first_whatever_the_weight() {
        check(
            &[(20, 65535, "b"), (10, 0, "a"), (30, 1, "c")],
            &[],
            &["a", "b", "c"],
        );
    }

    #[test]
    fn weight_decides_within_a_priority() {
        let records = [(10, 60, "a"), (10, 30, "b"), (10, 10, "c")];
        check(&records, &[60, 30, 0], &["a", "b", "c"]);
        check(&records, &[61, 0, 0], &["b", "a", "c"]);
        check(&records, &[91, 61, 0], &["c", "b", "a"]);
    }

    #[test]
    fn weight_zero_is_rarely_but_sometimes_first() {
        let records = [(10, 100, "heavy"), (10, 0, "light")];
        check(&records, &[0, 0], &["light", "heavy"]);
        check(&records, &[1, 0], &["heavy", "light"]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let records = vec![record(1, u16::MAX, "a", Tls::Direct); 1000];
        assert_eq!(order(records, |limit| limit).len(), 1000);
    }

    #[test]
    fn weights_are_followed_over_many_draws() {
        let mut state = 7_u32;
        let mut seeded = |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % (limit + 1)
        };
        let records = vec![
            record(1, 75, "a", Tls::Direct),
            record(1, 25, "b", Tls::Direct),
        ];
        let first_is_a = (0..4000)
            .filter(|_| order(records.clone(), &mut seeded)[0].host == "a")
            .count();
        assert!((2850..3150).contains(&first_is_a), "{first_is_a}");
    }

    #[test]
    fn both_services_are_one_list() {
        let starttls = Ok(vec![record(10, 1, "slow", Tls::StartTls)]);
        let direct = Ok(vec![record(5, 1, "fast", Tls::Direct)]);
        let targets = choose("a.example", starttls, direct, |limit| limit).expect("targets");
        let shown: Vec<_> = targets
            .iter()
            .map(|target| (target.host.as_str(), target.tls))
            .collect();
        assert_eq!(shown, [("fast", Tls::Direct), ("slow", Tls::StartTls)]);
    }

    #[test]
    fn a_domain_without_records_is_asked_itself() {
        let targets = choose("a.example", Ok(vec![]), Ok(vec![]), |limit| limit).expect("targets");
        assert_eq!(
            targets,
            [Address {
                host: "a.example".to_owned(),
                port: 5222,
                tls: Tls::StartTls
            }]
        );
    }

    #[test]
    fn a_dot_alone_says_that_the_service_is_not_there() {
        let none = || Ok(vec![record(0, 0, ".", Tls::StartTls)]);
        assert!(matches!(
            choose("a.example", none(), Ok(vec![]), |limit| limit),
            Err(Cause::NotOffered)
        ));
        assert!(matches!(
            choose("a.example", none(), none(), |limit| limit),
            Err(Cause::NotOffered)
        ));
        let direct = Ok(vec![record(5, 1, "fast", Tls::Direct)]);
        assert_eq!(
            choose("a.example", none(), direct, |limit| limit)
                .expect("targets")
                .len(),
            1
        );
    }

    #[test]
    fn a_dot_for_direct_tls_leaves_starttls() {
        let none = Ok(vec![record(0, 0, ".", Tls::Direct)]);
        assert_eq!(
            choose("a.example", Ok(vec![]), none, |limit| limit).expect("targets")[0].port,
            5222
        );
    }

    #[test]
    fn no_answer_is_not_taken_for_no_records() {
        let failed = || Err(Cause::Dns("SERVFAIL".to_owned()));
        assert!(matches!(
            choose("a.example", failed(), Ok(vec![]), |limit| limit),
            Err(Cause::Dns(_))
        ));
        assert!(matches!(
            choose("a.example", Ok(vec![]), failed(), |limit| limit),
            Err(Cause::Dns(_))
        ));
        let found = Ok(vec![record(5, 1, "fast", Tls::Direct)]);
        assert_eq!(
            choose("a.example", failed(), found, |limit| limit)
                .expect("targets")
                .len(),
            1
        );
    }

    #[test]
    fn target_names_lose_the_final_dot() {
        assert_eq!(host("xmpp.example."), "xmpp.example");
        assert_eq!(host("."), ".");
    }
}
