//! Where the database is, and connections to it that can write.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::chain;
use super::session::Session;
use super::url::{self, Mode};
use super::verify_ca::AnyName;
use crate::store::Error;

/// Where PostgreSQL listens if nobody says otherwise.
const USUAL_PORT: u16 = 5432;
/// How long a connection may take, with everything that it needs, at all hosts together.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Not `pg_is_in_recovery`, which other engines that speak the protocol do not know.
const READ_ONLY: &str = "show transaction_read_only";

/// Where the database is and how it is reached.
#[derive(Clone)]
pub struct Address {
    /// One for each host, so that one which is silent keeps nobody from the next.
    hosts: Vec<Config>,
    pub(super) tls: MakeRustlsConnect,
    prepared: bool,
}

/// What a connection is for.
#[derive(Clone, Copy)]
enum Purpose {
    Read,
    Write,
}

impl Address {
    /// `url` is `postgres://USER@HOST/NAME` with the parameters that libpq knows; several hosts are
    /// tried in turn. With TLS, which is the rule for hosts that are not this machine, the
    /// certificate must be good for the host, by the authorities in `ca_file` or else the system's.
    ///
    /// A complaint quotes nothing of `url`, since any part of it may be a part of a password.
    pub fn new(url: &str, password: Option<&str>, ca_file: Option<&Path>) -> Result<Self, String> {
        let said = url::read(url)?;
        let ca_file = match (ca_file, said.ca_file.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(
                    "database_ca_file and sslrootcert are one and the same; give one".into(),
                );
            }
            (one, other) => one.or(other),
        };
        let mut config = said.config;
        if let Some(password) = password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("invited");
        }
        let hosts = (0..config.get_hosts().len()).map(|at| {
            let mut one = alone(&config, at);
            let mode = said
                .mode
                .unwrap_or_else(|| url::usual_mode(&one, ca_file.is_some()));
            one.ssl_mode(mode.of_connection());
            one
        });
        Ok(Self {
            hosts: hosts.collect(),
            tls: MakeRustlsConnect::new(tls(ca_file, said.mode == Some(Mode::VerifyCa))?),
            prepared: true,
        })
    }

    /// Whether statements may be prepared where a session seems to be one process of the server, as
    /// they are by default.
    #[must_use]
    pub fn prepared(mut self, prepared: bool) -> Self {
        self.prepared = prepared;
        self
    }

    /// A connection that can write, of the first host that gives one.
    pub(in crate::store) async fn connect(&self) -> Result<Session, Error> {
        self.first(Purpose::Write).await
    }

    /// A connection of the first host that gives one, be it a replica.
    pub(in crate::store) async fn connect_to_read(&self) -> Result<Client, Error> {
        self.first(Purpose::Read)
            .await
            .map(|session| session.client)
    }

    async fn first(&self, purpose: Purpose) -> Result<Session, Error> {
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let mut refusals = Vec::new();
        for config in &self.hosts {
            // Boxed, since the state of a TLS handshake is large.
            let attempt = Box::pin(connect(config, &self.tls, purpose, self.prepared));
            let why = match tokio::time::timeout(CONNECT / hosts, attempt).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(why)) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            refusals.push(match hosts {
                1 => why,
                _ => format!("{}: {why}", place(config)),
            });
        }
        Err(self.named(&refusals.join(", ")))
    }

    pub(super) fn named(&self, why: &str) -> Error {
        Error::Unavailable(format!("{self}: {why}").into())
    }
}

impl std::fmt::Display for Address {
    /// Without user and password: `the database "invited" on db.example.com`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.hosts[0].get_dbname().unwrap_or_default();
        let places: Vec<_> = self.hosts.iter().map(place).collect();
        write!(f, "the database {name:?} on {}", places.join(", "))
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

/// The same for one of its hosts only.
fn alone(config: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match &config.get_hosts()[at] {
        Host::Tcp(name) => one.host(name),
        Host::Unix(path) => one.host_path(path),
    };
    if let Some(address) = config.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(at).or(ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    one
}

async fn connect(
    config: &Config,
    tls: &MakeRustlsConnect,
    purpose: Purpose,
    prepared: bool,
) -> Result<Session, String> {
    let (client, connection) = config.connect(tls.clone()).await.map_err(|e| chain(&e))?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told by its own error.
        let _ = connection.await;
    });
    if let Purpose::Write = purpose {
        let shown = client.query_typed(READ_ONLY, &[]).await;
        let shown = shown.map_err(|e| chain(&e))?;
        if shown
            .first()
            .is_some_and(|row| row.get::<_, &str>(0) == "on")
        {
            return Err("it is a read-only replica; name the primary".into());
        }
    }
    Session::new(client, prepared).await.map_err(|e| chain(&e))
}

/// A host, with its port unless that is the usual one.
fn place(config: &Config) -> String {
    let name = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    match config.get_ports().first() {
        Some(port) if *port != USUAL_PORT => format!("{name}:{port}"),
        _ => name,
    }
}

fn tls(ca_file: Option<&Path>, any_name: bool) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let Some(path) = ca_file else {
        if any_name {
            // Anybody can have a certificate for a name of their own from one of the system's.
            return Err(
                "sslmode=verify-ca needs an authority of your own, in database_ca_file".into(),
            );
        }
        return Ok(builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?
            .with_no_client_auth());
    };
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| named(&e))? {
        let certificate = certificate.map_err(|e| named(&e))?;
        roots.add(certificate).map_err(|e| named(&e))?;
    }
    if roots.is_empty() {
        return Err(named(&"there is no certificate in it"));
    }
    if any_name {
        let verifier = AnyName::new(roots, provider).map_err(|e| named(&e))?;
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
