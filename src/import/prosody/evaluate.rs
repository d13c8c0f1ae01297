//! Evaluates `prosody.cfg.lua` as Prosody 0.12 and 13 do, without giving it anything to do harm
//! with: the library of `prelude.lua`, and bounds on memory, instructions and time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, StdLib, Table};
use serde_json::Value;

use super::config::GLOBAL;
use super::library;
use super::lua::{Budget, sandbox, spent};

const MEMORY: usize = 64 << 20;
/// Steps of a million instructions.
const STEPS: u32 = 50;
/// Patterns and sorting run where instructions are not counted.
const LONGEST: Duration = Duration::from_secs(10);
const STACK: usize = 8 << 20;
/// What all options may hold together.
const MOST_VALUES: usize = 1 << 17;
/// Files that are included, and how deep.
const MOST_INCLUDES: usize = 200;
const DEEPEST_INCLUDE: usize = 20;
const PRELUDE: &str = include_str!("prelude.lua");

/// What evaluating gave.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// By host and name: the value, and where it was set. Hosts have what Prosody's own parser
    /// sets for them, such as `component_module`.
    pub(super) settings: BTreeMap<(String, String), (Value, String)>,
    /// Each `Include` that no file fits.
    pub(super) empty_includes: Vec<String>,
    /// What could not be followed.
    pub(super) problems: Vec<String>,
}

/// The environment.
pub(super) type Variables = BTreeMap<String, String>;

/// Evaluates a file and all that it includes. The error names file and line.
pub(super) fn evaluate(path: &Path, variables: Variables) -> Result<Evaluated, String> {
    let (answer, answered) = mpsc::channel();
    let file = path.to_owned();
    // A thread that runs for ever ends with the process, which has nothing more to do then.
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || answer.send(within_bounds(&file, variables)))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    answered.recv_timeout(LONGEST).unwrap_or_else(|_| {
        Err(format!(
            "{}: it takes longer than {} seconds to evaluate",
            path.display(),
            LONGEST.as_secs()
        ))
    })
}

fn within_bounds(path: &Path, variables: Variables) -> Result<Evaluated, String> {
    let complaint = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = library::read(path).map_err(|e| complaint(&e))?;
    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::OS | StdLib::UTF8;
    let lua = sandbox(libraries, MEMORY, STEPS).map_err(|e| complaint(&e))?;
    let state = State {
        variables,
        ..State::default()
    };
    let reader = Reader::new(&lua, state).map_err(|e| complaint(&e))?;
    if let Err(error) = reader.run(&lua, path, &text) {
        return Err(reason(
            path,
            &error.to_string(),
            &reader.state.borrow().unset,
        ));
    }
    let state = std::mem::take(&mut *reader.state.borrow_mut());
    let mut budget = Budget(MOST_VALUES);
    let mut settings = BTreeMap::new();
    for (key, (value, place)) in state.settings {
        let value = budget
            .json(&value)
            .map_err(|e| format!("{place}: {}: {e}", key.1))?;
        settings.insert(key, (value, place));
    }
    let mut problems = state.problems;
    if !state.unset.is_empty() {
        problems.push(format!(
            "{} asks for environment variables that this command does not have; if Prosody has them, give them here too: {}",
            path.display(),
            list(&state.unset)
        ));
    }
    Ok(Evaluated {
        settings,
        empty_includes: state.empty_includes,
        problems,
    })
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The host whose options are being set.
    current: Option<String>,
    settings: BTreeMap<(String, String), (mlua::Value, String)>,
    empty_includes: Vec<String>,
    includes: usize,
    depth: usize,
    pub(super) problems: Vec<String>,
    pub(super) variables: Variables,
    /// Environment variables that were asked for and are not there.
    pub(super) unset: BTreeSet<String>,
}

impl State {
    fn current(&self) -> String {
        self.current.clone().unwrap_or_else(|| GLOBAL.to_owned())
    }

    /// COMPAT: an option that is set to nothing is not set, so that the global one counts.
    fn set(&mut self, host: String, name: String, value: mlua::Value, place: String) {
        let key = (host, name);
        if value.is_nil() {
            self.settings.remove(&key);
        } else {
            self.settings.insert(key, (value, place));
        }
    }

    fn has(&self, host: &str, name: &str) -> bool {
        let key = (host.to_owned(), name.to_owned());
        self.settings.contains_key(&key)
    }
}

/// Evaluates one file after the other into the same state.
#[derive(Clone)]
struct Reader {
    state: Rc<RefCell<State>>,
    /// What the prelude leaves of Lua.
    globals: Table,
    /// Makes the functions that read files.
    opener: Function,
    /// Gives an option as the configuration sees it.
    option: Function,
}

impl Reader {
    fn new(lua: &Lua, state: State) -> mlua::Result<Self> {
        let state = Rc::new(RefCell::new(state));
        let host = library::functions(lua, &state)?;
        let (globals, opener, option) = lua.load(PRELUDE).set_name("=invited").call(host)?;
        Ok(Self {
            state,
            globals,
            opener,
            option,
        })
    }

    fn run(&self, lua: &Lua, path: &Path, text: &[u8]) -> mlua::Result<()> {
        self.state.borrow_mut().current = None;
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
        let readers = [
            ("FileContents", "a"),
            ("FileLine", "l"),
            ("FileLines", "lines"),
            ("RunScript", "run"),
        ];
        for (name, form) in readers {
            let reader: Function = self.opener.call((folder, form))?;
            environment.raw_set(name, reader)?;
        }
        environment.raw_set("Credential", self.credential(lua)?)?;
        environment.set_metatable(Some(self.access(lua)?))?;
        Ok(environment)
    }

    /// What happens when the file names something that is not there, or sets it.
    fn access(&self, lua: &Lua) -> mlua::Result<Table> {
        let access = lua.create_table()?;
        let reader = self.clone();
        let index = lua.create_function(move |lua, (_, name): (Table, String)| {
            if let Some(name) = name.strip_prefix("ENV_") {
                return library::variable(lua, &reader.state, name);
            }
            if name == "Lua" {
                return Ok(mlua::Value::Table(reader.globals.clone()));
            }
            let set = {
                let state = reader.state.borrow();
                let set = state.settings.get(&(state.current(), name.clone()));
                set.map(|(value, _)| value.clone())
            };
            match set {
                Some(value) => reader.option.call(value),
                None => reader.globals.raw_get(name),
            }
        })?;
        access.raw_set("__index", index)?;

        let reader = self.clone();
        let new_index =
            lua.create_function(move |lua, (_, name, value): (Table, String, mlua::Value)| {
                let place = place(lua);
                let mut state = reader.state.borrow_mut();
                let host = state.current();
                state.set(host, name, value, place);
                Ok(())
            })?;
        access.raw_set("__newindex", new_index)?;
        access.raw_set("__metatable", false)?;
        Ok(access)
    }

    fn virtual_host(&self, lua: &Lua) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: mlua::Value| {
            let name = prepared(lua, &name, "VirtualHost")?;
            let place = place(lua);
            {
                let mut state = reader.state.borrow_mut();
                if state.has(&name, "component_module") {
                    return Err(complaint(lua, &format!("{name:?} is a Component already")));
                }
                state.set(
                    name.clone(),
                    "defined".to_owned(),
                    mlua::Value::Boolean(true),
                    place,
                );
                state.current = Some(name.clone());
            }
            reader.options(lua, name)
        })
    }

    fn component(&self, lua: &Lua) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: mlua::Value| {
            let name = prepared(lua, &name, "Component")?;
            let here = place(lua);
            let module = lua.create_string("component").map(mlua::Value::String)?;
            {
                let mut state = reader.state.borrow_mut();
                if state.has(&name, "defined") && !state.has(&name, "component_module") {
                    return Err(complaint(
                        lua,
                        &format!("{name:?} is a VirtualHost already"),
                    ));
                }
                let mut set = |key: &str, value| {
                    state.set(name.clone(), key.to_owned(), value, here.clone());
                };
                set("component_module", module);
                set("load_global_modules", mlua::Value::Boolean(false));
                state.current = Some(name.clone());
            }
            // `Component "name" "module" { … }` and `Component "name" { … }`.
            let options = reader.options(lua, name.clone())?;
            let reader = reader.clone();
            lua.create_function(move |lua, next: mlua::Value| match next {
                mlua::Value::Table(table) => options.call(table),
                module => {
                    let here = place(lua);
                    let mut state = reader.state.borrow_mut();
                    state.set(name.clone(), "component_module".to_owned(), module, here);
                    Ok(mlua::Value::Function(options.clone()))
                }
            })
        })
    }

    /// `VirtualHost "name" { … }`: the table has options of that host, and what follows is global.
    fn options(&self, lua: &Lua, host: String) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, options: Table| {
            let place = place(lua);
            let mut state = reader.state.borrow_mut();
            state.current = None;
            options.for_each(|name: String, value: mlua::Value| {
                state.set(host.clone(), name, value, place.clone());
                Ok(())
            })
        })
    }

    /// COMPAT: Prosody evaluates a file with stars and question marks in the last part of its name
    /// for every file that fits, in the order of the folder; here it is the alphabet's.
    fn include(&self, lua: &Lua, folder: PathBuf) -> mlua::Result<Function> {
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            spent(lua)?;
            let path = folder.join(&name);
            let files = if name.contains(['*', '?']) {
                matching(&path)
            } else {
                vec![path.clone()]
            };
            if files.is_empty() {
                let empty = format!("{}: no file is {}", place(lua), path.display());
                reader.state.borrow_mut().empty_includes.push(empty);
            }
            for path in files {
                let before = {
                    let mut state = reader.state.borrow_mut();
                    state.includes += 1;
                    state.depth += 1;
                    if state.includes > MOST_INCLUDES || state.depth > DEEPEST_INCLUDE {
                        drop(state);
                        return Err(complaint(lua, "too many files are included"));
                    }
                    state.current.clone()
                };
                match library::read(&path) {
                    Ok(text) => reader.run(lua, &path, &text)?,
                    Err(error) => {
                        let problem = format!("{}: {}: {error}", place(lua), path.display());
                        reader.state.borrow_mut().problems.push(problem);
                    }
                }
                let mut state = reader.state.borrow_mut();
                state.current = before;
                state.depth -= 1;
            }
            Ok(())
        })
    }

    /// COMPAT: where systemd gives no folder, Prosody itself does not start and its commands go on
    /// without the value.
    fn credential(&self, lua: &Lua) -> mlua::Result<Function> {
        let folder = self
            .state
            .borrow()
            .variables
            .get("CREDENTIALS_DIRECTORY")
            .cloned();
        if let Some(folder) = folder {
            return self.opener.call((folder, "a"));
        }
        let reader = self.clone();
        lua.create_function(move |lua, name: String| {
            let problem = format!(
                "{}: Credential {name:?} was not read, since CREDENTIALS_DIRECTORY is not set here",
                place(lua)
            );
            reader.state.borrow_mut().problems.push(problem);
            Ok(mlua::Value::Nil)
        })
    }
}

/// The name of a host as Prosody keeps it.
fn prepared(lua: &Lua, name: &mlua::Value, what: &str) -> mlua::Result<String> {
    let text = match name {
        mlua::Value::String(name) => name.to_string_lossy(),
        _ => return Err(complaint(lua, &format!("a {what} must have a name"))),
    };
    stringprep::nameprep(&text)
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| {
            complaint(
                lua,
                &format!("the {what} {text:?} has forbidden characters"),
            )
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

/// Whether a name fits a pattern. Of several stars only the last one needs to be tried again.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut again = None;
    while place < name.len() {
        if pattern.get(at) == Some(&'*') {
            again = Some((at + 1, place));
            at += 1;
        } else if pattern
            .get(at)
            .is_some_and(|c| *c == '?' || *c == name[place])
        {
            (at, place) = (at + 1, place + 1);
        } else if let Some((after, start)) = again {
            again = Some((after, start + 1));
            (at, place) = (after, start + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// File and line of the configuration that runs now.
pub(super) fn place(lua: &Lua) -> String {
    (0..16)
        .find_map(|level| {
            lua.inspect_stack(level, |frame| {
                let line = frame.current_line()?;
                let source = frame.source().source?.into_owned();
                Some(format!("{}:{line}", source.strip_prefix('@')?))
            })
            .flatten()
        })
        .unwrap_or_default()
}

fn complaint(lua: &Lua, text: &str) -> mlua::Error {
    mlua::Error::runtime(format!("{}: {text}", place(lua)))
}

/// The first line of Lua's complaint, and what may be behind it.
fn reason(path: &Path, complaint: &str, unset: &BTreeSet<String>) -> String {
    let line = complaint
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("runtime error: ")
        .trim_start_matches("syntax error: ");
    let line = match line.strip_prefix("memory error: ") {
        Some(memory) => format!("{}: {memory}", path.display()),
        None => line.to_owned(),
    };
    let advice = if unset.is_empty() {
        "programs cannot be run here; give Prosody's data alone, or a plainer file".to_owned()
    } else {
        format!(
            "these environment variables are not set here, if Prosody has them: {}",
            list(unset)
        )
    };
    format!("{line} ({advice})")
}
