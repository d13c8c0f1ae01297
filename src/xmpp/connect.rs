//! From a domain to an open encrypted stream: each place in turn, each address of it in turn.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::budget::Budget;
use super::dns;
use super::error::{Cause, Error, Step};
use super::stream::{Offers, Stream};
use super::tls::Connectors;
use super::{Address, Server, Tls};

/// For all DNS answers together.
const LOOK_UP: Duration = Duration::from_secs(10);

/// For one TCP connection.
const CONNECT: Duration = Duration::from_secs(5);

/// For the stream in the clear.
const STARTTLS: Duration = Duration::from_secs(10);

/// For one handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// For the encrypted stream's header and features.
const FEATURES: Duration = Duration::from_secs(10);

/// A stream that is ready for requests.
pub(super) struct Opened {
    pub stream: Stream<TlsStream<TcpStream>>,
    pub offers: Offers,
    pub peer: SocketAddr,
    pub tls: Tls,
}

/// Opens a stream to the first place that leads to one.
///
/// A place is given up for any reason, a bad certificate included: the next one has to show a good
/// one too. Of all failures the one that got furthest is told.
pub(super) async fn open(server: &Server, budget: &Budget) -> Result<Opened, Error> {
    let unreachable = |what| {
        move |cause| Error::Unreachable {
            what,
            at: server.domain.clone(),
            cause,
        }
    };
    let names = Names::new(&server.domain).map_err(unreachable(Step::LookUp))?;
    let connectors = server
        .connectors
        .get_or_try_init(|| Connectors::load(server.ca_file.as_deref()))
        .await
        .map_err(unreachable(Step::Trust))?;
    let targets = match &server.address {
        Some(address) => vec![address.clone()],
        None => budget
            .step(LOOK_UP, dns::find_targets(&names.ascii))
            .await
            .map_err(unreachable(Step::LookUp))?,
    };

    let mut worst: Option<Failure> = None;
    for target in &targets {
        match open_target(target, &names, connectors, budget).await {
            Ok(opened) => return Ok(opened),
            Err(failure) => worst = Some(Failure::further(worst, failure)),
        }
        if budget.is_spent() {
            break;
        }
    }
    Err(match worst {
        Some(Failure { what, at, cause }) => Error::Unreachable { what, at, cause },
        None => unreachable(Step::LookUp)(Cause::NotOffered),
    })
}

/// One domain in the forms that each part wants.
struct Names<'a> {
    /// As the server writes it, in the stream.
    stream: &'a str,
    /// A-labels, in DNS.
    ascii: String,
    /// A-labels or an IP address, in the certificate.
    certificate: ServerName<'static>,
}

impl<'a> Names<'a> {
    fn new(domain: &'a str) -> Result<Self, Cause> {
        let literal = domain
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(domain);
        if let Ok(ip) = literal.parse::<IpAddr>() {
            return Ok(Self {
                stream: domain,
                ascii: ip.to_string(),
                certificate: ServerName::from(ip),
            });
        }
        let ascii = idna::domain_to_ascii(domain).map_err(|_| Cause::Domain)?;
        let certificate = ServerName::try_from(ascii.clone()).map_err(|_| Cause::Domain)?;
        Ok(Self {
            stream: domain,
            ascii,
            certificate,
        })
    }
}

struct Failure {
    what: Step,
    at: String,
    cause: Cause,
}

impl Failure {
    fn further(one: Option<Self>, other: Self) -> Self {
        match one {
            Some(one) if one.what >= other.what => one,
            _ => other,
        }
    }
}

async fn open_target(
    target: &Address,
    names: &Names<'_>,
    connectors: &Connectors,
    budget: &Budget,
) -> Result<Opened, Failure> {
    let place = format!("{}:{}", target.host, target.port);
    let look_up = async {
        Ok(lookup_host((target.host.as_str(), target.port))
            .await?
            .collect::<Vec<_>>())
    };
    let addresses = budget
        .step(LOOK_UP, look_up)
        .await
        .map_err(|cause| Failure {
            what: Step::LookUp,
            at: place.clone(),
            cause,
        })?;

    let mut worst: Option<Failure> = None;
    for peer in addresses {
        let connector = connectors.get(target.tls);
        match open_address(peer, target.tls, names, connector, budget).await {
            Ok((stream, offers)) => {
                return Ok(Opened {
                    stream,
                    offers,
                    peer,
                    tls: target.tls,
                });
            }
            Err((what, cause)) => {
                let ip = peer.ip().to_string();
                let at = if ip == target.host {
                    place.clone()
                } else {
                    format!("{place}, {ip}")
                };
                worst = Some(Failure::further(worst, Failure { what, at, cause }));
            }
        }
        if budget.is_spent() {
            break;
        }
    }
    Err(worst.unwrap_or(Failure {
        what: Step::LookUp,
        at: place,
        cause: Cause::Dns("no address".to_owned()),
    }))
}

type Encrypted = (Stream<TlsStream<TcpStream>>, Offers);

async fn open_address(
    peer: SocketAddr,
    tls: Tls,
    names: &Names<'_>,
    connector: &TlsConnector,
    budget: &Budget,
) -> Result<Encrypted, (Step, Cause)> {
    let connect = async { Ok(TcpStream::connect(peer).await?) };
    let mut tcp = budget
        .step(CONNECT, connect)
        .await
        .map_err(|cause| (Step::Connect, cause))?;
    // Requests are single small writes; waiting to fill a packet only delays them.
    let _ = tcp.set_nodelay(true);

    if tls == Tls::StartTls {
        let starttls = async {
            let (stream, offers) = Stream::open(tcp, names.stream).await?;
            if !offers.starttls {
                stream.close().await;
                return Err(Cause::NoStartTls);
            }
            stream.begin_tls().await
        };
        tcp = budget
            .step(STARTTLS, starttls)
            .await
            .map_err(|cause| (Step::StartTls, cause))?;
    }

    let handshake = async { Ok(connector.connect(names.certificate.clone(), tcp).await?) };
    let encrypted = budget
        .step(HANDSHAKE, handshake)
        .await
        .map_err(|cause| (Step::Tls, cause))?;
    budget
        .step(FEATURES, Stream::open(encrypted, names.stream))
        .await
        .map_err(|cause| (Step::Features, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_a_form_for_each_part() {
        let names = Names::new("bücher.example").expect("a domain");
        assert_eq!(names.stream, "bücher.example");
        assert_eq!(names.ascii, "xn--bcher-kva.example");
        assert_eq!(names.certificate.to_str(), "xn--bcher-kva.example");
    }

    #[test]
    fn a_stream_is_opened_in_the_spelling_of_its_server() {
        let names = Names::new("xn--bcher-kva.example").expect("a domain");
        assert_eq!(names.stream, "xn--bcher-kva.example");
        assert_eq!(names.certificate.to_str(), "xn--bcher-kva.example");
        for host in ["my_chat.internal", "r3--chat.example"] {
            let names = Names::new(host).expect("a domain");
            assert_eq!(names.certificate.to_str(), host);
        }
        assert!(matches!(Names::new("-chat-.example"), Err(Cause::Domain)));
    }

    #[test]
    fn an_address_literal_is_a_domain_too() {
        let names = Names::new("[2001:db8::1]").expect("a domain");
        assert_eq!(names.ascii, "2001:db8::1");
        assert!(matches!(names.certificate, ServerName::IpAddress(_)));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(matches!(Names::new("a b"), Err(Cause::Domain)));
        assert!(matches!(Names::new(""), Err(Cause::Domain)));
    }

    #[test]
    fn the_failure_that_got_furthest_is_told() {
        let failure = |what| Failure {
            what,
            at: String::new(),
            cause: Cause::TimedOut,
        };
        let worst = Failure::further(Some(failure(Step::Tls)), failure(Step::Connect));
        assert_eq!(worst.what, Step::Tls);
        let worst = Failure::further(Some(failure(Step::Connect)), failure(Step::Tls));
        assert_eq!(worst.what, Step::Tls);
    }
}
