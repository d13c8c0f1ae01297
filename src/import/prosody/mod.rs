//! Moves in from Prosody 0.12 and 13: its configuration, and the stores of its invite modules in
//! files, SQLite or `PostgreSQL`. Safe while Prosody runs: everything is only read.

#[cfg(test)]
mod compared;
mod config;
mod evaluate;
mod library;
mod lua;
mod ports;
mod records;
mod settings;
mod spans;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value};

use super::{Found, FoundHost};
use crate::clock::Timestamp;
use crate::jid::Domain;
use crate::secret::Secret;
use crate::store::foreign::{Foreign, ForeignAddress, ProsodyRow};
use config::ProsodyConfig;
use evaluate::Variables;
use lua::DataFile;
use records::{OwnPage, Stored};

/// Where Debian's packages keep the configuration.
pub const USUAL_CONFIG: &str = "/etc/prosody/prosody.cfg.lua";
/// Where Debian's packages keep data.
const USUAL_DATA: &str = "/var/lib/prosody";
const INVITES: &str = "invite_token";
const KEYS: &str = "invite_api_keys";
const TRACKING: &str = "invites_tracking";

/// A Prosody beside us.
#[derive(Debug)]
pub struct Prosody {
    config: ProsodyConfig,
    config_path: PathBuf,
    data_path: PathBuf,
    /// As Prosody writes them, and as we do.
    hosts: Vec<(String, Domain)>,
    /// Hosts that do not come, each with the reason.
    left_out: Vec<String>,
}

/// Where a host keeps a store.
#[derive(Debug)]
enum Storage {
    Files,
    /// Something that we do not read, and what to do about it.
    Other(String),
    Postgres(ForeignAddress, Option<Secret>),
    Sqlite(PathBuf),
}

impl Prosody {
    /// Evaluates the configuration. Without one, `data_path` must be there; its folders are the
    /// hosts then. Only `hosts`, if any are named.
    pub fn open(
        config_path: &Path,
        data_path: Option<&Path>,
        hosts: &[String],
    ) -> Result<Self, String> {
        let config = match data_path {
            Some(_) if !config_path.exists() => ProsodyConfig::none(),
            _ => ProsodyConfig::load(config_path, variables())?,
        };
        let data_path = data_path.map_or_else(
            || config.path(config.text("*", "data_path").unwrap_or(USUAL_DATA)),
            Path::to_owned,
        );
        let mut known: BTreeSet<String> = config.hosts().map(str::to_owned).collect();
        let without_config = config.names().next().is_none() && !config_path.exists();
        if without_config {
            known = hosts_with_files(&data_path);
        }
        let asked: BTreeSet<String> = hosts.iter().map(|host| as_prosody_does(host)).collect();
        if let Some(unknown) = asked.difference(&known).next() {
            if let Some(off) = config.off(unknown) {
                return Err(format!(
                    "Prosody's host {unknown:?} is switched off (enabled = false, {})",
                    off.place
                ));
            }
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            return Err(format!(
                "Prosody has no host {unknown:?}; it has: {}",
                known.join(", ")
            ));
        }
        let mut prosody = Self {
            config,
            config_path: config_path.to_owned(),
            data_path,
            hosts: Vec::new(),
            left_out: Vec::new(),
        };
        for host in known {
            if asked.is_empty() || asked.contains(&host) {
                prosody.add(host);
            }
        }
        if asked.is_empty() {
            for host in prosody.config.names() {
                if let Some(off) = prosody.config.off(host)
                    && !prosody.config.is_component(host)
                {
                    prosody.left_out.push(format!(
                        "the host {host} is switched off (enabled = false, {}), so it was left out",
                        off.place
                    ));
                }
            }
        }
        if prosody.hosts.is_empty() {
            return Err(prosody.why_no_host(without_config));
        }
        Ok(prosody)
    }

    /// Takes a host if it is one to us, and no other one is the same to us.
    fn add(&mut self, host: String) {
        match host.parse::<Domain>() {
            Err(why) => self.left_out.push(format!(
                "the host {host:?} {why}, so it was left out with everything that belongs to it"
            )),
            Ok(domain) => match self.hosts.iter().find(|(_, other)| *other == domain) {
                Some((other, _)) => self.left_out.push(format!(
                    "the host {host:?} is the same as {other:?} here, so it was left out with everything that belongs to it"
                )),
                None => self.hosts.push((host, domain)),
            },
        }
    }

    fn why_no_host(&self, without_config: bool) -> String {
        if without_config {
            return format!(
                "{} has no folder of a host with invites or keys",
                self.data_path.display()
            );
        }
        let none = "there is no VirtualHost in it".to_owned();
        let whys: Vec<String> = if self.left_out.is_empty() {
            let empty = self.config.empty_includes.iter().cloned();
            let empty = empty.map(|include| format!("an Include finds nothing: {include}"));
            let why = std::iter::once(none).chain(empty);
            why.chain(self.config.problems.iter().cloned()).collect()
        } else {
            self.left_out.clone()
        };
        format!("{}: {}", self.config_path.display(), whys.join("; "))
    }

    /// Reads everything that the invite modules keep.
    pub async fn find(&self, now: Timestamp) -> Found {
        let mut found = Found {
            hosts: Vec::new(),
            problems: [self.config.problems.as_slice(), &self.left_out].concat(),
        };
        for (host, domain) in &self.hosts {
            let mut of_host = FoundHost::new(domain.clone());
            let store = self.read(host, KEYS, &mut of_host.problems).await;
            records::keys(&store, &mut of_host);
            let store = self.read(host, INVITES, &mut of_host.problems).await;
            records::invites(store, &self.own_page(host), now, &mut of_host);
            let store = self.read(host, TRACKING, &mut of_host.problems).await;
            records::tracking(store, &mut of_host);
            found.hosts.push(of_host);
        }
        for host in hosts_with_files(&self.data_path) {
            let known = self.config.names().any(|known| known == host);
            if !known && !self.hosts.iter().any(|(ours, _)| *ours == host) {
                found.problems.push(format!(
                    "{} has invites of {host}, which is no VirtualHost in {}",
                    self.data_path.display(),
                    self.config_path.display()
                ));
            }
        }
        found
    }

    /// An `invited.toml` that does as Prosody's configuration says; `odd_names` are the hosts that
    /// have invites for names which the usual rules refuse.
    pub fn settings(&self, target: &Path, odd_names: &[Domain]) -> String {
        settings::write(self, target, odd_names)
    }

    fn own_page(&self, host: &str) -> OwnPage {
        let path = |setting: Option<&config::Setting>| {
            let path = setting?.value.get("invites_page")?.as_str()?;
            Some(path.replace("$host", host))
        };
        let mounted = path(self.config.own(host, "http_paths"))
            .or_else(|| path(self.config.global("http_paths")));
        let external = self.config.get(host, "invites_page_external");
        OwnPage {
            path: mounted.unwrap_or_else(|| "/invites_page".to_owned()),
            external: external.is_some_and(|setting| setting.value == Value::Bool(true)),
        }
    }

    async fn read(&self, host: &str, store: &str, problems: &mut Vec<String>) -> Stored {
        let read = match self.storage(host, store) {
            Storage::Files => self.read_files(host, store, problems),
            Storage::Other(why) => Err(why),
            Storage::Postgres(address, password) => {
                match Foreign::connect_postgres(&address, password.as_ref()).await {
                    Ok(database) => read_rows(&database, host, store, problems).await,
                    Err(error) => Err(format!("PostgreSQL: {error}")),
                }
            }
            Storage::Sqlite(path) => match Foreign::open_sqlite(&path) {
                Ok(database) => read_rows(&database, host, store, problems)
                    .await
                    .map_err(|why| format!("{}: {why}", path.display())),
                Err(error) => Err(error.to_string()),
            },
        };
        read.unwrap_or_else(|why| {
            problems.push(format!("{store} was not read: {why}"));
            Stored::default()
        })
    }

    /// COMPAT: `storage` is a driver for all stores or a table by store; `default_storage` stands
    /// for what the table leaves out (storagemanager.lua).
    fn storage(&self, host: &str, store: &str) -> Storage {
        let driver = match self.config.get(host, "storage").map(|s| &s.value) {
            Some(Value::String(driver)) => Some(driver.as_str()),
            Some(table) => table.get(store).and_then(Value::as_str),
            None => None,
        };
        let driver = driver
            .or_else(|| self.config.text(host, "default_storage"))
            .unwrap_or("internal");
        match driver {
            "internal" => Storage::Files,
            "sql" | "sql2" => self.sql(host),
            // Nothing was kept.
            "memory" | "none" | "null" => Storage::Other(format!(
                "it is kept by the driver {driver:?}, which keeps nothing"
            )),
            other => Storage::Other(format!(
                "it is kept by the driver {other:?}; copy it into files with prosody-migrator, then give their folder as --data-path"
            )),
        }
    }

    fn sql(&self, host: &str) -> Storage {
        let options = self.config.get(host, "sql").map(|setting| &setting.value);
        let text = |name: &str| {
            let value = options?.get(name)?;
            Some(match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
        };
        let driver = text("driver").unwrap_or_else(|| "SQLite3".to_owned());
        match driver.to_lowercase().as_str() {
            "sqlite3" => {
                let file = text("database").unwrap_or_else(|| "prosody.sqlite".to_owned());
                Storage::Sqlite(self.data_path.join(file))
            }
            "postgresql" => Storage::Postgres(
                ForeignAddress {
                    host: text("host"),
                    port: text("port").and_then(|port| port.parse().ok()),
                    database: text("database").unwrap_or_else(|| "prosody".to_owned()),
                    user: text("username"),
                },
                text("password").map(Secret::new),
            ),
            _ => Storage::Other(format!(
                "it is in {driver}, which is not read; copy the stores {INVITES}, {KEYS} and {TRACKING} into files with prosody-migrator, then give their folder as --data-path"
            )),
        }
    }

    fn read_files(
        &self,
        host: &str,
        store: &str,
        problems: &mut Vec<String>,
    ) -> Result<Stored, String> {
        let folder = self.data_path.join(encoded(host));
        let mut read = |path: &Path| match DataFile::read(path) {
            Ok(file) => {
                problems.extend(file.problems);
                file.entries
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    problems.push(format!("{}: {error}", path.display()));
                }
                Map::new()
            }
        };
        let mut stored = Stored {
            host: read(&folder.join(format!("{store}.dat"))),
            ..Stored::default()
        };
        let users = folder.join(store);
        let entries = match fs::read_dir(&users) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
            Err(error) => return Err(format!("{}: {error}", users.display())),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(user) = name.strip_suffix(".dat").and_then(decoded) else {
                continue;
            };
            let user = stored.users.entry(user).or_default();
            user.entries = read(&path);
            user.written_at = entry.metadata().ok().and_then(|data| modified(&data));
        }
        Ok(stored)
    }
}

async fn read_rows(
    database: &Foreign,
    host: &str,
    store: &str,
    problems: &mut Vec<String>,
) -> Result<Stored, String> {
    let rows = database
        .prosody_rows(host, store)
        .await
        .map_err(|e| e.to_string())?;
    let mut stored = Stored::default();
    for row in rows {
        let Some(value) = value_of(&row) else {
            problems.push(format!(
                "{store}: a row of type {:?} cannot be read",
                row.form
            ));
            continue;
        };
        let entries = if row.user.is_empty() {
            &mut stored.host
        } else {
            &mut stored.users.entry(row.user).or_default().entries
        };
        // COMPAT: the row without a key holds what has keys that are no texts.
        if row.key.is_empty() {
            if let Value::Object(rest) = value {
                entries.extend(rest);
            }
        } else {
            entries.insert(row.key, value);
        }
    }
    Ok(stored)
}

fn value_of(row: &ProsodyRow) -> Option<Value> {
    match row.form.as_str() {
        "boolean" => row.value.parse().ok().map(Value::Bool),
        "json" => serde_json::from_str(&row.value).ok(),
        "number" => {
            let float: f64 = row.value.parse().ok()?;
            Some(lua::number(float))
        }
        "string" => Some(Value::String(row.value.clone())),
        _ => None,
    }
}

/// The environment, without what is no text.
fn variables() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// COMPAT: the name of a host as Prosody keeps it.
fn as_prosody_does(host: &str) -> String {
    stringprep::nameprep(host).map_or_else(|_| host.to_lowercase(), Into::into)
}

/// The hosts that have invites or keys in files.
fn hosts_with_files(data_path: &Path) -> BTreeSet<String> {
    fs::read_dir(data_path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            [INVITES, KEYS].iter().any(|store| {
                entry.path().join(store).is_dir()
                    || entry.path().join(format!("{store}.dat")).exists()
            })
        })
        .filter_map(|entry| decoded(&entry.file_name().to_string_lossy()))
        .collect()
}

/// COMPAT: Prosody's names of files have every byte but ASCII letters and digits as `%xx`, with
/// small letters (datamanager.lua).
fn encoded(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn modified(data: &fs::Metadata) -> Option<Timestamp> {
    let since = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_prosodys() {
        for (name, file) in [
            ("example.test", "example%2etest"),
            ("a+b_c-d", "a%2bb%5fc%2dd"),
            ("müller", "m%c3%bcller"),
        ] {
            assert_eq!(encoded(name), file);
            assert_eq!(decoded(file).as_deref(), Some(name));
        }
        assert_eq!(decoded("a%2"), None);
        assert_eq!(decoded("a%zz"), None);
    }

    #[test]
    fn values_of_sql_rows_have_their_types() {
        let row = |form: &str, value: &str| ProsodyRow {
            user: String::new(),
            key: "k".to_owned(),
            form: form.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(
            value_of(&row("number", "1796061600")),
            Some(1_796_061_600.into())
        );
        assert_eq!(
            value_of(&row("number", "1.7960616e+09")),
            Some(1_796_061_600.into())
        );
        assert_eq!(value_of(&row("boolean", "false")), Some(Value::Bool(false)));
        assert_eq!(
            value_of(&row("json", "{\"a\":1}")).map(|v| v["a"].clone()),
            Some(1.into())
        );
        assert_eq!(value_of(&row("json", "{half")), None);
        assert_eq!(value_of(&row("xml", "<a/>")), None);
    }
}
