//! Where `invited` listens instead of Prosody: the same ports if Prosody leaves them, others if it
//! goes on needing them, and always one that links can lead to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Prosody;
use super::config::{GLOBAL, ProsodyConfig, Setting};
use super::settings::{Draft, Part, interfaces, origin, ports};

/// Prosody's modules that we replace.
const REPLACED: [&str; 6] = [
    "invites_api",
    "invites_bootstrap",
    "invites_page",
    "invites_register_api",
    "invites_register_web",
    "register_apps",
];
/// Modules that answer over HTTP without saying so in their names.
const OVER_HTTP: [&str; 33] = [
    "admin_web",
    "atom",
    "bosh",
    "candy",
    "captcha_registration",
    "component_http",
    "conversejs",
    "csi_battery_saver_http",
    "default_bookmarks_web",
    "host_status_check",
    "inverse",
    "jsxc",
    "measure_http",
    "muc_badge",
    "muc_log_http",
    "muc_size",
    "oauth2",
    "password_reset",
    "pastebin",
    "post_msg",
    "prometheus",
    "pubsub_feeds",
    "pubsub_forgejo",
    "pubsub_github",
    "pubsub_post",
    "register_json",
    "register_web",
    "rest",
    "server_status",
    "stanza_counter_http",
    "unified_push",
    "webpresence",
    "websocket",
];
/// Modules that only sound as if they answered over HTTP.
const NOT_OVER_HTTP: [&str; 6] = [
    "http",
    "http_auth_check",
    "http_dir_listing",
    "http_dir_listing2",
    "http_errors",
    "http_upload_external",
];
/// Ports that Prosody or `invited` may have without a word in the configuration.
const USUAL: [u16; 9] = [5000, 5222, 5223, 5269, 5270, 5280, 5281, 5282, 5347];
/// How far from Prosody's port ours is if both are needed.
const PORT_STEP: u16 = 10;
const OURS: [&str; 4] = ["/invites_api", "/invites_page", "/invite", "/register"];

/// Modules that go on needing Prosody's HTTP server, each with the hosts that have it.
fn others(config: &ProsodyConfig) -> BTreeMap<String, BTreeSet<String>> {
    let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for host in config.names().filter(|host| config.off(host).is_none()) {
        let mut modules = config.modules(host);
        modules.extend(config.text(host, "component_module").map(str::to_owned));
        for module in modules {
            let name = module.as_str();
            let answers = name.starts_with("http_") || OVER_HTTP.contains(&name);
            if answers && !NOT_OVER_HTTP.contains(&name) && !REPLACED.contains(&name) {
                others.entry(module).or_default().insert(host.to_owned());
            }
        }
    }
    others
}

/// The modules that have to go so that Prosody leaves its ports.
fn to_remove(config: &ProsodyConfig) -> String {
    let there: BTreeSet<String> = config
        .names()
        .flat_map(|host| config.modules(host))
        .filter(|module| REPLACED.contains(&module.as_str()))
        .collect();
    if there.is_empty() {
        "Prosody must have left the port".to_owned()
    } else {
        let there: Vec<_> = there.into_iter().collect();
        format!(
            "Prosody must have left the port, so take out {} there first",
            there.join(", ")
        )
    }
}

/// Other ports than Prosody's, near them, that nobody is known to have.
fn moved(ports: &[u16], taken: &mut BTreeSet<u16>) -> Vec<u16> {
    let mut ours = Vec::new();
    for port in ports {
        // Ports below 1024 are not for everybody.
        let start = (*port).max(5280).saturating_add(PORT_STEP);
        let free = (start..=u16::MAX)
            .chain(1024..start)
            .find(|port| !taken.contains(port));
        if let Some(free) = free {
            taken.insert(free);
            ours.push(free);
        }
    }
    ours
}

/// All ports that the configuration names.
fn named(config: &ProsodyConfig) -> BTreeSet<u16> {
    config
        .options(GLOBAL)
        .filter(|(name, _)| name.ends_with("_ports") || name.ends_with("_port"))
        .flat_map(|(_, setting)| ports(setting).0)
        .collect()
}

/// Ports of an option, and where they are from.
fn of(config: &ProsodyConfig, name: &str, default: u16) -> (Vec<u16>, String) {
    match config.global(name) {
        None => (vec![default], "Prosody's default".to_owned()),
        Some(setting) => {
            let (good, bad) = ports(setting);
            let mut from = origin(setting);
            if !bad.is_empty() {
                from = format!("{from}, without {}, which is no port", bad.join(", "));
            }
            (good, from)
        }
    }
}

impl Draft<'_> {
    pub(super) fn ports(&mut self, prosody: &Prosody) {
        let config = &prosody.config;
        for name in [
            "http_interfaces",
            "https_interfaces",
            "local_interfaces",
            "interfaces",
        ] {
            if let Some(setting) = config.global(name) {
                let value = json!(interfaces(setting));
                self.option(Part::Top, name, &value, &origin(setting));
            }
        }
        let others: Vec<String> = others(config)
            .into_iter()
            .map(|(module, hosts)| {
                let hosts: Vec<_> = hosts.into_iter().collect();
                format!("{module} ({})", hosts.join(", "))
            })
            .collect();
        let named = named(config);
        let mut taken = &named | &BTreeSet::from(USUAL);
        let (plain, from_plain) = of(config, "http_ports", 5280);
        let (secure, from_secure) = of(config, "https_ports", 5281);
        let mut ours = |ports: &[u16], from: &str| {
            if others.is_empty() {
                (ports.to_vec(), format!("{from}; {}", to_remove(config)))
            } else {
                let moved = moved(ports, &mut taken);
                let why = format!(
                    "{from}, moved to {moved:?}: Prosody needs {ports:?} for {}; have the proxy send {} here",
                    others.join(", "),
                    OURS.join(", ")
                );
                (moved, why)
            }
        };

        // Links of hosts without an address of their own lead to our ports.
        let proxied = |(host, _): &(String, _)| config.get(host, "http_external_url").is_some();
        let behind_proxy = prosody.hosts.iter().all(proxied);
        self.certificates(prosody);
        let found = secure.is_empty() || {
            let config = self.config();
            config.is_some_and(|config| !config.http.lacks_certificate)
        };
        let tls = !secure.is_empty() && found && (plain.is_empty() || !behind_proxy);

        if !plain.is_empty() {
            let (ports, from) = ours(&plain, &from_plain);
            self.option(Part::Top, "http_ports", &json!(ports), &from);
        } else if tls {
            self.option(Part::Top, "http_ports", &json!([]), &from_plain);
        } else {
            let ports = if named.contains(&5280) {
                moved(&[5280], &mut (&named | &BTreeSet::from(USUAL)))
            } else {
                vec![5280]
            };
            self.option(
                Part::Top,
                "http_ports",
                &json!(ports),
                &format!(
                    "{from_plain}: Prosody has none, but without any port nobody could open a link"
                ),
            );
        }
        if tls && others.is_empty() && config.global("https_ports").is_none() {
            self.comment(
                Part::Top,
                &format!(
                    "HTTPS is on Prosody's port, 5281, as soon as a certificate can be read; {}",
                    to_remove(config)
                ),
            );
        } else if tls {
            let (ports, from) = ours(&secure, &from_secure);
            self.option(Part::Top, "https_ports", &json!(ports), &from);
        } else {
            let why = if secure.is_empty() {
                from_secure
            } else if found {
                format!(
                    "{from_secure}: Prosody has {secure:?}; write them here when Prosody has left them"
                )
            } else {
                format!(
                    "{from_secure}: Prosody has {secure:?}, but no certificate was found for them; write them here when there is one"
                )
            };
            self.option(Part::Top, "https_ports", &json!([]), &why);
        }
    }

    /// What HTTPS needs, wherever Prosody says it.
    fn certificates(&mut self, prosody: &Prosody) {
        let config = &prosody.config;
        let folder = config.text("*", "certificates").unwrap_or("certs");
        let folder = config.path(folder);
        if let Some(setting) = config.global("certificates") {
            self.option(Part::Top, "certificates", &json!(folder), &origin(setting));
        } else if folder.is_dir() {
            self.option(
                Part::Top,
                "certificates",
                &json!(folder),
                "Prosody's default",
            );
        }
        if let Some(setting) = config.global("https_certificate") {
            let below = |path: &Value| match path.as_str() {
                Some(path) => json!(config.path(path)),
                None => path.clone(),
            };
            let value = match &setting.value {
                Value::Object(by_port) => by_port
                    .iter()
                    .map(|(port, path)| (port.clone(), below(path)))
                    .collect(),
                path => below(path),
            };
            self.option(Part::Top, "https_certificate", &value, &origin(setting));
        }
        for name in ["https_ssl", "ssl"] {
            if let Some(setting) = config.global(name) {
                self.pair(config, Part::Top, name, setting);
            }
        }
        for (place, (host, _)) in prosody.hosts.iter().enumerate() {
            if let Some(setting) = config.own(host, "ssl") {
                self.pair(config, Part::Host(place), "ssl", setting);
            }
        }
    }

    /// A certificate and its key by their files, if both are there.
    fn pair(&mut self, config: &ProsodyConfig, part: Part, name: &str, setting: &Setting) {
        let mut pair = Map::new();
        for file in ["certificate", "key"] {
            let Some(path) = setting.value.get(file).and_then(Value::as_str) else {
                return;
            };
            let path = config.path(path);
            if !path.is_file() {
                return self.comment(
                    part,
                    &format!(
                        "{name} ({}): {} is not there, so another certificate is searched for",
                        origin(setting),
                        path.display()
                    ),
                );
            }
            pair.insert(file.to_owned(), json!(path));
        }
        self.option(part, name, &Value::Object(pair), &origin(setting));
    }
}
