//! What the configuration file may say, field by field. Names and meanings are Prosody's wherever
//! Prosody has them; the comment of a field is its documentation.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use super::certificates::Pair;
use crate::secret::Secret;

/// What may stand at the top of the file, beside [`Shared`], `[hosts]` and what
/// [`super::listeners`] and [`super::cors`] have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Folder of the database and the secrets; relative paths below count from here.
    #[serde(default = "defaults::data_path")]
    pub data_path: PathBuf,
    /// `postgres://USER@HOST/NAME`; a SQLite file in `data_path` if absent. The password comes from
    /// `INVITED_DATABASE_PASSWORD` or from the URL, percent-encoded. `sslmode` is `require`, which
    /// encrypts and verifies, unless the host is this machine.
    pub database: Option<DatabaseUrl>,
    /// PEM file with the only authorities to trust about the database's certificate; the system's
    /// by default. `sslrootcert` in the URL is the same.
    pub database_ca_file: Option<PathBuf>,
    /// Whether statements that run often are prepared at the database; true by default. Behind a
    /// pooler that says that it is one they never are.
    pub database_prepared: Option<bool>,
    /// Folder with templates that replace built-in ones of the same name.
    pub templates_path: Option<PathBuf>,
    /// What to log: `error`, `warn`, `info`, `debug` or `trace`. `RUST_LOG` wins.
    #[serde(default)]
    pub log_level: LogLevel,
    /// `text` for people, `json` for machines.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Where XMPP servers ask.
    #[serde(default)]
    pub bridge: Bridge,
}

/// `[bridge]`: the listener for XMPP servers and health checks; never public.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// Address and port.
    pub listen: SocketAddr,
    /// File with the secret that XMPP servers show; made on the first start, mode 0600.
    pub secret_file: PathBuf,
}

/// Options that may stand at the top or in a host, where they win.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Name of the service, as people know it; the host's name by default.
    pub site_name: Option<String>,
    /// How long an invite is good unless it says so itself.
    pub invite_expiry: Option<Period>,
    /// How long a password reset is good unless it says so itself.
    pub reset_expiry: Option<Period>,
    /// How long an invite is kept after it has expired, and one without expiry after it was used
    /// up or revoked.
    pub invite_retention: Option<Period>,
    /// How long it is remembered who invited whom; for ever by default.
    pub history_retention: Option<Period>,
    /// `Host` header under which this host answers; the host's name by default.
    pub http_host: Option<String>,
    /// Scheme, host, port and path of links, when a proxy stands in front.
    pub http_external_url: Option<Url>,
    /// Certificate and key for HTTPS; at the top for names that no host has as well.
    pub https_ssl: Option<Pair>,
    /// The same, if `https_ssl` says nothing; at the top only for names that no host has.
    pub ssl: Option<Pair>,
    /// Where each page or API is mounted: `invites_api`, `invites_page`, `register`,
    /// `invites_register_api`, `admin_api` and, for pictures and style sheets, `register_apps`.
    pub http_paths: Option<Paths>,
    /// Whether answers tell the causes of what went wrong on our side.
    pub http_errors_detailed: Option<bool>,
    /// Whether a page is shown for statuses that have no message; else they have no body.
    pub http_errors_always_show: Option<bool>,
    /// Message on pages for statuses that have none.
    pub http_errors_default_message: Option<String>,
    /// Messages on pages by status.
    pub http_errors_messages: Option<Messages>,
    /// Whether `GET /invites_api` makes invites; `POST` always does.
    pub invites_api_get: Option<bool>,
    /// Whether people can register on the page.
    pub registration_form: Option<bool>,
    /// What passwords must be like.
    pub password_policy: Option<PasswordPolicy>,
    /// Which names new accounts may have: `plain` for `a-z 0-9 . _ -`, `any` for whatever the
    /// server takes.
    pub usernames: Option<Usernames>,
    /// TOML file with apps that are added to the built-in list, or replace those with their id.
    pub site_apps_file: Option<PathBuf>,
    /// Ids of the only apps to show, in this order.
    pub site_apps_show: Option<Vec<String>>,
    /// Ids of apps not to show.
    pub site_apps_hide: Option<Vec<String>>,
    /// Address of a web chat where new users can sign in at once.
    pub webchat_url: Option<Url>,
    /// Where Prosody's `mod_invited_tokens` says whether Prosody's own tokens are good on
    /// `/admin_api`; without it only API keys count there.
    pub prosody_url: Option<Url>,
}

impl Shared {
    /// The names of all its options; a test compares them with what the file accepts.
    pub const KEYS: &[&str] = &[
        "site_name",
        "invite_expiry",
        "reset_expiry",
        "invite_retention",
        "history_retention",
        "http_host",
        "http_external_url",
        "https_ssl",
        "ssl",
        "http_paths",
        "http_errors_detailed",
        "http_errors_always_show",
        "http_errors_default_message",
        "http_errors_messages",
        "invites_api_get",
        "registration_form",
        "password_policy",
        "usernames",
        "site_apps_file",
        "site_apps_show",
        "site_apps_hide",
        "webchat_url",
        "prosody_url",
    ];

    /// These options, and those of `global` where these say nothing.
    #[must_use]
    pub fn or(self, global: &Self) -> Self {
        let global = global.clone();
        Self {
            site_name: self.site_name.or(global.site_name),
            invite_expiry: self.invite_expiry.or(global.invite_expiry),
            reset_expiry: self.reset_expiry.or(global.reset_expiry),
            invite_retention: self.invite_retention.or(global.invite_retention),
            history_retention: self.history_retention.or(global.history_retention),
            http_host: self.http_host.or(global.http_host),
            http_external_url: self.http_external_url.or(global.http_external_url),
            https_ssl: self.https_ssl.or(global.https_ssl),
            ssl: self.ssl,
            http_paths: Some(self.http_paths.unwrap_or_default().or(global.http_paths)),
            http_errors_detailed: self.http_errors_detailed.or(global.http_errors_detailed),
            http_errors_always_show: self
                .http_errors_always_show
                .or(global.http_errors_always_show),
            http_errors_default_message: self
                .http_errors_default_message
                .or(global.http_errors_default_message),
            http_errors_messages: self.http_errors_messages.or(global.http_errors_messages),
            invites_api_get: self.invites_api_get.or(global.invites_api_get),
            registration_form: self.registration_form.or(global.registration_form),
            password_policy: self.password_policy.or(global.password_policy),
            usernames: self.usernames.or(global.usernames),
            site_apps_file: self.site_apps_file.or(global.site_apps_file),
            site_apps_show: self.site_apps_show.or(global.site_apps_show),
            site_apps_hide: self.site_apps_hide.or(global.site_apps_hide),
            webchat_url: self.webchat_url.or(global.webchat_url),
            prosody_url: self.prosody_url.or(global.prosody_url),
        }
    }
}

/// `[hosts."example.com".xmpp]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xmpp {
    /// `HOST:PORT` of the server; found by SRV records if absent.
    pub address: Option<String>,
    /// How that address speaks TLS: `starttls` or `direct`.
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with the only authorities to trust; the system's by default.
    pub ca_file: Option<PathBuf>,
}

/// How TLS begins.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    Direct,
    #[default]
    Starttls,
}

/// Which names new accounts may have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usernames {
    Any,
    #[default]
    Plain,
}

/// Prosody's `password_policy`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordPolicy {
    /// Fewest characters.
    pub length: usize,
    /// Whether the password must not contain the name, if that has four letters or more.
    pub exclude_username: bool,
}

/// Mount paths.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    pub invites_api: Option<MountPath>,
    pub invites_page: Option<MountPath>,
    /// Prosody's name is `invites_register_web`.
    #[serde(alias = "invites_register_web")]
    pub register: Option<MountPath>,
    pub register_apps: Option<MountPath>,
    pub invites_register_api: Option<MountPath>,
    pub admin_api: Option<MountPath>,
}

impl Paths {
    fn or(self, global: Option<Self>) -> Self {
        let global = global.unwrap_or_default();
        Self {
            invites_api: self.invites_api.or(global.invites_api),
            invites_page: self.invites_page.or(global.invites_page),
            register: self.register.or(global.register),
            register_apps: self.register_apps.or(global.register_apps),
            invites_register_api: self.invites_register_api.or(global.invites_register_api),
            admin_api: self.admin_api.or(global.admin_api),
        }
    }
}

/// `http_errors_messages`: what people read on the page for a status.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Messages(pub BTreeMap<u16, String>);

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::<String, String>::deserialize(from)?
            .into_iter()
            .map(|(status, message)| match status.parse() {
                Ok(status @ 400..=599) => Ok((status, message)),
                _ => Err(de::Error::custom(format!(
                    "{status:?} is not the status of an error; write for instance 404"
                ))),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// What is logged.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Error,
    #[default]
    Info,
    Trace,
    Warn,
}

/// How it is logged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    #[default]
    Text,
}

/// A span: a number of seconds, or a text such as `7 days`, `36h`, `1 month`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub i64);

/// COMPAT: months and years are as long as in Prosody 13 (`util.human.io`): 31 days, and 365.2425.
const MONTH: i64 = 31 * 86_400;
const YEAR: i64 = 31_556_952;

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a span of time; write for instance \"7 days\", \"12h\" or \"90 min\""
            )
        };
        if let Ok(seconds) = text.trim().parse::<i64>() {
            return if seconds > 0 {
                Ok(Self(seconds))
            } else {
                Err(wrong())
            };
        }
        let span = calendar(text.trim()).ok_or_else(wrong)?;
        // Of 12 months and 3 days the library cannot know the length, of 3 days it does.
        let (years, months) = (span.get_years(), span.get_months());
        let seconds = span
            .years(0)
            .months(0)
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .map_err(|_| wrong())?
            .as_secs()
            + i64::from(years) * YEAR
            + i64::from(months) * MONTH;
        if seconds > 0 {
            Ok(Self(seconds))
        } else {
            Err(wrong())
        }
    }
}

/// A span in words. A bare `m` is a minute, as it has always been here.
fn calendar(text: &str) -> Option<jiff::Span> {
    // COMPAT: Prosody 13's shortest word for a month, which the library does not know.
    match text.strip_suffix("mon") {
        Some(number) => {
            let months: i64 = number.trim_end().parse().ok()?;
            jiff::Span::new().try_months(months).ok()
        }
        None => text.parse().ok(),
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a span of time such as \"7 days\", or a number of seconds")
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Period, E> {
                if seconds > 0 {
                    Ok(Period(seconds))
                } else {
                    Err(E::custom("a span of time must be longer than nothing"))
                }
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Period, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// An `http:` or `https:` URL, in ASCII whatever was written: the host in A-labels, without the scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(pub String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // Other spellings, such as `https:example.com`, are bent into shape by that library.
        let has_host = text
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.starts_with('/'));
        let known = url::Url::parse(&text).ok().filter(|url| {
            has_host
                && matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none()
        });
        match known {
            Some(url) => Ok(Self(url.into())),
            None => Err(de::Error::custom(format!(
                "{text:?} is not a web address; write for instance \"https://example.com/\""
            ))),
        }
    }
}

/// A `postgres:` URL; it may hold a password.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(pub Secret);

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self(Secret::new(text)))
        } else {
            Err(de::Error::custom(
                "it is not the address of a PostgreSQL database; write for instance \"postgres://invited@db.example/invited\"",
            ))
        }
    }
}

/// A path that begins with `/` and does not end with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPath(pub String);

impl<'de> Deserialize<'de> for MountPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let plain = text.replace("$host", "");
        let letters = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
        let good =
            text.len() > 1 && text.starts_with('/') && !text.ends_with('/') && !text.contains("//");
        if good && plain.chars().all(letters) {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format!(
                "{text:?} is not a path; write for instance \"/invite\", without a slash at the end"
            )))
        }
    }
}

/// One address or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| {
                de::Error::custom(format!(
                    "{text:?} is neither an address nor a network such as \"10.0.0.0/8\""
                ))
            })
    }
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5282)),
            secret_file: "bridge.secret".into(),
        }
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            length: 8,
            exclude_username: true,
        }
    }
}

mod defaults {
    use super::PathBuf;

    pub(super) fn data_path() -> PathBuf {
        "/var/lib/invited".into()
    }
}
