//! What the address of a database says: `postgres://USER:PASSWORD@HOST/NAME?PARAMETER=VALUE`.
//!
//! Stricter than tokio-postgres and libpq, which take whatever comes before the first `@` for name and
//! password, and so the rest of a password that has an `@` for a host: that would be looked up in
//! DNS, and be printed. No complaint here quotes anything of the address.

use std::net::IpAddr;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};

use super::errors::chain;

/// Parameters that are understood: those of tokio-postgres, and libpq's names for what [`Said`] has.
const PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// What an address says.
pub(super) struct Said {
    pub config: Config,
    pub mode: Option<Mode>,
    /// `sslrootcert`, unless that is `system`.
    pub ca_file: Option<PathBuf>,
}

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, and with a good certificate.
    Prefer,
    /// TLS with a certificate of a known authority, whatever name is in it.
    VerifyCa,
    /// TLS with a good certificate: `verify-full`, and `require`, which libpq does not verify.
    VerifyFull,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "verify-ca" => Ok(Self::VerifyCa),
            "require" | "verify-full" => Ok(Self::VerifyFull),
            _ => Err("sslmode is disable, prefer, require, verify-ca or verify-full".into()),
        }
    }

    pub(super) fn of_connection(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

pub(super) fn read(url: &str) -> Result<Said, String> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or("it does not begin with postgres://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if path.contains('@') || authority.matches('@').count() > 1 {
        return Err(unclear());
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (mut mode, mut ca_file, mut others) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        // Unlike in forms, a plus is a plus.
        let pair_in_full = pair.replace('+', "%2B");
        let decoded = form_urlencoded::parse(pair_in_full.as_bytes()).next();
        let (name, value) = decoded.filter(|_| pair.contains('=')).ok_or_else(unclear)?;
        match name.as_ref() {
            "sslmode" => mode = Some(Mode::parse(&value)?),
            "sslrootcert" if value == "system" => {}
            "sslrootcert" if value.starts_with('/') => ca_file = Some(value.as_ref().into()),
            "sslrootcert" => return Err("sslrootcert is a path that begins with /".into()),
            known if PARAMETERS.contains(&known) => others.push(pair),
            _ => {
                return Err(format!(
                    "it has an unknown option; known are {}",
                    PARAMETERS.join(", ")
                ));
            }
        }
    }
    let url = format!("postgres://{authority}{path}?{}", others.join("&"));
    let config: Config = url.parse().map_err(|e| chain(&e))?;
    if config.get_hosts().is_empty() {
        return Err("it names no host".into());
    }
    for host in config.get_hosts() {
        let letters = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        if matches!(host, Host::Tcp(name) if name.is_empty() || !name.chars().all(letters)) {
            return Err(unclear());
        }
    }
    Ok(Said {
        config,
        mode,
        ca_file,
    })
}

/// What is used where the address does not say: nobody is between us and a socket or a loopback address.
/// Otherwise whoever is in between could ask for the password in clear.
pub(super) fn usual_mode(config: &Config, ca_file: bool) -> Mode {
    let wants_tls = ca_file || config.get_ssl_negotiation() == SslNegotiation::Direct;
    let stays_here = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => !wants_tls && is_loopback(name),
        Host::Unix(_) => true,
    }) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    if stays_here {
        Mode::Disable
    } else {
        Mode::VerifyFull
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn unclear() -> String {
    "it is not clear where name and password end: write their special characters as %40 (@), %2F (/), %3F (?), \
     %3A (:), %23 (#), %26 (&) and %25 (%), or give the password in INVITED_DATABASE_PASSWORD"
        .into()
}
