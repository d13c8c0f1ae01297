//! What `prosody.cfg.lua` says: the options of each host, and where each was set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::evaluate::{Variables, evaluate};

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
    /// Each `Include` that no file fits.
    pub(super) empty_includes: Vec<String>,
    /// What could not be followed.
    pub(super) problems: Vec<String>,
}

type Section = BTreeMap<String, Setting>;

/// COMPAT: what Prosody's module manager loads without being told.
const AUTOLOADED: [&str; 7] = [
    "c2s",
    "iq",
    "message",
    "offline",
    "presence",
    "s2s",
    "s2s_auth_certs",
];
/// COMPAT: what a component takes of the modules that are enabled for all hosts.
const OF_COMPONENTS: [&str; 8] = [
    "dialback",
    "iq",
    "s2s",
    "s2s_bidi",
    "saslauth",
    "server_contact_info",
    "smacks",
    "tls",
];

impl ProsodyConfig {
    /// Reads a file and all that it includes. The error names file and line.
    pub(super) fn load(path: &Path, variables: Variables) -> Result<Self, String> {
        let state = evaluate(path, variables)?;
        let mut hosts: BTreeMap<String, Section> = BTreeMap::new();
        for ((host, name), (value, place)) in state.settings {
            let setting = Setting {
                value,
                place,
                host: host.clone(),
            };
            hosts.entry(host).or_default().insert(name, setting);
        }
        // What is written counts from another folder.
        let path = std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self {
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            hosts,
            empty_includes: state.empty_includes,
            problems: state.problems,
        })
    }

    /// A configuration that says nothing, for a folder of data without one.
    pub(super) fn none() -> Self {
        Self {
            folder: PathBuf::from("."),
            hosts: BTreeMap::new(),
            empty_includes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The virtual hosts that are switched on, as Prosody writes them.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        let virtual_host = |host: &&str| !self.is_component(host) && self.off(host).is_none();
        self.names().filter(virtual_host)
    }

    /// Virtual hosts and components, whether they are switched on or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.hosts.keys().map(String::as_str);
        names.filter(|name| *name != GLOBAL)
    }

    pub(super) fn is_component(&self, host: &str) -> bool {
        self.own(host, "component_module").is_some()
    }

    /// What switches the host off.
    pub(super) fn off(&self, host: &str) -> Option<&Setting> {
        self.get(host, "enabled")
            .filter(|setting| setting.value == Value::Bool(false))
    }

    /// An option of a host; what the host does not say, the global part does.
    pub(super) fn get(&self, host: &str, name: &str) -> Option<&Setting> {
        self.own(host, name).or_else(|| self.global(name))
    }

    /// An option that the host sets itself.
    pub(super) fn own(&self, host: &str, name: &str) -> Option<&Setting> {
        self.hosts.get(host)?.get(name)
    }

    /// An option that holds for all hosts.
    pub(super) fn global(&self, name: &str) -> Option<&Setting> {
        self.own(GLOBAL, name)
    }

    /// The options that a host sets itself, or those for all hosts.
    pub(super) fn options(&self, host: &str) -> impl Iterator<Item = (&str, &Setting)> {
        let section = self.hosts.get(host).into_iter().flatten();
        section.map(|(name, setting)| (name.as_str(), setting))
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

    /// COMPAT: the modules of a host that its configuration leads to, as `get_modules_for_host` of
    /// Prosody's module manager has it: what is switched off for all hosts can be switched on in
    /// one, and a host that says nothing itself takes nothing off.
    pub(super) fn modules(&self, host: &str) -> BTreeSet<String> {
        let listed = |owner: &str, name: &str| {
            let setting = self.own(owner, name);
            // A text where a list should be has no items to Prosody.
            let list = setting.filter(|setting| !setting.value.is_string());
            list.map_or_else(Vec::new, |setting| items(&setting.value))
        };
        let mut modules: BTreeSet<String> = AUTOLOADED.map(str::to_owned).into();
        modules.extend(listed(GLOBAL, "modules_enabled"));
        for module in listed(GLOBAL, "modules_disabled") {
            modules.remove(&module);
        }
        if self.is_component(host) {
            modules.retain(|module| OF_COMPONENTS.contains(&module.as_str()));
        }
        modules.extend(listed(host, "modules_enabled"));
        for module in listed(host, "modules_disabled") {
            modules.remove(&module);
        }
        if modules.contains("vcard_legacy") {
            modules.remove("vcard");
        }
        modules
    }
}

/// COMPAT: the items of a list up to the first that is missing, as texts; a single value is a list
/// of one.
pub(super) fn items(value: &Value) -> Vec<String> {
    let text = |item: &Value| match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(map) => (1..)
            .map_while(|place: usize| map.get(&place.to_string()))
            .map(text)
            .collect(),
        Value::Null => Vec::new(),
        one => vec![text(one)],
    }
}

/// COMPAT: an option that is one value, of which a list has the first.
pub(super) fn scalar(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.first().cloned().unwrap_or(Value::Null),
        Value::Object(map) => map.get("1").cloned().unwrap_or(Value::Null),
        one => one.clone(),
    }
}

/// The texts of a list, a set, or a single text, as Prosody keeps roles and groups.
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
        let config = ProsodyConfig::load(&folder.path().join("prosody.cfg.lua"), Variables::new());
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
        let modules = config.modules("x.example");
        let ours: Vec<_> = modules.iter().filter(|name| name.len() == 1).collect();
        assert_eq!(ours, ["b", "c", "d"]);
    }

    #[test]
    fn a_configuration_that_cannot_be_evaluated_is_named_with_its_line() {
        for (text, line) in [
            ("x = 1\nlocal f = io.popen('hostname')", 2),
            ("x = 1\nlocal f = io.open('/tmp/x', 'w')", 2),
            ("\n\nos.execute('true')", 3),
            ("os.remove('/tmp/x')", 1),
            ("os.exit(1)", 1),
            ("x = {", 1),
            ("while true do end", 1),
            (
                "while true do pcall(function () while true do end end) end",
                1,
            ),
            ("x = ('x'):rep(1e10)", 1),
            ("x = setmetatable({}, { __gc = function () end })", 1),
            ("x = 1\n\nrequire 'socket.http'", 3),
            ("x = 1\nVirtualHost(nil)", 2),
            ("VirtualHost '\u{e000}.example'", 1),
            ("VirtualHost 'a.example'\nComponent 'a.example'", 2),
            ("Component 'a.example'\nVirtualHost 'A.example'", 2),
            ("Include 'prosody.cfg.lua'", 1),
            ("x = load('\\27Lua')()", 1),
        ] {
            let (_folder, config) = load(&[("prosody.cfg.lua", text)]);
            let error = config.expect_err(text);
            assert!(
                error.contains(&format!("prosody.cfg.lua:{line}:")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_configuration_that_wants_all_memory_is_named() {
        let text = "local t = {}\nfor i = 1, 1e9 do t[i] = { t } end";
        let (_folder, config) = load(&[("prosody.cfg.lua", text)]);
        let error = config.expect_err("it is refused");
        assert!(
            error.contains("prosody.cfg.lua: ") && error.contains("not enough memory"),
            "{error}"
        );
    }

    #[test]
    fn what_lua_counts_small_takes_no_more_here() {
        for text in [
            // A border of 2^34 in a table of forty items.
            "local s, i = { 1 }, 2\nwhile i <= 2^34 do s[math.tointeger(i)] = 1 i = i * 2 end\nt = s",
            // One table in many places.
            "t = {}\nlocal inner = {}\nfor i = 1, 40 do inner = { inner, inner } end\nt = inner",
            // One text in many places.
            "local s, text = {}, ('x'):rep(2^20)\nfor i = 1, 1e5 do s[i] = text end\nt = s",
            "local s = {}\ns.t, s.u = s, s\nt = s",
        ] {
            let (_folder, config) = load(&[("prosody.cfg.lua", text)]);
            match config {
                Ok(config) => {
                    let t = config.global("t").expect("it is set");
                    assert!(t.value.is_object(), "{text}");
                }
                Err(error) => assert!(error.contains("it holds too much"), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_had_here_is_named_and_the_rest_is_read() {
        for (line, named) in [
            ("x = FileLine 'missing'", "missing: No such file"),
            ("x = FileContents '/dev/zero'", "it is not a file"),
            ("x = FileLines '.'", "it is not a file"),
            ("x = Credential 'password'", "CREDENTIALS_DIRECTORY"),
            ("Include 'missing.cfg.lua'", "missing.cfg.lua: No such file"),
            ("RunScript 'missing.lua'", "missing.lua: No such file"),
            (
                "x = ENV_MISSING or os.getenv 'MISSING_TOO'",
                "give them here too: MISSING, MISSING_TOO",
            ),
            ("ok = pcall(os.execute, 'true')", "os.execute was not done"),
            (
                "ok = pcall(require, 'socket.http')",
                "require socket.http was not done",
            ),
            (
                "x = require 'util.pposix'.uname().nodename",
                "the name of its machine",
            ),
        ] {
            let text = format!("\n{line}\nVirtualHost 'a.example'\n");
            let (_folder, config) = load(&[("prosody.cfg.lua", &text)]);
            let config = config.expect(line);
            assert_eq!(config.hosts().collect::<Vec<_>>(), ["a.example"], "{line}");
            let problems = &config.problems;
            assert!(
                problems.len() == 1 && problems[0].contains(named),
                "{line}: {problems:?}"
            );
            if !line.contains("MISSING") {
                assert!(problems[0].contains("prosody.cfg.lua:2: "), "{problems:?}");
            }
        }
    }
}
