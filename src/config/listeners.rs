//! Where `invited` listens for browsers and scripts. Names, defaults and meanings are Prosody's
//! (`core/portmanager.lua`, `mod_http`), except where a comment says otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::certificates::ByPort;
use super::file::{Network, Period};
use crate::jid::Domain;

/// What may stand at the top of the file only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listeners {
    /// Ports for plain HTTP; an empty list switches it off.
    pub http_ports: Vec<u16>,
    /// Ports for HTTPS; an empty list switches it off. Absent: 5281 if there is a certificate.
    pub https_ports: Option<Vec<u16>>,
    /// Addresses for plain HTTP. Private by default, as in Prosody: a proxy or `https_ports`
    /// faces the world.
    pub http_interfaces: Option<Vec<Interface>>,
    /// Addresses for HTTPS; `interfaces` by default.
    pub https_interfaces: Option<Vec<Interface>>,
    /// Addresses for what is private; the loopback addresses by default.
    pub local_interfaces: Option<Vec<Interface>>,
    /// Addresses for what is public; all by default.
    pub interfaces: Option<Vec<Interface>>,
    /// Whether the defaults have IPv4 addresses.
    pub use_ipv4: bool,
    /// Whether the defaults have IPv6 addresses.
    pub use_ipv6: bool,
    /// Folder that is searched for certificates.
    pub certificates: PathBuf,
    /// Certificate for names that no host has, also by port.
    pub https_certificate: ByPort,
    /// Which versions of TLS there are.
    pub tls_profile: TlsProfile,
    /// The XMPP host of requests whose `Host` header fits none; without it they get 404.
    pub http_default_host: Option<Domain>,
    /// Largest body of a request, in bytes. Prosody takes 10 MiB; nothing here needs so much.
    pub http_max_content_size: usize,
    /// Most bytes of a connection that wait to be read, and so of the head of a request.
    pub http_max_buffer_size: BufferSize,
    /// Addresses and networks of proxies that are believed about the client.
    pub trusted_proxies: Vec<Network>,
    /// Whether proxies say it with `X-Forwarded-For` and `X-Forwarded-Proto`; else with
    /// `Forwarded` (RFC 7239).
    pub http_legacy_x_forwarded: bool,
    /// Connections that are served at the same time.
    pub max_connections: usize,
    /// Unknown invites and refused keys that one address may show in a minute before it has to
    /// wait; 0 for no limit.
    pub failures_per_minute: u32,
    /// Seconds that a client has for the TLS handshake, for the head of a request, and again for
    /// its body.
    pub request_timeout: Period,
}

impl Listeners {
    /// The names of all its options.
    pub const KEYS: &[&str] = &[
        "http_ports",
        "https_ports",
        "http_interfaces",
        "https_interfaces",
        "local_interfaces",
        "interfaces",
        "use_ipv4",
        "use_ipv6",
        "certificates",
        "https_certificate",
        "tls_profile",
        "http_default_host",
        "http_max_content_size",
        "http_max_buffer_size",
        "trusted_proxies",
        "http_legacy_x_forwarded",
        "max_connections",
        "failures_per_minute",
        "request_timeout",
    ];

    /// Addresses and ports for plain HTTP.
    pub fn plain(&self) -> Vec<SocketAddr> {
        let interfaces = self
            .http_interfaces
            .clone()
            .or_else(|| self.local_interfaces.clone())
            .unwrap_or_else(|| self.usable(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
        everywhere(&interfaces, &self.http_ports)
    }

    /// Addresses and ports for HTTPS.
    pub fn tls(&self, ports: &[u16]) -> Vec<SocketAddr> {
        let interfaces = self
            .https_interfaces
            .clone()
            .or_else(|| self.interfaces.clone())
            .unwrap_or_else(|| self.usable(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED));
        everywhere(&interfaces, ports)
    }

    fn usable(&self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<Interface> {
        let v4 = self.use_ipv4.then_some(IpAddr::V4(v4));
        let v6 = self.use_ipv6.then_some(IpAddr::V6(v6));
        v4.into_iter().chain(v6).map(Interface).collect()
    }
}

fn everywhere(interfaces: &[Interface], ports: &[u16]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for &Interface(ip) in interfaces {
        for &port in ports {
            let address = SocketAddr::new(ip, port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses
}

impl Default for Listeners {
    fn default() -> Self {
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        Self {
            http_ports: vec![5280],
            https_ports: None,
            http_interfaces: None,
            https_interfaces: None,
            local_interfaces: None,
            interfaces: None,
            use_ipv4: true,
            use_ipv6: true,
            certificates: "certs".into(),
            https_certificate: ByPort::default(),
            tls_profile: TlsProfile::Intermediate,
            http_default_host: None,
            http_max_content_size: 64 * 1024,
            http_max_buffer_size: BufferSize(16 * 1024),
            trusted_proxies: loopback.map(|ip| Network(ip.into())).to_vec(),
            http_legacy_x_forwarded: true,
            max_connections: 4096,
            failures_per_minute: 60,
            request_timeout: Period(10),
        }
    }
}

/// An address to listen on; `*` is every IPv4 address, `::` every IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface(pub IpAddr);

impl<'de> Deserialize<'de> for Interface {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "*" {
            return Ok(Self(Ipv4Addr::UNSPECIFIED.into()));
        }
        text.parse().map(Self).map_err(|_| {
            de::Error::custom(format!(
                "{text:?} is not an address; write for instance \"127.0.0.1\", \"::1\" or \"*\""
            ))
        })
    }
}

/// Bytes that a connection may have waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferSize(pub usize);

impl BufferSize {
    /// Less than this, and an ordinary browser's request would not fit.
    const MIN: usize = 8 * 1024;
}

impl<'de> Deserialize<'de> for BufferSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = usize::deserialize(from)?;
        if bytes < Self::MIN {
            return Err(de::Error::custom(format!(
                "{bytes} bytes are too few; at least {} are needed",
                Self::MIN
            )));
        }
        Ok(Self(bytes))
    }
}

/// Mozilla's recommendations that Prosody's option names, as far as they are still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3.
    Intermediate,
    /// TLS 1.3 only.
    Modern,
}
