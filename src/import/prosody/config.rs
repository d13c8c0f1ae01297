//! Evaluates `prosody.cfg.lua` as Prosody 0.12 and 13 do, without giving it anything to do harm
//! with: the values of options, and where each was set.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, StdLib, Table, Variadic};
use serde_json::Value;

use super::lua::{json, sandbox};

const MEMORY: usize = 64 << 20;
/// Steps of a million instructions.
const STEPS: u32 = 100;
/// Files that include files.
const MOST_INCLUDES: usize = 200;
/// What of Lua itself a configuration may use.
const SAFE: [&str; 13] = [
    "assert", "error", "ipairs", "math", "next", "pairs", "rawget", "select", "string", "table",
    "tonumber", "tostring", "type",
];
const GLOBAL: &str = "*";

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
        let complaint = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = fs::read(path).map_err(|e| complaint(&e))?;
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = sandbox(libraries, MEMORY, STEPS).map_err(|e| complaint(&e))?;
        let reader = Reader(Rc::new(RefCell::new(State::default())));
        reader
            .run(&lua, path, &text)
            .map_err(|e| reason(&e.to_string()))?;
        let state = reader.0.take();
        let mut hosts: BTreeMap<String, Section> = BTreeMap::new();
        for name in state.components {
            hosts.entry(name).or_default().is_component = true;
        }
        for name in state.hosts {
            hosts.entry(name).or_default();
        }
        for ((host, name), (value, place)) in state.settings {
            let setting = Setting {
                value: json(&value, 16),
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

#[derive(Debug, Default)]
struct State {
    /// The host whose options are being set.
    current: Option<String>,
    settings: BTreeMap<(String, String), (mlua::Value, String)>,
    hosts: Vec<String>,
    components: Vec<String>,
    includes: usize,
    problems: Vec<String>,
}

impl State {
    fn current(&self) -> String {
        self.current.clone().unwrap_or_else(|| GLOBAL.to_owned())
    }
}

/// Evaluates one file after the other into the same state.
#[derive(Clone)]
struct Reader(Rc<RefCell<State>>);

impl Reader {
    fn run(&self, lua: &Lua, path: &Path, text: &[u8]) -> mlua::Result<()> {
        self.0.borrow_mut().current = None;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let environment = self.environment(lua, folder)?;
        lua.load(text)
            .set_name(format!("@{}", path.display()))
            .set_mode(ChunkMode::Text)
            .set_environment(environment)
            .exec()
    }

    fn environment(&self, lua: &Lua, folder: PathBuf) -> mlua::Result<Table> {
        let environment = lua.create_table()?;
        for name in ["VirtualHost", "Host", "host"] {
            environment.raw_set(name, self.virtual_host(lua)?)?;
        }
        for name in ["Component", "component"] {
            environment.raw_set(name, self.component(lua)?)?;
        }
        for name in ["Include", "include"] {
            environment.raw_set(name, self.include(lua, folder.clone())?)?;
        }
        environment.raw_set("RunScript", self.run_script(lua)?)?;
        for (name, form) in [
            ("FileContents", Form::Whole),
            ("FileLine", Form::Line),
            ("FileLines", Form::Lines),
        ] {
            environment.raw_set(name, file_reader(lua, folder.clone(), form)?)?;
        }
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = file_reader(lua, credentials.unwrap_or_default(), Form::Whole)?;
        environment.raw_set("Credential", credential)?;
        environment.set_metatable(Some(self.access(lua)?))?;
        Ok(environment)
    }

    /// What happens when the file names something that is not there, or sets it.
    fn access(&self, lua: &Lua) -> mlua::Result<Table> {
        let safe = lua.create_table()?;
        for name in SAFE {
            safe.raw_set(name, lua.globals().raw_get::<mlua::Value>(name)?)?;
        }
        let os = lua.create_table()?;
        os.raw_set(
            "getenv",
            lua.create_function(|_, name: String| Ok(std::env::var(name).ok()))?,
        )?;
        safe.raw_set("os", os)?;

        let access = lua.create_table()?;
        let reader = self.clone();
        let index = lua.create_function(move |lua, (_, name): (Table, String)| {
            if let Some(name) = name.strip_prefix("ENV_") {
                return match std::env::var(name) {
                    Ok(text) => lua.create_string(text).map(mlua::Value::String),
                    Err(_) => Ok(mlua::Value::Nil),
                };
            }
            if name == "Lua" {
                return Ok(mlua::Value::Table(safe.clone()));
            }
            let state = reader.0.borrow();
            match state.settings.get(&(state.current(), name.clone())) {
                Some((value, _)) => Ok(value.clone()),
                None => safe.raw_get(name),
            }
        })?;
        access.raw_set("__index", index)?;

        let reader = self.clone();
        let appending = appending(lua)?;
        let new_index =
            lua.create_function(move |lua, (_, name, value): (Table, String, mlua::Value)| {
                if let mlua::Value::Table(table) = &value {
                    table.set_metatable(Some(appending.clone()))?;
                }
                let place = place(lua);
                let mut state = reader.0.borrow_mut();
                let key = (state.current(), name);
                state.settings.insert(key, (value, place));
                Ok(())
            })?;
        access.raw_set("__newindex", new_index)?;
        Ok(access)
    }

    fn virtual_host(&self, lua: &Lua) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            let name = name.to_lowercase();
            {
                let mut state = reader.0.borrow_mut();
                state.hosts.push(name.clone());
                state.current = Some(name.clone());
            }
            reader.options(lua, name)
        })
    }

    fn component(&self, lua: &Lua) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            let name = name.to_lowercase();
            {
                let mut state = reader.0.borrow_mut();
                state.components.push(name.clone());
                state.current = Some(name.clone());
            }
            // `Component "name" "module" { … }` and `Component "name" { … }`.
            let options = reader.options(lua, name)?;
            lua.create_function(move |_, next: mlua::Value| match next {
                mlua::Value::Table(table) => options.call(table),
                _ => Ok(mlua::Value::Function(options.clone())),
            })
        })
    }

    /// The function that takes the options in braces after a host's name.
    fn options(&self, lua: &Lua, host: String) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, options: Table| {
            let place = place(lua);
            let mut state = reader.0.borrow_mut();
            state.current = None;
            for pair in options.pairs::<String, mlua::Value>() {
                let (name, value) = pair?;
                state
                    .settings
                    .insert((host.clone(), name), (value, place.clone()));
            }
            Ok(mlua::Value::Nil)
        })
    }

    /// COMPAT: Prosody evaluates a file with stars and question marks in the last part of its name
    /// for every file that fits, in the order of the folder; here it is the alphabet's.
    fn include(&self, lua: &Lua, folder: PathBuf) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            let path = folder.join(&name);
            let files = if name.contains(['*', '?']) {
                matching(&path)
            } else {
                vec![path]
            };
            for path in files {
                let before = {
                    let mut state = reader.0.borrow_mut();
                    state.includes += 1;
                    if state.includes > MOST_INCLUDES {
                        return Err(mlua::Error::runtime("too many files are included"));
                    }
                    state.current.clone()
                };
                match fs::read(&path) {
                    Ok(text) => reader.run(lua, &path, &text)?,
                    Err(error) => reader
                        .0
                        .borrow_mut()
                        .problems
                        .push(format!("{}: {error}", path.display())),
                }
                reader.0.borrow_mut().current = before;
            }
            Ok(())
        })
    }

    fn run_script(&self, lua: &Lua) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            let problem = format!("{}: RunScript {name:?} was not followed", place(lua));
            reader.0.borrow_mut().problems.push(problem);
            Ok(())
        })
    }
}

/// Lets `option { … }` and `option:append { … }` add to a list, as Prosody 13 does.
fn appending(lua: &Lua) -> mlua::Result<Table> {
    let append = lua.create_function(|_, (list, more): (Table, Table)| {
        for pair in more.pairs::<mlua::Value, mlua::Value>() {
            let (key, value) = pair?;
            if key.is_integer() {
                list.raw_push(value)?;
            } else {
                list.raw_set(key, value)?;
            }
        }
        Ok(list)
    })?;
    let methods = lua.create_table()?;
    methods.raw_set("append", append.clone())?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", methods)?;
    metatable.raw_set("__call", append)?;
    Ok(metatable)
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Line,
    Lines,
    Whole,
}

fn file_reader(lua: &Lua, folder: PathBuf, form: Form) -> mlua::Result<Function> {
    lua.create_function(move |lua, (name, _): (String, Variadic<mlua::Value>)| {
        let path = folder.join(name);
        let text = fs::read(&path)
            .map_err(|e| mlua::Error::runtime(format!("{}: {e}", path.display())))?;
        let mut lines = text
            .strip_suffix(b"\n")
            .unwrap_or(&text)
            .split(|&byte| byte == b'\n');
        Ok(match form {
            Form::Line => mlua::Value::String(lua.create_string(lines.next().unwrap_or_default())?),
            Form::Lines => {
                let list = lua.create_table()?;
                for line in lines {
                    list.raw_push(lua.create_string(line)?)?;
                }
                mlua::Value::Table(list)
            }
            Form::Whole => mlua::Value::String(lua.create_string(&text)?),
        })
    })
}

/// The files that fit a path whose last part has stars or question marks.
fn matching(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(pattern)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let pattern: Vec<char> = pattern.to_string_lossy().chars().collect();
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            !name.starts_with('.') && fits(&pattern, &name.chars().collect::<Vec<_>>())
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            fits(rest, name) || matches!(name, [_, tail @ ..] if fits(pattern, tail))
        }
        (['?', rest @ ..], [_, tail @ ..]) => fits(rest, tail),
        ([letter, rest @ ..], [first, tail @ ..]) => letter == first && fits(rest, tail),
        _ => false,
    }
}

/// File and line of the configuration that runs now.
fn place(lua: &Lua) -> String {
    (0..8)
        .find_map(|level| {
            lua.inspect_stack(level, |frame| {
                let line = frame.current_line()?;
                let source = frame.source().source?.into_owned();
                Some(format!("{}:{line}", source.trim_start_matches('@')))
            })
            .flatten()
        })
        .unwrap_or_default()
}

/// The first line of Lua's complaint, and what to do about it.
fn reason(complaint: &str) -> String {
    let line = complaint
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("runtime error: ")
        .trim_start_matches("syntax error: ");
    format!(
        "{line} (options, Include, FileContents and os.getenv can be evaluated here, programs cannot)"
    )
}

#[cfg(test)]
mod tests {
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
