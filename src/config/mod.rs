//! The configuration: `file.rs` is what may be written, [`Config`] is what is true.
//!
//! It is parsed once; after [`Config::load`] no code checks configuration again. To add an
//! option: a field in `file.rs` with its documentation, a place here, a line in `example.toml`.

pub mod file;
mod parse;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use file::{PasswordPolicy, Shared, Tls, Url, Usernames};
use ipnet::IpNet;

use crate::error::Error as CrateError;
use crate::invite::{Kind, Lifetime};
use crate::jid::Domain;
use crate::secret::Secret;

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
    },
    /// The file at this path.
    Sqlite(PathBuf),
}

/// The public listeners.
#[derive(Debug)]
pub struct Http {
    pub listen: Vec<SocketAddr>,
    pub trusted_proxies: Vec<IpNet>,
    pub max_content_size: usize,
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
    pub paths: Paths,
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
    pub invites_register_api: String,
    pub admin_api: String,
}

/// How accounts of a host are made.
#[derive(Debug, Clone)]
pub struct Xmpp {
    /// Host and port, if SRV records are not to be asked.
    pub address: Option<(String, u16)>,
    pub tls: Tls,
    pub ca_file: Option<PathBuf>,
}

/// Shortest and longest life of a password reset, in seconds: 5 minutes and 7 days.
const RESET_RANGE: std::ops::RangeInclusive<i64> = 300..=7 * 86_400;

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error(format!(
                "{}: {e}; --config FILE or INVITED_CONFIG names another one",
                path.display()
            ))
        })?;
        Self::parse(path, &text)
    }

    /// Checks `text`; `path` is where relative paths in messages point to.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let parsed = parse::parse(path, text)?;
        let complaint = |what: String| Error(format!("{}: {what}", path.display()));
        let file = parsed.file;
        let folder = path.parent().unwrap_or(Path::new("."));
        let data_path = folder.join(&file.data_path);

        let listen: Vec<SocketAddr> = file
            .http_interfaces
            .iter()
            .flat_map(|&ip| {
                file.http_ports
                    .iter()
                    .map(move |&port| SocketAddr::new(ip, port))
            })
            .collect();
        let database = match file.database {
            Some(file::DatabaseUrl(url)) => Database::Postgres {
                url,
                password: std::env::var("INVITED_DATABASE_PASSWORD")
                    .ok()
                    .map(Secret::new),
                ca_file: file.database_ca_file.map(|p| folder.join(p)),
            },
            None => Database::Sqlite(data_path.join("invited.sqlite")),
        };
        let mut hosts = Vec::new();
        for host in parsed.hosts {
            let options = host.options.or(&parsed.global);
            let checked = Host::new(host.domain, options, &host.xmpp, &listen, folder)
                .map_err(|why| complaint(why.0))?;
            hosts.push(checked);
        }
        if hosts.is_empty() {
            return Err(complaint(
                "no host; add a table such as [hosts.\"example.com\"] for each XMPP host".into(),
            ));
        }
        if let Some(default) = &file.http_default_host
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
                trusted_proxies: file
                    .trusted_proxies
                    .iter()
                    .map(|network| network.0)
                    .collect(),
                max_content_size: file.http_max_content_size,
                max_connections: file.max_connections.max(1),
                failures_per_minute: file.failures_per_minute,
                request_timeout: Duration::from_secs(file.request_timeout.0.unsigned_abs()),
            },
            templates_path: file.templates_path.map(|p| folder.join(p)),
            log_level: file.log_level,
            log_format: file.log_format,
            default_host: file.http_default_host,
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
                    .map(|host| host.domain.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

impl Host {
    fn new(
        domain: Domain,
        options: Shared,
        xmpp: &file::Xmpp,
        listen: &[SocketAddr],
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
        let base_url = options
            .http_external_url
            .map_or_else(|| default_base_url(&http_host, listen), |Url(url)| url);
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
                |path| path.0.replace("$host", domain.as_str()),
            )
        };
        Ok(Self {
            site_name: options.site_name.unwrap_or_else(|| domain.to_string()),
            invite_expiry: options.invite_expiry.map_or(7 * 86_400, |p| p.0),
            reset_expiry: options.reset_expiry.map_or(86_400, |p| {
                p.0.clamp(*RESET_RANGE.start(), *RESET_RANGE.end())
            }),
            invite_retention: options.invite_retention.map_or(30 * 86_400, |p| p.0),
            history_retention: options.history_retention.map(|p| p.0),
            base_url: base_url.trim_end_matches('/').to_owned(),
            paths: Paths {
                invites_api: mounted(paths.invites_api, "/invites_api"),
                invites_page: mounted(paths.invites_page, "/invite"),
                register: mounted(paths.register, "/register"),
                invites_register_api: mounted(paths.invites_register_api, "/register_api"),
                admin_api: mounted(paths.admin_api, "/admin_api"),
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

    /// The landing page of the invite with this token.
    pub fn landing_url(&self, token: &str) -> String {
        format!("{}{}?{token}", self.base_url, self.paths.invites_page)
    }
}

/// Links without `http_external_url`: the host's name, and the port unless it is 80.
fn default_base_url(http_host: &str, listen: &[SocketAddr]) -> String {
    match listen.first().map(SocketAddr::port) {
        None => "http://disabled.invalid".to_owned(),
        Some(80) => format!("http://{http_host}"),
        Some(port) => format!("http://{http_host}:{port}"),
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = unbracketed.unwrap_or(host);
    let good = !host.is_empty() && (!host.contains(':') || host.parse::<IpAddr>().is_ok());
    good.then(|| (host.to_owned(), port))
}
