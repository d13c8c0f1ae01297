//! Who asks: the address of the client and the scheme it used, also behind proxies.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::Peer;

/// Which proxies are believed, and how they speak.
#[derive(Debug)]
pub(super) struct Proxies {
    pub trusted: Vec<IpNet>,
    /// By `X-Forwarded-For` and `X-Forwarded-Proto`; else by `Forwarded` (RFC 7239).
    pub legacy: bool,
}

/// Those who speak for others without being believed. Anybody can, so only some are remembered.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Vec<IpAddr>>);

impl Strangers {
    const MOST: usize = 16;

    /// Whether `peer` speaks for somebody else, is not believed, and was not noted before.
    pub(super) fn note(&self, peer: Peer, headers: &HeaderMap, proxies: &Proxies) -> bool {
        let header = if proxies.legacy {
            HeaderName::from_static("x-forwarded-for")
        } else {
            axum::http::header::FORWARDED
        };
        if !headers.contains_key(header) || proxies.trusts(peer.ip) {
            return false;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = known.len() < Self::MOST && !known.contains(&peer.ip);
        if new {
            known.push(peer.ip);
        }
        new
    }
}

impl Proxies {
    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&ip))
    }
}

/// The client that `peer` is, or speaks for. Proxies are believed only as far as trusted ones wrote
/// it: the right-most address that is not a trusted proxy's is the client, and the scheme that stands with it is the
/// client's.
pub(super) fn client(peer: Peer, headers: &HeaderMap, proxies: &Proxies) -> Peer {
    let is_trusted = |ip: IpAddr| proxies.trusts(ip);
    if !is_trusted(peer.ip) {
        return peer;
    }
    let mut client = peer;
    for hop in hops(headers, proxies.legacy).iter().rev() {
        if !is_trusted(client.ip) {
            break;
        }
        client.https = hop.https.unwrap_or(client.https);
        match hop.ip {
            Some(ip) => client.ip = ip,
            None => break,
        }
    }
    client
}

/// What one proxy says of whom it speaks for.
struct Hop {
    /// Absent if it is hidden or nonsense.
    ip: Option<IpAddr>,
    https: Option<bool>,
}

fn hops(headers: &HeaderMap, legacy: bool) -> Vec<Hop> {
    if legacy {
        let list = |name: &'static str| -> Vec<&str> {
            values(headers, &HeaderName::from_static(name))
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .collect()
        };
        let (addresses, schemes) = (list("x-forwarded-for"), list("x-forwarded-proto"));
        // From the nearest: a proxy that adds to one list may replace the other, so the
        // left-most scheme is that of all who are farther away.
        let scheme = |back: usize| {
            let farthest = schemes.len().checked_sub(1)?;
            match schemes[farthest - back.min(farthest)] {
                scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
                scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
                _ => None,
            }
        };
        let mut hops: Vec<Hop> = addresses
            .iter()
            .rev()
            .enumerate()
            .map(|(back, address)| Hop {
                // Some balancers add the port.
                ip: node(address),
                https: scheme(back),
            })
            .rev()
            .collect();
        if hops.is_empty() {
            hops.push(Hop {
                ip: None,
                https: scheme(0),
            });
        }
        return hops;
    }
    values(headers, &axum::http::header::FORWARDED)
        .flat_map(|value| unquoted_split(value, ','))
        .map(|element| hop(&element))
        .collect()
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
}

/// `for=192.0.2.60;proto=https` (RFC 7239 §4).
fn hop(element: &str) -> Hop {
    let mut hop = Hop {
        ip: None,
        https: None,
    };
    for pair in unquoted_split(element, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.ip = node(value),
            "proto" => hop.https = Some(value.eq_ignore_ascii_case("https")),
            _ => {}
        }
    }
    hop
}

/// An address, with or without a port; IPv6 in brackets (RFC 7239 §6).
fn node(value: &str) -> Option<IpAddr> {
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .or_else(|_| value.parse().map(|address: SocketAddr| address.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

/// Parts between separators that stand outside quotation marks.
fn unquoted_split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c == separator && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(legacy: bool, peer: &str, given: &[(&'static str, &str)], expected: (&str, bool)) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().expect("a header value"));
        }
        let networks = ["127.0.0.0/8", "10.0.0.0/8"];
        let proxies = Proxies {
            trusted: networks
                .map(|text| text.parse().expect("a network"))
                .to_vec(),
            legacy,
        };
        let peer = Peer {
            ip: peer.parse().expect("an address"),
            https: false,
        };
        let client = client(peer, &headers, &proxies);
        assert_eq!((client.ip.to_string().as_str(), client.https), expected);
    }

    #[track_caller]
    fn check_for(peer: &str, values: &[&str], expected: &str) {
        let given: Vec<_> = values.iter().map(|v| ("x-forwarded-for", *v)).collect();
        check(true, peer, &given, (expected, false));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check_for("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check_for("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check_for("127.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1");
        check_for("127.0.0.1", &["198.51.100.1, 10.1.2.3"], "198.51.100.1");
        check_for("127.0.0.1", &["198.51.100.1", "10.1.2.3"], "198.51.100.1");
        check_for("127.0.0.1", &["nonsense"], "127.0.0.1");
        check_for("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_tells_the_scheme() {
        let proto = [("x-forwarded-proto", "https")];
        check(true, "127.0.0.1", &proto, ("127.0.0.1", true));
        check(true, "203.0.113.9", &proto, ("203.0.113.9", false));
    }

    #[test]
    fn of_several_schemes_the_one_that_belongs_to_the_client_counts() {
        for (addresses, schemes, expected) in [
            // Each proxy added what it saw.
            ("198.51.100.1, 10.1.2.3", &["https, http"][..], true),
            ("198.51.100.1, 10.1.2.3", &["https", "http"], true),
            ("198.51.100.1, 10.1.2.3", &["http, https"], false),
            // One proxy; what stands before its word is the client's own.
            ("198.51.100.1", &["https, http"], false),
            ("6.6.6.6, 198.51.100.1", &["https, http"], false),
            ("198.51.100.1", &["http, https"], true),
            // One scheme for the whole way.
            ("198.51.100.1, 10.1.2.3, 10.4.5.6", &["https"], true),
            ("198.51.100.1, 10.1.2.3, 10.4.5.6", &["HTTPS"], true),
            ("198.51.100.1, 10.1.2.3, 10.4.5.6", &["http"], false),
            (
                "198.51.100.1, 10.1.2.3, 10.4.5.6",
                &["http, https, http"],
                false,
            ),
            ("198.51.100.1", &["ftp"], false),
            ("198.51.100.1", &[""], false),
        ] {
            let mut given = vec![("x-forwarded-for", addresses)];
            given.extend(schemes.iter().map(|scheme| ("x-forwarded-proto", *scheme)));
            check(true, "127.0.0.1", &given, ("198.51.100.1", expected));
        }
        let two = [("x-forwarded-proto", "https, http")];
        check(true, "127.0.0.1", &two, ("127.0.0.1", false));
    }

    #[track_caller]
    fn check_forwarded(peer: &str, value: &str, expected: (&str, bool)) {
        check(false, peer, &[("forwarded", value)], expected);
    }

    #[test]
    fn the_standard_header_is_read_when_the_legacy_ones_are_off() {
        check_forwarded(
            "127.0.0.1",
            "for=192.0.2.60;proto=https",
            ("192.0.2.60", true),
        );
        check_forwarded(
            "127.0.0.1",
            "For=\"[2001:db8::17]:4711\"",
            ("2001:db8::17", false),
        );
        check_forwarded(
            "127.0.0.1",
            "for=\"[2001:db8::17]\"",
            ("2001:db8::17", false),
        );
        check_forwarded(
            "127.0.0.1",
            "for=\"192.0.2.43:47011\"",
            ("192.0.2.43", false),
        );
        check_forwarded(
            "127.0.0.1",
            "for=6.6.6.6, for=192.0.2.60",
            ("192.0.2.60", false),
        );
        check_forwarded(
            "127.0.0.1",
            "for=192.0.2.60;proto=https, for=10.1.2.3;proto=http",
            ("192.0.2.60", true),
        );
        check_forwarded("127.0.0.1", "for=_hidden;proto=https", ("127.0.0.1", true));
        check_forwarded("127.0.0.1", "for=\"a,for=6.6.6.6\"", ("127.0.0.1", false));
        check_forwarded(
            "203.0.113.9",
            "for=192.0.2.60;proto=https",
            ("203.0.113.9", false),
        );
        let legacy = [("x-forwarded-for", "192.0.2.60")];
        check(false, "127.0.0.1", &legacy, ("127.0.0.1", false));
        let standard = [("forwarded", "for=192.0.2.60")];
        check(true, "127.0.0.1", &standard, ("127.0.0.1", false));
    }
}
