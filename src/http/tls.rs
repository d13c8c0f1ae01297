//! TLS for browsers and scripts: which certificate a client sees, and how a renewed one takes the
//! place of the old one while connections go on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::authority_of;
use crate::config::Config;
use crate::config::certificates::Pair;
use crate::config::listeners::TlsProfile;

/// The protocol that we name (RFC 7301); we have no other.
const ALPN: &[u8] = b"http/1.1";

/// The certificates of all listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<Config>,
    known: Arc<RwLock<Known>>,
}

/// What clients are shown.
#[derive(Debug, Default, Clone)]
struct Known {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For names that we do not have, and for clients that give none.
    by_port: HashMap<u16, Arc<CertifiedKey>>,
}

impl Tls {
    /// Finds and reads the certificates; the error names the file, or the places that were searched.
    pub fn load(config: &Arc<Config>) -> Result<Self, String> {
        Ok(Self {
            known: Arc::new(RwLock::new(Known::load(config)?)),
            config: Arc::clone(config),
        })
    }

    /// Finds and reads the certificates anew, for connections that come from now on. Where there is
    /// no good new one the old one stays, and the log says why.
    pub fn reload(&self) {
        let search = Search::new(&self.config);
        search.warn();
        let mut known = self.read().clone();
        for name in search.names() {
            let found = search.for_name(&name);
            replace(&mut known.by_name, name, found);
        }
        for port in search.ports() {
            let found = search.for_port(port);
            replace(&mut known.by_port, port, found);
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        tracing::info!("certificates were read again");
    }

    /// Makes connections to `port` speak TLS.
    pub fn acceptor(&self, port: u16) -> TlsAcceptor {
        let versions: &[&SupportedProtocolVersion] = match self.config.http.tls_profile {
            TlsProfile::Intermediate => &[&TLS12, &TLS13],
            TlsProfile::Modern => &[&TLS13],
        };
        // Named here and not taken from the process, where another crate may have set its own.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver {
                port,
                tls: self.clone(),
            }));
        config.alpn_protocols = vec![ALPN.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        // Whoever held the lock only replaced the whole.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the certificates are there and good; the error is that of [`Tls::load`].
pub(super) fn check(config: &Config) -> Result<(), String> {
    Known::load(config).map(drop)
}

impl Known {
    fn load(config: &Config) -> Result<Self, String> {
        let mut known = Self::default();
        if config.http.listen_tls.is_empty() {
            return Ok(known);
        }
        let search = Search::new(config);
        search.warn();
        for name in search.names() {
            if let Some(certificate) = search.for_name(&name)? {
                known.by_name.insert(name, certificate);
            }
        }
        for port in search.ports() {
            if let Some(certificate) = search.for_port(port)? {
                known.by_port.insert(port, certificate);
            } else if known.by_name.is_empty() {
                return Err(search.nothing_found());
            }
        }
        Ok(known)
    }
}

/// Keeps what was known unless something good was found.
fn replace<K: std::fmt::Display + std::hash::Hash + Eq>(
    known: &mut HashMap<K, Arc<CertifiedKey>>,
    key: K,
    found: Result<Option<Arc<CertifiedKey>>, String>,
) {
    match found {
        Ok(Some(certificate)) => {
            known.insert(key, certificate);
        }
        Ok(None) if known.contains_key(&key) => {
            tracing::error!("the certificate for {key} is gone; the old one stays in use");
        }
        Ok(None) => {}
        Err(why) => {
            tracing::error!("the certificate for {key} stays the old one: {why}");
        }
    }
}

/// One look at the folders.
struct Search<'a> {
    config: &'a Config,
    index: crate::config::certificates::Index,
}

impl<'a> Search<'a> {
    fn new(config: &'a Config) -> Self {
        Self {
            index: config.http.certificates.index(),
            config,
        }
    }

    /// Says what was passed over.
    fn warn(&self) {
        for file in &self.index.unreadable {
            tracing::warn!("not a certificate that can be used: {file}");
        }
        for place in &self.index.closed {
            tracing::warn!("not looked at for certificates: {place}");
        }
    }

    /// The names of the hosts: where they answer, and what their links say.
    fn names(&self) -> Vec<String> {
        let hosts = &self.config.hosts;
        let mut names: Vec<String> = hosts
            .iter()
            .flat_map(|host| [host.http_host.clone(), name_of(&host.base_url)])
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn ports(&self) -> Vec<u16> {
        let addresses = &self.config.http.listen_tls;
        let mut ports: Vec<u16> = addresses.iter().map(std::net::SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn for_name(&self, name: &str) -> Result<Option<Arc<CertifiedKey>>, String> {
        let written = self
            .config
            .hosts
            .iter()
            .find(|host| host.http_host == name || name_of(&host.base_url) == name)
            .and_then(|host| host.certificate.clone());
        written
            .or_else(|| self.index.find(name))
            .map(|pair| read(&pair))
            .transpose()
    }

    fn for_port(&self, port: u16) -> Result<Option<Arc<CertifiedKey>>, String> {
        self.config
            .http
            .certificates
            .default_for(port, &self.index)
            .map(|pair| read(&pair))
            .transpose()
    }

    fn nothing_found(&self) -> String {
        let closed = self.index.closed.iter().map(|place| format!("; {place}"));
        format!(
            "{}: https_ports: there is no certificate: no *.crt with its *.key and no fullchain.pem with its \
             privkey.pem in {}; `certificates` names another folder, `https_certificate` a file, and `https_ports = []` \
             switches HTTPS off{}",
            self.config.path.display(),
            self.config.http.certificates.folder.display(),
            closed.collect::<String>(),
        )
    }
}

/// `example.com` of `https://Example.com:5281/invite`.
fn name_of(base_url: &str) -> String {
    let authority = authority_of(base_url);
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, _)| name);
    name.to_ascii_lowercase()
}

fn read(pair: &Pair) -> Result<Arc<CertifiedKey>, String> {
    let named = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let chain = CertificateDer::pem_file_iter(&pair.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| named(&pair.certificate, &e))?;
    if chain.is_empty() {
        return Err(named(&pair.certificate, &"it has no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|e| named(&pair.key, &e))?;
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|e| {
            named(
                &pair.certificate,
                &format!("with {}: {e}", pair.key.display()),
            )
        })?;
    Ok(Arc::new(certified))
}

/// Chooses for one listener.
#[derive(Debug)]
struct Resolver {
    port: u16,
    tls: Tls,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = self.tls.read();
        hello
            .server_name()
            .and_then(|name| known.by_name.get(&name.to_ascii_lowercase()))
            .or_else(|| known.by_port.get(&self.port))
            .cloned()
    }
}
