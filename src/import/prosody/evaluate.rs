//! Evaluates `prosody.cfg.lua` as Prosody 0.12 and 13 do, without giving it anything to do harm
//! with.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, StdLib, Table, Variadic};
use serde_json::Value;

use super::config::GLOBAL;
use super::lua::{MOST_DEPTH, json, sandbox};

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

/// What evaluating gave.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// By host and name: the value, and where it was set.
    pub(super) settings: BTreeMap<(String, String), (Value, String)>,
    pub(super) hosts: Vec<String>,
    pub(super) components: Vec<String>,
    /// What could not be followed.
    pub(super) problems: Vec<String>,
}

/// Evaluates a file and all that it includes. The error names file and line.
pub(super) fn evaluate(path: &Path) -> Result<Evaluated, String> {
    let complaint = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read(path).map_err(|e| complaint(&e))?;
    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
    let lua = sandbox(libraries, MEMORY, STEPS).map_err(|e| complaint(&e))?;
    let reader = Reader(Rc::new(RefCell::new(State::default())));
    reader
        .run(&lua, path, &text)
        .map_err(|e| reason(&e.to_string()))?;
    let state = reader.0.take();
    let settings = state.settings.into_iter();
    Ok(Evaluated {
        settings: settings
            .map(|(key, (value, place))| (key, (json(&value, MOST_DEPTH), place)))
            .collect(),
        hosts: state.hosts,
        components: state.components,
        problems: state.problems,
    })
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
        let folder = path.parent().unwrap_or(Path::new("."));
        let environment = self.environment(lua, folder)?;
        lua.load(text)
            .set_name(format!("@{}", path.display()))
            .set_mode(ChunkMode::Text)
            .set_environment(environment)
            .exec()
    }

    fn environment(&self, lua: &Lua, folder: &Path) -> mlua::Result<Table> {
        let environment = lua.create_table()?;
        for name in ["VirtualHost", "Host", "host"] {
            environment.raw_set(name, self.virtual_host(lua)?)?;
        }
        for name in ["Component", "component"] {
            environment.raw_set(name, self.component(lua)?)?;
        }
        for name in ["Include", "include"] {
            environment.raw_set(name, self.include(lua, folder.to_owned())?)?;
        }
        environment.raw_set("RunScript", self.run_script(lua)?)?;
        for (name, form) in [
            ("FileContents", Form::Whole),
            ("FileLine", Form::Line),
            ("FileLines", Form::Lines),
        ] {
            environment.raw_set(name, file_reader(lua, folder.to_owned(), form)?)?;
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
