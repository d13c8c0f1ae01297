//! Writes an `invited.toml` that does as Prosody's configuration says; every option tells where it
//! came from, and what could not be taken over stands there as a comment.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Prosody;
use super::config::{Setting, items, scalar};
use super::spans::period;
use crate::config::Config;
use crate::jid::Domain;

/// Options with the same name and meaning in both configurations, of one value.
const SAME: [&str; 4] = [
    "site_name",
    "http_external_url",
    "webchat_url",
    "password_policy",
];
/// The same, for all hosts only.
const SAME_ABOVE: [&str; 4] = [
    "use_ipv4",
    "use_ipv6",
    "http_legacy_x_forwarded",
    "tls_profile",
];
/// Prosody's names of what is mounted, and ours.
const PATHS: [(&str, &str); 3] = [
    ("invites_api", "invites_api"),
    ("invites_page", "invites_page"),
    ("invites_register_web", "register"),
];

/// Addresses, with Prosody's `*` as ours.
pub(super) fn interfaces(setting: &Setting) -> Vec<String> {
    let addresses = items(&setting.value).into_iter();
    let ours = addresses.map(|address| match address.as_str() {
        "*" => "0.0.0.0".to_owned(),
        _ => address,
    });
    ours.collect()
}

pub(super) fn write(prosody: &Prosody, target: &Path, odd_names: &[Domain]) -> String {
    let mut file = Draft::new(prosody, target);
    file.option(
        Part::Top,
        "data_path",
        &json!(file.data_path()),
        "where invited keeps its own data",
    );
    for (place, (host, _)) in prosody.hosts.iter().enumerate() {
        file.http_host(prosody, place, host);
    }
    file.ports(prosody);
    file.global(prosody);
    for (place, (host, domain)) in prosody.hosts.iter().enumerate() {
        file.host(prosody, place, host, odd_names.contains(domain));
        file.xmpp(prosody, place, host, domain.as_str());
    }
    file.text()
}

/// The file as it grows. Each option is tried first; one that our configuration refuses becomes a
/// comment with the reason, so that the whole can always be loaded.
pub(super) struct Draft<'a> {
    target: &'a Path,
    top: String,
    hosts: Vec<HostPart>,
}

struct HostPart {
    header: String,
    options: String,
    xmpp: String,
}

/// Which part of the file an option goes to.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Host(usize),
    Top,
    Xmpp(usize),
}

impl<'a> Draft<'a> {
    fn new(prosody: &Prosody, target: &'a Path) -> Self {
        let hosts = prosody.hosts.iter().map(|(_, domain)| HostPart {
            header: domain.to_string(),
            options: String::new(),
            xmpp: String::new(),
        });
        let mut draft = Self {
            target,
            top: String::new(),
            hosts: hosts.collect(),
        };
        draft.comment(
            Part::Top,
            &format!(
                "Made by `invited import prosody` from\n{}\n\
                 Each option says where it came from; what could not be taken over is a comment.\n\
                 `invited config example` shows every option there is.",
                prosody.config_path.display()
            ),
        );
        draft.top.push('\n');
        draft
    }

    fn data_path(&self) -> &'static str {
        if self.target.starts_with("/etc") {
            "/var/lib/invited"
        } else {
            "data"
        }
    }

    fn text(&self) -> String {
        let mut text = self.top.clone();
        for host in &self.hosts {
            let name = toml::Value::String(host.header.clone());
            let _ = write!(
                text,
                "\n[hosts.{name}]\n{}\n[hosts.{name}.xmpp]\n{}",
                host.options, host.xmpp
            );
        }
        text
    }

    /// What the file says so far.
    pub(super) fn config(&self) -> Option<Config> {
        Config::parse(self.target, &self.text()).ok()
    }

    fn part(&mut self, part: Part) -> &mut String {
        match part {
            Part::Host(place) => &mut self.hosts[place].options,
            Part::Top => &mut self.top,
            Part::Xmpp(place) => &mut self.hosts[place].xmpp,
        }
    }

    /// Takes an option over; of a list or a table at least what fits.
    pub(super) fn option(&mut self, part: Part, key: &str, value: &Value, origin: &str) {
        let Err(why) = self.try_option(part, key, value, origin) else {
            return;
        };
        let (fitting, left_out) = self.entries_that_fit(part, key, value);
        if let Some(fitting) = fitting
            && self.try_option(part, key, &fitting, origin).is_ok()
        {
            for (entry, why) in left_out {
                self.comment(part, &format!("{key} without {entry} ({why})"));
            }
            return;
        }
        self.comment(
            part,
            &format!(
                "{origin}; not taken over ({why})\n{key} = {}",
                in_toml(value)
            ),
        );
    }

    /// Writes an option, or says why it is refused.
    fn try_option(
        &mut self,
        part: Part,
        key: &str,
        value: &Value,
        origin: &str,
    ) -> Result<(), String> {
        let toml = toml::Value::try_from(value)
            .map_err(|_| "it has a form that is not known here".to_owned())?;
        let before = self.part(part).clone();
        self.comment(part, origin);
        let _ = writeln!(self.part(part), "{key} = {toml}");
        Config::parse(self.target, &self.text())
            .map(drop)
            .map_err(|error| {
                *self.part(part) = before;
                let why = error.to_string();
                let why = why
                    .strip_prefix(&format!("{}:", self.target.display()))
                    .unwrap_or(&why);
                why.trim().to_owned()
            })
    }

    /// The entries of a list or table that fit when they stand alone, and the others with the
    /// reason.
    fn entries_that_fit(
        &mut self,
        part: Part,
        key: &str,
        value: &Value,
    ) -> (Option<Value>, Vec<(String, String)>) {
        let mut left_out = Vec::new();
        let mut fits = |name: String, alone: Value| {
            let before = self.part(part).clone();
            let tried = self.try_option(part, key, &alone, "");
            *self.part(part) = before;
            tried.map_err(|why| left_out.push((name, why))).is_ok()
        };
        let fitting = match value {
            Value::Array(items) => {
                let fitting = items
                    .iter()
                    .filter(|item| fits(item.to_string(), json!([item])));
                let fitting: Vec<Value> = fitting.cloned().collect();
                (!fitting.is_empty()).then_some(Value::Array(fitting))
            }
            Value::Object(map) => {
                let fitting = map.iter().filter(|(name, entry)| {
                    let shown = format!("{name} = {}", in_toml(entry));
                    fits(shown, json!({ *name: entry }))
                });
                let fitting: Map<String, Value> = fitting
                    .map(|(name, entry)| (name.clone(), entry.clone()))
                    .collect();
                (!fitting.is_empty()).then_some(Value::Object(fitting))
            }
            _ => None,
        };
        (fitting, left_out)
    }

    /// Lines that only people read.
    pub(super) fn comment(&mut self, part: Part, text: &str) {
        for line in text.lines() {
            let line: String = line
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let _ = writeln!(self.part(part), "# {line}");
        }
    }

    fn global(&mut self, prosody: &Prosody) {
        if let Some(setting) = prosody.config.global("trusted_proxies") {
            let value = json!(items(&setting.value));
            self.option(Part::Top, "trusted_proxies", &value, &origin(setting));
        }
        for name in SAME_ABOVE {
            if let Some(setting) = prosody.config.global(name) {
                self.option(Part::Top, name, &scalar(&setting.value), &origin(setting));
            }
        }
        self.default_host(prosody);
        self.shared(prosody, Part::Top, "*");
    }

    /// COMPAT: Prosody's option names a `Host` header, ours the host that answers.
    fn default_host(&mut self, prosody: &Prosody) {
        let Some(setting) = prosody.config.global("http_default_host") else {
            return;
        };
        let named = scalar(&setting.value);
        let named = named.as_str().unwrap_or_default();
        let domain: Option<Domain> = named.parse().ok();
        let ascii = domain.map(|domain| domain.ascii());
        let config = self.config();
        let hosts = config.iter().flat_map(|config| &config.hosts);
        let host = hosts
            .filter(|host| Some(&host.http_host) == ascii.as_ref())
            .map(|host| host.domain.to_string())
            .next();
        match host {
            Some(host) => self.option(
                Part::Top,
                "http_default_host",
                &json!(host),
                &origin(setting),
            ),
            None => self.comment(
                Part::Top,
                &format!(
                    "{}; not taken over (no host here answers under this name)\nhttp_default_host = {}",
                    origin(setting),
                    in_toml(&setting.value)
                ),
            ),
        }
    }

    /// Options that may stand at the top or in a host.
    fn shared(&mut self, prosody: &Prosody, part: Part, host: &str) {
        for name in SAME {
            if let Some(setting) = prosody.config.own(host, name) {
                let value = match &setting.value {
                    Value::Object(map) if name == "password_policy" => known_policy(map),
                    value => one_text(value),
                };
                self.option(part, name, &value, &origin(setting));
            }
        }
        if let Some(setting) = prosody.config.own(host, "invite_expiry") {
            match period(&scalar(&setting.value)) {
                Ok((value, said)) => {
                    let from = format!("{}{said}", origin(setting));
                    self.option(part, "invite_expiry", &value, &from);
                }
                Err(why) => self.comment(
                    part,
                    &format!(
                        "{}; not taken over ({why})\ninvite_expiry = {}",
                        origin(setting),
                        in_toml(&setting.value)
                    ),
                ),
            }
        }
        for name in ["site_apps_show", "site_apps_hide"] {
            if let Some(setting) = prosody.config.own(host, name) {
                let value = json!(items(&setting.value));
                self.option(part, name, &value, &origin(setting));
            }
        }
        if let Some(setting) = prosody.config.own(host, "http_paths") {
            let paths: Map<String, Value> = PATHS
                .iter()
                .filter_map(|(theirs, ours)| {
                    let path = match setting.value.get(theirs)? {
                        Value::String(path) if path.len() > 1 => json!(path.trim_end_matches('/')),
                        other => other.clone(),
                    };
                    Some(((*ours).to_owned(), path))
                })
                .collect();
            if !paths.is_empty() {
                self.option(part, "http_paths", &json!(paths), &origin(setting));
            }
        }
        for (name, advice) in [
            (
                "site_apps",
                "write its apps into a file and name that as site_apps_file",
            ),
            (
                "invites_page",
                "invites that have this page keep it; new ones get our own",
            ),
            ("invites_registration_page", "our own page is used"),
        ] {
            if let Some(setting) = prosody.config.own(host, name) {
                self.comment(part, &format!("{name} ({}): {advice}", origin(setting)));
            }
        }
    }

    fn host(&mut self, prosody: &Prosody, place: usize, host: &str, odd_names: bool) {
        let at = Part::Host(place);
        self.shared(prosody, at, host);
        let modules = prosody.config.modules(host);
        if modules.contains("invites_page") && !modules.contains("invites_register_web") {
            self.option(
                at,
                "registration_form",
                &json!(false),
                "invites_register_web is not among the modules of this host",
            );
        }
        if odd_names {
            self.option(
                at,
                "usernames",
                &json!("any"),
                "there are invites for names with other characters than a-z 0-9 . _ -",
            );
        }
    }

    /// The name that requests for a host come with: Prosody's option, or the name that links begin
    /// with if that is another than the host's.
    fn http_host(&mut self, prosody: &Prosody, place: usize, host: &str) {
        let at = Part::Host(place);
        if let Some(setting) = prosody.config.get(host, "http_host") {
            let value = one_text(&setting.value);
            return self.option(at, "http_host", &value, &origin(setting));
        }
        let url = prosody.config.text(host, "http_external_url");
        let name = url
            .and_then(|url| url.parse::<::http::Uri>().ok())
            .and_then(|url| url.host().map(str::to_ascii_lowercase));
        if let Some(name) = name.filter(|name| *name != self.hosts[place].header) {
            self.option(
                at,
                "http_host",
                &json!(name),
                "links begin with this name (http_external_url), so requests come with it",
            );
        }
    }

    /// Where the host's clients connect, seen from this machine.
    fn xmpp(&mut self, prosody: &Prosody, place: usize, host: &str, domain: &str) {
        let at = Part::Xmpp(place);
        let first = |name: &str, default: Option<u16>| match prosody.config.global(name) {
            Some(setting) => (ports(setting).0.first().copied(), origin(setting)),
            None => (default, "Prosody's default".to_owned()),
        };
        let interface = ["c2s_interfaces", "interfaces"]
            .iter()
            .find_map(|name| prosody.config.global(name))
            .and_then(|setting| items(&setting.value).into_iter().next())
            .filter(|address| !matches!(address.as_str(), "*" | "0.0.0.0" | "::"))
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        let address = |port: u16| {
            if interface.contains(':') {
                format!("[{interface}]:{port}")
            } else {
                format!("{interface}:{port}")
            }
        };
        match (
            first("c2s_ports", Some(5222)),
            first("c2s_direct_tls_ports", None),
        ) {
            ((Some(port), from), _) => {
                self.option(
                    at,
                    "address",
                    &json!(address(port)),
                    &format!("c2s_ports: {from}"),
                );
            }
            ((None, _), (Some(port), from)) => {
                let from = format!("c2s_direct_tls_ports: {from}");
                self.option(at, "address", &json!(address(port)), &from);
                self.option(at, "tls", &json!("direct"), &from);
            }
            ((None, _), (None, _)) => self.comment(
                at,
                "c2s_ports is empty, so the address is found by SRV records",
            ),
        }
        let certificate = ["ssl", "c2s_ssl"]
            .iter()
            .find_map(|name| {
                prosody
                    .config
                    .get(host, name)?
                    .value
                    .get("certificate")?
                    .as_str()
            })
            .map(|path| prosody.config.path(path))
            .or_else(|| {
                let folder = prosody.config.text("*", "certificates").unwrap_or("certs");
                let file = prosody.config.path(folder).join(format!("{domain}.crt"));
                file.exists().then_some(file)
            });
        if let Some(path) = certificate {
            let path = toml::Value::String(path.display().to_string());
            self.comment(
                at,
                "if that certificate signed itself, or no authority of the system signed it:",
            );
            self.comment(at, &format!("ca_file = {path}"));
        }
    }
}

pub(super) fn origin(setting: &Setting) -> String {
    let host = match setting.host.as_str() {
        "*" => "all hosts",
        host => host,
    };
    format!("{} ({host})", setting.place)
}

/// A list of ports, which may be one port or a text, and what of it are no ports.
pub(super) fn ports(setting: &Setting) -> (Vec<u16>, Vec<String>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for item in items(&setting.value) {
        match item.trim().parse() {
            Ok(port) if port > 0 => good.push(port),
            _ => bad.push(item),
        }
    }
    (good, bad)
}

/// A value as the file would have it, on one line if it has a form there at all.
fn in_toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |toml| toml.to_string())
}

/// COMPAT: where Prosody wants a text, it takes numbers, and the first item of a list.
fn one_text(value: &Value) -> Value {
    match scalar(value) {
        Value::Number(number) => json!(number.to_string()),
        one => one,
    }
}

/// What of a `password_policy` we know.
fn known_policy(map: &Map<String, Value>) -> Value {
    let known = ["length", "exclude_username"];
    let policy: Map<String, Value> = map
        .iter()
        .filter(|(key, _)| known.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(policy)
}
