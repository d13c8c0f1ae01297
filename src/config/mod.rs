//! The configuration: `file.rs` is what may be written, [`Config`] is what is true.
//!
//! It is parsed once; after [`Config::load`] no code checks configuration again. To add an
//! option: a field in `file.rs` with its documentation, a place here, a line in `example.toml`.

pub mod certificates;
pub mod cors;
pub mod file;
pub mod listeners;
mod parse;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certificates::{Certificates, Pair};
use cors::{App, Cors};
use file::{Messages, PasswordPolicy, Shared, Tls, Url, Usernames};
use ipnet::IpNet;
use listeners::TlsProfile;

use crate::error::Error as CrateError;
use crate::invite::{Kind, Lifetime};
use crate::jid::Domain;
use crate::secret::Secret;
use crate::text;
use crate::uri::percent_encoded;

/// Where the file is if nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/invited/invited.toml";
/// A commented file with every option; a test proves that it loads and shows the defaults.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The configuration cannot be used; the text names file, line, key and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// A complaint that a person can act on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Everything that the file decides.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    pub data_path: PathBuf,
    pub database: Database,
    pub http: Http,
    pub bridge: Bridge,
    pub templates_path: Option<PathBuf>,
    pub log_level: file::LogLevel,
    pub log_format: file::LogFormat,
    pub hosts: Vec<Host>,
    pub default_host: Option<Domain>,
}

/// Where everything is kept.
#[derive(Debug)]
pub enum Database {
    /// The database at this address.
    Postgres {
        /// It may hold a password.
        url: Secret,
        /// From the environment.
        password: Option<Secret>,
        ca_file: Option<PathBuf>,
        /// Whether statements may be prepared.
        prepared: bool,
    },
    /// The file at this path.
    Sqlite(PathBuf),
}

/// The public listeners.
#[derive(Debug)]
pub struct Http {
    /// Without TLS.
    pub listen: Vec<SocketAddr>,
    /// With TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// Whether HTTPS is off only because no certificate was found.
    pub lacks_certificate: bool,
    pub certificates: Certificates,
    pub tls_profile: TlsProfile,
    pub trusted_proxies: Vec<IpNet>,
    /// Whether proxies speak by `X-Forwarded-For`, else by `Forwarded`.
    pub legacy_x_forwarded: bool,
    pub max_content_size: usize,
    /// For the head of a request too.
    pub max_buffer_size: usize,
    pub max_connections: usize,
    /// Failures of one client in a minute; no limit if 0.
    pub failures_per_minute: u32,
    pub request_timeout: Duration,
}

/// The listener for XMPP servers.
#[derive(Debug)]
pub struct Bridge {
    pub listen: SocketAddr,
    pub secret_file: PathBuf,
}

/// One XMPP host.
#[derive(Debug)]
pub struct Host {
    pub domain: Domain,
    pub site_name: String,
    pub invite_expiry: i64,
    pub reset_expiry: i64,
    /// Seconds that an invite stays after it is over.
    pub invite_retention: i64,
    /// Seconds that a registration is remembered; for ever if absent.
    pub history_retention: Option<i64>,
    /// The `Host` header, in lower case and A-labels.
    pub http_host: String,
    /// Where links begin, without a slash at the end.
    pub base_url: String,
    /// Whether links begin with our own port, for want of an `http_external_url`.
    pub lacks_external_url: bool,
    pub paths: Paths,
    /// The host's own certificate for HTTPS; else one is searched for.
    pub certificate: Option<Pair>,
    /// Apps that web pages elsewhere may read.
    pub cors: BTreeMap<App, Cors>,
    pub errors: Errors,
    pub invites_api_get: bool,
    pub registration_form: bool,
    pub password_policy: PasswordPolicy,
    pub usernames: Usernames,
    pub site_apps_file: Option<PathBuf>,
    pub site_apps_show: Option<Vec<String>>,
    pub site_apps_hide: Vec<String>,
    pub webchat_url: Option<String>,
    /// An `http:` address.
    pub prosody_url: Option<String>,
    pub xmpp: Xmpp,
}

/// Mount paths: with a slash at the front, without one at the end.
#[derive(Debug, Clone)]
pub struct Paths {
    pub invites_api: String,
    pub invites_page: String,
    pub register: String,
    /// Pictures and style sheets.
    pub register_apps: String,
    pub invites_register_api: String,
    pub admin_api: String,
}

/// What answers say about errors.
#[derive(Debug, Clone)]
pub struct Errors {
    /// Whether they tell the causes of faults of ours.
    pub detailed: bool,
    /// Whether there is a page even without a message.
    pub always_show: bool,
    pub default_message: Option<String>,
    /// By status.
    pub messages: Messages,
}

/// How accounts of a host are made.
#[derive(Debug, Clone)]
pub struct Xmpp {
    /// Host and port, if SRV records are not to be asked.
    pub address: Option<(String, u16)>,
    pub tls: Tls,
    pub ca_file: Option<PathBuf>,
}

/// Where Prosody mounts its page; ours answers there too, so that links already sent keep working.
pub const INVITES_PAGE: &str = "/invites_page";
/// The port for HTTPS if the file names none.
const HTTPS_PORT: u16 = 5281;
/// Shortest and longest life of a password reset, in seconds: 5 minutes and 7 days.
const RESET_RANGE: std::ops::RangeInclusive<i64> = 300..=7 * 86_400;

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|e| {
            Error(format!(
                "{}: {e}; --config FILE or INVITED_CONFIG names another one",
                path.display()
            ))
        })?;
        let text = text::utf8(&bytes)
            .map_err(|why| Error(format!("{}:{}: {why}", path.display(), why.line())))?;
        Self::parse(path, text)
    }

    /// Checks `text`; `path` is where relative paths in messages point to.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let parsed = parse::parse(path, text)?;
        let complaint = |what: String| Error(format!("{}: {what}", path.display()));
        let folder = path.parent().unwrap_or(Path::new("."));
        let listeners = &parsed.listeners;
        let certificates = Certificates {
            folder: folder.join(&listeners.certificates),
            https_ssl: parsed.global.https_ssl.clone().map(|p| p.below(folder)),
            ssl: parsed.global.ssl.clone().map(|p| p.below(folder)),
            https_certificate: listeners.https_certificate.clone(),
            base: folder.to_owned(),
        };
        let listen = listeners.plain();
        let https_ports = listeners.https_ports.clone();
        let lacks_certificate = https_ports.is_none() && !parsed.has_certificate(&certificates);
        let file = parsed.file;
        let data_path = folder.join(&file.data_path);
        let listen_tls = if lacks_certificate {
            Vec::new()
        } else {
            listeners.tls(&https_ports.unwrap_or_else(|| vec![HTTPS_PORT]))
        };
        let first = Links {
            scheme: if listen_tls.is_empty() {
                "http"
            } else {
                "https"
            },
            port: listen_tls
                .iter()
                .chain(&listen)
                .next()
                .map(SocketAddr::port),
        };
        let database = match file.database {
            Some(file::DatabaseUrl(url)) => Database::Postgres {
                url,
                password: std::env::var("INVITED_DATABASE_PASSWORD")
                    .ok()
                    .map(Secret::new),
                ca_file: file.database_ca_file.map(|p| folder.join(p)),
                prepared: file.database_prepared.unwrap_or(true),
            },
            None => Database::Sqlite(data_path.join("invited.sqlite")),
        };
        let mut hosts = Vec::new();
        for host in parsed.hosts {
            let options = host.options.or(&parsed.global);
            let cors = host.cors.or(&parsed.cors);
            let checked = Host::new(host.domain, options, &cors, &host.xmpp, first, folder)
                .map_err(|why| complaint(why.0))?;
            hosts.push(checked);
        }
        if hosts.is_empty() {
            return Err(complaint(
                "no host; add a table such as [hosts.\"example.com\"] for each XMPP host".into(),
            ));
        }
        if let Some(default) = &listeners.http_default_host
            && !hosts.iter().any(|host| host.domain == *default)
        {
            return Err(complaint(format!(
                "http_default_host: there is no [hosts.\"{default}\"]"
            )));
        }
        let mut names: Vec<&str> = hosts.iter().map(|host| host.http_host.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(complaint(format!(
                "http_host: two hosts answer under {twice:?}"
            )));
        }
        Ok(Self {
            bridge: Bridge {
                listen: file.bridge.listen,
                secret_file: data_path.join(file.bridge.secret_file),
            },
            http: Http {
                listen,
                listen_tls,
                lacks_certificate,
                certificates,
                tls_profile: listeners.tls_profile,
                trusted_proxies: listeners
                    .trusted_proxies
                    .iter()
                    .map(|network| network.0)
                    .collect(),
                legacy_x_forwarded: listeners.http_legacy_x_forwarded,
                max_content_size: listeners.http_max_content_size,
                max_buffer_size: listeners.http_max_buffer_size.0,
                max_connections: listeners.max_connections.max(1),
                request_timeout: Duration::from_secs(listeners.request_timeout.0.unsigned_abs()),
                failures_per_minute: listeners.failures_per_minute,
            },
            templates_path: file.templates_path.map(|p| folder.join(p)),
            log_level: file.log_level,
            log_format: file.log_format,
            default_host: listeners.http_default_host.clone(),
            path: path.to_owned(),
            data_path,
            database,
            hosts,
        })
    }

    /// The file with the key that tokens are sealed under.
    pub fn seal_key_file(&self) -> PathBuf {
        self.data_path.join("link.key")
    }

    /// What is allowed but probably not meant: links that lead nowhere, or to another host.
    ///
    /// Also HTTPS that is off only since we may not read where the certificates are.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.http.lacks_certificate {
            let closed = self.http.certificates.index().closed;
            doubts.extend(closed.iter().map(|place| {
                format!("HTTPS is off, and certificates may be where they cannot be read: {place}")
            }));
        }
        let listeners = || self.http.listen.iter().chain(&self.http.listen_tls);
        if listeners().next().is_none() {
            doubts.push(
                "nobody can open a link, since there is no port; write http_ports for a proxy, or \
                 https_ports"
                    .to_owned(),
            );
        }
        let private = listeners().all(|address| address.ip().is_loopback());
        for host in &self.hosts {
            doubts.extend(host.doubled_path());
            if let Some(file) = &host.xmpp.ca_file
                && let Err(error) = std::fs::File::open(file)
            {
                doubts.push(format!(
                    "hosts.\"{}\": xmpp.ca_file: {}: {error}; without it no account can be made on the page",
                    host.domain,
                    file.display()
                ));
            }
            // Nobody else is meant to reach this machine under that name.
            let local = host.http_host == "localhost" || host.http_host.ends_with(".localhost");
            if host.lacks_external_url && private {
                if local || listeners().next().is_none() {
                    continue;
                }
                doubts.push(format!(
                    "hosts.\"{}\": links begin with {}, where this machine serves itself only; if a proxy stands in \
                     front, write its address as http_external_url, else write https_ports",
                    host.domain, host.base_url
                ));
                continue;
            }
            let url: Option<::http::Uri> = host.base_url.parse().ok();
            let Some(name) = url.and_then(|url| url.host().map(str::to_ascii_lowercase)) else {
                continue;
            };
            let answers = self
                .hosts
                .iter()
                .find(|other| other.http_host == name)
                .map(|other| &other.domain)
                .or(self.default_host.as_ref());
            let whose = match answers {
                Some(domain) if *domain == host.domain => continue,
                Some(domain) => format!("{domain} answers"),
                None => "no host answers".to_owned(),
            };
            doubts.push(format!(
                "hosts.\"{}\": links begin with {}, where {whose}; set http_host = \"{name}\" there, or \
                 have the proxy send the header Host: {}",
                host.domain, host.base_url, host.http_host
            ));
        }
        doubts
    }

    /// The host with this name; the error names those that there are.
    pub fn host(&self, asked: &str) -> Result<&Host, CrateError> {
        let domain = asked.parse::<Domain>().ok();
        self.hosts
            .iter()
            .find(|host| Some(&host.domain) == domain.as_ref())
            .ok_or_else(|| CrateError::UnknownHost {
                asked: asked.to_owned(),
                known: self
                    .hosts
                    .iter()
                    .map(|host| host.domain.to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

impl Host {
    fn new(
        domain: Domain,
        options: Shared,
        cors: &cors::Options,
        xmpp: &file::Xmpp,
        links: Links,
        folder: &Path,
    ) -> Result<Self, Error> {
        let complaint = |key: &str, why: &str| Error(format!("hosts.\"{domain}\": {key}: {why}"));
        let http_host = match &options.http_host {
            Some(name) => name
                .parse::<Domain>()
                .map_err(|why| complaint("http_host", &format!("{name:?} {why}")))?
                .ascii(),
            None => domain.ascii(),
        };
        let lacks_external_url = options.http_external_url.is_none();
        let base_url = options
            .http_external_url
            .map_or_else(|| links.base_url(&http_host), |Url(url)| url);
        let address = match &xmpp.address {
            Some(text) => Some(host_and_port(text).ok_or_else(|| {
                complaint(
                    "xmpp.address",
                    &format!("{text:?} is not HOST:PORT; write for instance \"127.0.0.1:5222\""),
                )
            })?),
            None => None,
        };
        let prosody_url = options.prosody_url.map(|Url(url)| url);
        if prosody_url
            .as_ref()
            .is_some_and(|url| !url.starts_with("http:"))
        {
            return Err(complaint(
                "prosody_url",
                "it begins with http://, since Prosody is asked on the same machine",
            ));
        }
        let paths = options.http_paths.unwrap_or_default();
        let mounted = |path: Option<file::MountPath>, default: &str| {
            path.map_or_else(
                || default.to_owned(),
                |path| {
                    path.0
                        .replace("$host", &percent_encoded(&domain.to_string()))
                },
            )
        };
        let paths = Paths {
            invites_api: mounted(paths.invites_api, "/invites_api"),
            invites_page: mounted(paths.invites_page, "/invite"),
            register: mounted(paths.register, "/register"),
            register_apps: mounted(paths.register_apps, "/assets"),
            invites_register_api: mounted(paths.invites_register_api, "/register_api"),
            admin_api: mounted(paths.admin_api, "/admin_api"),
        };
        if let Some(twice) = paths.twice() {
            return Err(complaint(
                "http_paths",
                &format!("two apps are at {twice:?}"),
            ));
        }
        Ok(Self {
            site_name: options.site_name.unwrap_or_else(|| domain.to_string()),
            invite_expiry: options.invite_expiry.map_or(7 * 86_400, |p| p.0),
            reset_expiry: options.reset_expiry.map_or(86_400, |p| {
                p.0.clamp(*RESET_RANGE.start(), *RESET_RANGE.end())
            }),
            invite_retention: options.invite_retention.map_or(30 * 86_400, |p| p.0),
            history_retention: options.history_retention.map(|p| p.0),
            base_url: base_url.trim_end_matches('/').to_owned(),
            lacks_external_url,
            paths,
            certificate: options
                .https_ssl
                .or(options.ssl)
                .map(|pair| pair.below(folder)),
            cors: App::ALL
                .into_iter()
                .filter_map(|app| Some((app, cors.of(app)?)))
                .collect(),
            errors: Errors {
                detailed: options.http_errors_detailed.unwrap_or(false),
                always_show: options.http_errors_always_show.unwrap_or(true),
                default_message: options.http_errors_default_message,
                messages: options.http_errors_messages.unwrap_or_default(),
            },
            invites_api_get: options.invites_api_get.unwrap_or(true),
            registration_form: options.registration_form.unwrap_or(true),
            password_policy: options.password_policy.unwrap_or_default(),
            usernames: options.usernames.unwrap_or_default(),
            site_apps_file: options.site_apps_file.map(|p| folder.join(p)),
            site_apps_show: options.site_apps_show,
            site_apps_hide: options.site_apps_hide.unwrap_or_default(),
            webchat_url: options.webchat_url.map(|Url(url)| url),
            prosody_url,
            xmpp: Xmpp {
                address,
                tls: xmpp.tls,
                ca_file: xmpp.ca_file.as_ref().map(|p| folder.join(p)),
            },
            http_host,
            domain,
        })
    }

    /// Seconds that an invite of `kind` lives; `None` for ever.
    pub fn lifetime(&self, kind: Kind, asked: Lifetime) -> Option<i64> {
        match (kind, asked) {
            (_, Lifetime::Never) => None,
            (Kind::Reset, Lifetime::Seconds(s)) => {
                Some(s.clamp(*RESET_RANGE.start(), *RESET_RANGE.end()))
            }
            (Kind::Reset, Lifetime::Default) => Some(self.reset_expiry),
            (_, Lifetime::Default) => Some(self.invite_expiry),
            (_, Lifetime::Seconds(s)) => Some(s),
        }
    }

    /// What is said of a path that stands in the address and again in `http_paths`: each is right by
    /// itself, but the second is added to the first.
    fn doubled_path(&self) -> Option<String> {
        let url: ::http::Uri = self.base_url.parse().ok()?;
        let root = url.path().trim_end_matches('/');
        let below = |path: &&str| {
            let rest = path.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let path = self
            .paths
            .all()
            .into_iter()
            .find(below)
            .filter(|_| !root.is_empty())?;
        Some(format!(
            "hosts.\"{}\": {root} is in http_external_url and again in http_paths, so links begin with {}{path}; take it \
             out of http_paths if the web server in front cuts it off, else out of http_external_url",
            self.domain, self.base_url
        ))
    }

    /// The landing page of the invite with this token.
    pub fn landing_url(&self, token: &str) -> String {
        format!("{}{}?{token}", self.base_url, self.paths.invites_page)
    }
}

impl Paths {
    fn all(&self) -> [&str; 6] {
        [
            &self.invites_api,
            &self.invites_page,
            &self.register,
            &self.register_apps,
            &self.invites_register_api,
            &self.admin_api,
        ]
    }

    /// A path under which two apps would answer.
    fn twice(&self) -> Option<&str> {
        let mut all = self.all().to_vec();
        // It answers as well.
        if self.invites_page != INVITES_PAGE {
            all.push(INVITES_PAGE);
        }
        all.sort_unstable();
        all.windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
    }
}

/// How links without `http_external_url` begin.
#[derive(Debug, Clone, Copy)]
struct Links {
    scheme: &'static str,
    port: Option<u16>,
}

impl Links {
    /// The host's name, and the port unless it is the scheme's own.
    fn base_url(self, http_host: &str) -> String {
        let scheme = self.scheme;
        match (scheme, self.port) {
            (_, None) => "http://disabled.invalid".to_owned(),
            ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{http_host}"),
            (_, Some(port)) => format!("{scheme}://{http_host}:{port}"),
        }
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = unbracketed.unwrap_or(host);
    if host.parse::<IpAddr>().is_ok() {
        return Some((host.to_owned(), port));
    }
    Some((host.parse::<Domain>().ok()?.ascii(), port))
}
