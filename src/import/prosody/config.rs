//! What `prosody.cfg.lua` says: the options of each host, and where each was set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::evaluate::evaluate;

pub(super) const GLOBAL: &str = "*";

/// The value of an option, and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    /// File and line.
    pub(super) place: String,
    /// The host that sets it, or `*`.
    pub(super) host: String,
}

/// Everything that was set.
#[derive(Debug)]
pub(super) struct ProsodyConfig {
    /// The folder that relative paths count from.
    pub(super) folder: PathBuf,
    hosts: BTreeMap<String, Section>,
    /// What could not be followed.
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Default)]
struct Section {
    is_component: bool,
    settings: BTreeMap<String, Setting>,
}

impl ProsodyConfig {
    /// Reads a file and all that it includes. The error names file and line.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let state = evaluate(path)?;
        let mut hosts: BTreeMap<String, Section> = BTreeMap::new();
        for name in state.components {
            hosts.entry(name).or_default().is_component = true;
        }
        for name in state.hosts {
            hosts.entry(name).or_default();
        }
        for ((host, name), (value, place)) in state.settings {
            let setting = Setting {
                value,
                place,
                host: host.clone(),
            };
            let section = hosts.entry(host).or_default();
            section.settings.insert(name, setting);
        }
        Ok(Self {
            folder: path.parent().unwrap_or(Path::new(".")).to_owned(),
            hosts,
            problems: state.problems,
        })
    }

    /// A configuration that says nothing, for a folder of data without one.
    pub(super) fn none() -> Self {
        Self {
            folder: PathBuf::from("."),
            hosts: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// The virtual hosts, as Prosody writes them.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts
            .iter()
            .filter(|(name, section)| *name != GLOBAL && !section.is_component)
            .map(|(name, _)| name.as_str())
    }

    /// An option of a host; what the host does not say, the global part does.
    pub(super) fn get(&self, host: &str, name: &str) -> Option<&Setting> {
        self.own(host, name).or_else(|| self.global(name))
    }

    /// An option that the host sets itself.
    pub(super) fn own(&self, host: &str, name: &str) -> Option<&Setting> {
        self.hosts.get(host)?.settings.get(name)
    }

    /// An option that holds for all hosts.
    pub(super) fn global(&self, name: &str) -> Option<&Setting> {
        self.own(GLOBAL, name)
    }

    /// A text option.
    pub(super) fn text(&self, host: &str, name: &str) -> Option<&str> {
        self.get(host, name)?.value.as_str()
    }

    /// A path of the configuration, which may be relative to it or begin with `~`.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => self.folder.join(text),
        }
    }

    /// The modules of a host that are loaded because the configuration says so.
    pub(super) fn modules(&self, host: &str) -> Vec<String> {
        let listed = |name| {
            self.get(host, name)
                .map_or_else(Vec::new, |setting| texts(&setting.value))
        };
        let disabled = listed("modules_disabled");
        let mut modules = listed("modules_enabled");
        // A host's own list adds to the global one.
        if let Some(global) = self.global("modules_enabled") {
            modules.extend(texts(&global.value));
        }
        modules.retain(|module| !disabled.contains(module));
        modules.sort();
        modules.dedup();
        modules
    }
}

/// The texts of a list, a set, or a single text, as Prosody takes all of them.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => map
            .iter()
            .filter(|(_, yes)| **yes != Value::Bool(false))
            .map(|(key, value)| value.as_str().unwrap_or(key).to_owned())
            .collect(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Bool(_) | Value::Null => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<ProsodyConfig, String>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            fs::write(path, text).expect("it is written");
        }
        let config = ProsodyConfig::load(&folder.path().join("prosody.cfg.lua"));
        (folder, config)
    }

    #[test]
    fn hosts_override_what_is_global() {
        let (folder, config) = load(&[(
            "prosody.cfg.lua",
            "site_name = 'All'\nports = { 5280 }\nVirtualHost 'A.example'\n\tsite_name = 'A'\n\
             VirtualHost \"b.example\" { site_name = 'B' }\nComponent 'rooms.a.example' 'muc'\n\tname = 'x'\n",
        )]);
        let config = config.expect("it is evaluated");
        assert_eq!(
            config.hosts().collect::<Vec<_>>(),
            ["a.example", "b.example"]
        );
        assert_eq!(config.text("a.example", "site_name"), Some("A"));
        assert_eq!(config.text("b.example", "site_name"), Some("B"));
        assert_eq!(config.text("c.example", "site_name"), Some("All"));
        let setting = config.get("a.example", "site_name").expect("it is set");
        let place = folder.path().join("prosody.cfg.lua");
        assert_eq!(setting.place, format!("{}:4", place.display()));
    }

    #[test]
    fn included_files_are_read_wherever_they_are() {
        let (_folder, config) = load(&[
            (
                "prosody.cfg.lua",
                "Include 'conf.d/*.cfg.lua'\nInclude \"missing.lua\"\nsite_name = FileContents('name')",
            ),
            (
                "conf.d/b.cfg.lua",
                "VirtualHost 'b.example' invite_expiry = 2",
            ),
            (
                "conf.d/a.cfg.lua",
                "VirtualHost 'a.example' invite_expiry = 1",
            ),
            ("conf.d/c.txt", "this is no Lua"),
            ("name", "From a file"),
        ]);
        let config = config.expect("it is evaluated");
        assert_eq!(
            config.hosts().collect::<Vec<_>>(),
            ["a.example", "b.example"]
        );
        assert_eq!(
            config.get("b.example", "invite_expiry").map(|s| &s.value),
            Some(&2.into())
        );
        assert_eq!(config.text("*", "site_name"), Some("From a file"));
        assert_eq!(config.problems.len(), 1);
        assert!(config.problems[0].contains("missing.lua"));
    }

    #[test]
    fn lists_of_prosody_13_can_be_added_to() {
        let (_folder, config) = load(&[(
            "prosody.cfg.lua",
            "modules_enabled = { 'a' }\nmodules_enabled { 'b' }\nmodules_enabled:append { 'c' }\n\
             modules_disabled = { 'a' }\nVirtualHost 'x.example'\nmodules_enabled = { 'd' }",
        )]);
        let config = config.expect("it is evaluated");
        assert_eq!(config.modules("x.example"), ["b", "c", "d"]);
    }

    #[test]
    fn a_configuration_that_cannot_be_evaluated_is_named_with_its_line() {
        for (text, line) in [
            ("x = 1\nlocal f = io.open('/etc/passwd')", 2),
            ("x = {", 1),
            ("while true do end", 1),
            ("x = 1\n\nrequire 'lfs'", 3),
        ] {
            let (_folder, config) = load(&[("prosody.cfg.lua", text)]);
            let error = config.expect_err("it is refused");
            assert!(
                error.contains(&format!("prosody.cfg.lua:{line}:")),
                "{error}"
            );
        }
    }
}
