//! Writes an `invited.toml` that does as Prosody's configuration says; every option tells where it
//! came from, and what could not be taken over stands there as a comment.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Prosody;
use super::config::{Setting, texts};
use crate::config::Config;
use crate::jid::Domain;

/// Options with the same name and meaning in both configurations.
const SAME: [&str; 6] = [
    "site_name",
    "invite_expiry",
    "http_host",
    "http_external_url",
    "webchat_url",
    "password_policy",
];
/// Prosody's names of what is mounted, and ours.
const PATHS: [(&str, &str); 3] = [
    ("invites_api", "invites_api"),
    ("invites_page", "invites_page"),
    ("invites_register_web", "register"),
];
/// Prosody's modules that we replace; the others may need its HTTP port.
const REPLACED: [&str; 10] = [
    "http_admin_api",
    "http_files",
    "invites_api",
    "invites_bootstrap",
    "invites_page",
    "invites_register_api",
    "invites_register_web",
    "register_apps",
    "http",
    "https",
];
/// Modules that answer over HTTP without saying so in their names.
const OVER_HTTP: [&str; 4] = ["bosh", "conversejs", "register_web", "websocket"];
/// How far from Prosody's port ours is if both are needed.
const PORT_STEP: u64 = 10;

/// Addresses, with Prosody's `*` as ours.
fn interfaces(setting: &Setting) -> Vec<String> {
    let addresses = texts(&setting.value).into_iter();
    let ours = addresses.map(|address| match address.as_str() {
        "*" => "0.0.0.0".to_owned(),
        _ => address,
    });
    ours.collect()
}

pub(super) fn write(prosody: &Prosody, target: &Path, odd_names: &[Domain]) -> String {
    let mut file = Draft::new(prosody, target);
    file.global(prosody);
    for (place, host) in prosody.hosts.iter().enumerate() {
        file.host(prosody, place, host, odd_names);
    }
    file.text()
}

/// The file as it grows. Each option is tried first; one that our configuration refuses becomes a
/// comment with the reason, so that the whole can always be loaded.
struct Draft<'a> {
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
enum Part {
    Host(usize),
    Top,
    Xmpp(usize),
}

impl<'a> Draft<'a> {
    fn new(prosody: &Prosody, target: &'a Path) -> Self {
        let hosts = prosody
            .hosts
            .iter()
            .filter_map(|host| host.parse::<Domain>().ok())
            .map(|domain| HostPart {
                header: domain.to_string(),
                options: String::new(),
                xmpp: String::new(),
            });
        Self {
            target,
            top: format!(
                "# Made by `invited import prosody` from\n# {}\n\
                 # Each option says where it came from; what could not be taken over is a comment.\n\
                 # `invited config example` shows every option there is.\n\n",
                prosody.config_path.display()
            ),
            hosts: hosts.collect(),
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

    fn part(&mut self, part: Part) -> &mut String {
        match part {
            Part::Host(place) => &mut self.hosts[place].options,
            Part::Top => &mut self.top,
            Part::Xmpp(place) => &mut self.hosts[place].xmpp,
        }
    }

    fn option(&mut self, part: Part, key: &str, value: &Value, origin: &str) {
        let Ok(value) = toml::Value::try_from(value) else {
            return self.comment(
                part,
                &format!("{key} has a form that is not known here ({origin})"),
            );
        };
        let before = self.part(part).clone();
        let _ = write!(self.part(part), "# {origin}\n{key} = {value}\n");
        if let Err(error) = Config::parse(self.target, &self.text()) {
            *self.part(part) = before;
            let why = error.to_string();
            let why = why
                .strip_prefix(&format!("{}:", self.target.display()))
                .unwrap_or(&why);
            let _ = write!(
                self.part(part),
                "# {origin}; not taken over ({})\n# {key} = {value}\n",
                why.trim()
            );
        }
    }

    fn comment(&mut self, part: Part, text: &str) {
        let _ = writeln!(self.part(part), "# {text}");
    }

    fn global(&mut self, prosody: &Prosody) {
        let data_path = if self.target.starts_with("/etc") {
            "/var/lib/invited"
        } else {
            "data"
        };
        self.option(
            Part::Top,
            "data_path",
            &json!(data_path),
            "where invited keeps its own data",
        );
        self.ports(prosody);
        if let Some(setting) = prosody.config.global("trusted_proxies") {
            let value = json!(texts(&setting.value));
            self.option(Part::Top, "trusted_proxies", &value, &origin(setting));
        }
        self.https(prosody);
        if let Some(setting) = prosody.config.global("http_default_host") {
            self.option(
                Part::Top,
                "http_default_host",
                &setting.value,
                &origin(setting),
            );
        }
        self.shared(prosody, Part::Top, "*");
    }

    /// HTTPS stays with Prosody or the proxy until the operator moves it; what it needs is there.
    fn https(&mut self, prosody: &Prosody) {
        let (ports, from) = match prosody.config.global("https_ports") {
            Some(setting) => (numbers(&setting.value), origin(setting)),
            None => (json!([5281]), "Prosody's default".to_owned()),
        };
        self.option(
            Part::Top,
            "https_ports",
            &json!([]),
            &format!("{from}: Prosody has {ports}; write them here when Prosody has left them"),
        );
        for name in ["https_interfaces", "interfaces"] {
            if let Some(setting) = prosody.config.global(name) {
                let value = json!(interfaces(setting));
                self.option(Part::Top, name, &value, &origin(setting));
            }
        }
        for name in ["certificates", "https_certificate"] {
            let Some(setting) = prosody.config.global(name) else {
                continue;
            };
            match setting.value.as_str() {
                Some(path) => {
                    let path = json!(prosody.config.folder.join(path));
                    self.option(Part::Top, name, &path, &origin(setting));
                }
                None => self.comment(
                    Part::Top,
                    &format!("{name} = {} ({})", setting.value, origin(setting)),
                ),
            }
        }
        if let Some(setting) = prosody.config.global("https_ssl") {
            self.comment(
                Part::Top,
                &format!("https_ssl = {} ({})", setting.value, origin(setting)),
            );
        }
    }

    /// HTTP ports: Prosody's own if it leaves them, others if it needs them for something else.
    fn ports(&mut self, prosody: &Prosody) {
        let setting = prosody.config.global("http_ports");
        let ports = setting.map_or_else(|| json!([5280]), |setting| numbers(&setting.value));
        let from = setting.map_or_else(|| "Prosody's default".to_owned(), origin);
        let others: Vec<String> = prosody
            .hosts
            .iter()
            .flat_map(|host| prosody.config.modules(host))
            .filter(|module| module.starts_with("http") || OVER_HTTP.contains(&module.as_str()))
            .filter(|module| !REPLACED.contains(&module.as_str()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        if others.is_empty() {
            self.option(
                Part::Top,
                "http_ports",
                &ports,
                &format!(
                    "{from}; Prosody must have left the port, so remove its HTTP modules first"
                ),
            );
        } else {
            let moved: Vec<u64> = ports
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .map(|port| port + PORT_STEP)
                .collect();
            self.option(
                Part::Top,
                "http_ports",
                &json!(moved),
                &format!(
                    "{from}, moved by {PORT_STEP}: Prosody needs {ports} for {}; have the proxy send /invites_api, /invites_page, /invite and /register here",
                    others.join(", ")
                ),
            );
        }
        if let Some(setting) = prosody.config.global("http_interfaces") {
            let addresses = interfaces(setting);
            self.option(
                Part::Top,
                "http_interfaces",
                &json!(addresses),
                &origin(setting),
            );
        }
    }

    /// Options that may stand at the top or in a host.
    fn shared(&mut self, prosody: &Prosody, part: Part, host: &str) {
        for name in SAME {
            if let Some(setting) = prosody.config.own(host, name) {
                let value = match &setting.value {
                    Value::Object(map) if name == "password_policy" => known_policy(map),
                    value => value.clone(),
                };
                self.option(part, name, &value, &origin(setting));
            }
        }
        for name in ["site_apps_show", "site_apps_hide"] {
            if let Some(setting) = prosody.config.own(host, name) {
                let value = json!(texts(&setting.value));
                self.option(part, name, &value, &origin(setting));
            }
        }
        if let Some(setting) = prosody.config.own(host, "http_paths") {
            let paths: Map<String, Value> = PATHS
                .iter()
                .filter_map(|(theirs, ours)| {
                    let path = setting.value.get(theirs)?.as_str()?;
                    Some(((*ours).to_owned(), json!(path.trim_end_matches('/'))))
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

    fn host(&mut self, prosody: &Prosody, place: usize, host: &str, odd_names: &[Domain]) {
        let Some(part) = self.hosts.get(place) else {
            return;
        };
        let domain = part.header.clone();
        let at = Part::Host(place);
        self.shared(prosody, at, host);
        self.http_host(prosody, at, host, &domain);
        let modules = prosody.config.modules(host);
        let has = |name: &str| modules.iter().any(|module| module == name);
        if has("invites_page") && !has("invites_register_web") {
            self.option(
                at,
                "registration_form",
                &json!(false),
                "invites_register_web is not among the modules of this host",
            );
        }
        if odd_names.iter().any(|odd| odd.as_str() == domain) {
            self.option(
                at,
                "usernames",
                &json!("any"),
                "there are invites for names with other characters than a-z 0-9 . _ -",
            );
        }
        self.xmpp(prosody, place, host, &domain);
    }

    /// Links begin with another name than the host's, so requests come with that name.
    fn http_host(&mut self, prosody: &Prosody, at: Part, host: &str, domain: &str) {
        if prosody.config.get(host, "http_host").is_some() {
            return;
        }
        let url = prosody.config.text(host, "http_external_url");
        let name = url
            .and_then(|url| url.parse::<::http::Uri>().ok())
            .and_then(|url| url.host().map(str::to_ascii_lowercase));
        if let Some(name) = name.filter(|name| name != domain) {
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
        let first = |name: &str, default: Option<u64>| match prosody.config.global(name) {
            Some(setting) => (numbers(&setting.value)[0].as_u64(), origin(setting)),
            None => (default, "Prosody's default".to_owned()),
        };
        let interface = ["c2s_interfaces", "interfaces"]
            .iter()
            .find_map(|name| prosody.config.global(name))
            .and_then(|setting| texts(&setting.value).into_iter().next())
            .filter(|address| !matches!(address.as_str(), "*" | "0.0.0.0" | "::"))
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        let address = |port: u64| {
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

fn origin(setting: &Setting) -> String {
    let host = match setting.host.as_str() {
        "*" => "all hosts",
        host => host,
    };
    format!("{} ({host})", setting.place)
}

/// A list of ports, which may be one port or a text.
fn numbers(value: &Value) -> Value {
    let ports: Vec<u64> = texts(value)
        .iter()
        .filter_map(|port| port.parse().ok())
        .collect();
    json!(ports)
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
