//! TLS towards a server: which roots count, and that the certificate is for the domain.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use super::Tls;
use super::error::Cause;

/// XEP-0368 §3: the protocol that a client names on a direct connection.
const ALPN: &[u8] = b"xmpp-client";

/// Connectors that trust the same roots, one for each way to begin TLS.
pub(super) struct Connectors {
    direct: TlsConnector,
    starttls: TlsConnector,
}

impl std::fmt::Debug for Connectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connectors")
    }
}

impl Connectors {
    /// Reads the roots: those of the operating system, or the certificates of `ca_file` and no other.
    pub(super) async fn load(ca_file: Option<&Path>) -> Result<Self, Cause> {
        let ca_file = ca_file.map(Path::to_owned);
        spawn_blocking(move || {
            // Named here and not taken from the process, where another crate may have set its own.
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier: Arc<dyn ServerCertVerifier> = match ca_file {
                Some(path) => Arc::new(PrivateRoots::read(&path, provider.clone())?),
                None => Arc::new(Verifier::new(provider.clone()).map_err(Cause::Tls)?),
            };
            Self::with(verifier, provider)
        })
        .await
        .map_err(|error| Cause::Unexpected(error.to_string()))?
    }

    pub(super) fn get(&self, tls: Tls) -> &TlsConnector {
        match tls {
            Tls::Direct => &self.direct,
            Tls::StartTls => &self.starttls,
        }
    }

    fn with(
        verifier: Arc<dyn ServerCertVerifier>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Cause> {
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Cause::Tls)?
            // Not less than what rustls does by itself: both verifiers check chain, time and name.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // A resumed session would not show the certificate again.
        config.resumption = Resumption::disabled();
        let starttls = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            direct: TlsConnector::from(Arc::new(config)),
            starttls,
        })
    }
}

/// The certificates of one file: authorities, or the server's own.
#[derive(Debug)]
struct PrivateRoots {
    certificates: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl PrivateRoots {
    fn read(path: &Path, provider: Arc<CryptoProvider>) -> Result<Self, Cause> {
        let bad = |reason: String| Cause::CaFile {
            path: path.to_owned(),
            reason,
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| bad(error.to_string()))?;
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self {
            certificates,
            chain,
        })
    }
}

impl ServerCertVerifier for PrivateRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self
            .chain
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
        {
            // COMPAT: Prosody's `prosodyctl cert generate` signs a server's certificate with itself
            // and marks it as an authority, which webpki does not take from a server. If the file
            // holds that very certificate, trust in it is what the file says. The name is checked
            // all the same; the time has been, webpki does that before it looks at this mark.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string() == "CaUsedAsEndEntity"
                    && self.certificates.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
