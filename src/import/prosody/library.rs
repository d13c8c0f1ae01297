//! What the prelude of a configuration can ask of the machine: files, read and bounded, names, and
//! the environment.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use mlua::{Lua, Table};

use super::evaluate::{State, place};
use super::lua::spent;

/// The longest file that a configuration may read.
const LONGEST_FILE: u64 = 16 << 20;

/// A whole file, if it is one: a pipe could keep us for ever, a device give without end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(LONGEST_FILE + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::other("it is too large"));
    }
    Ok(text)
}

/// An environment variable; the state remembers which were not there.
pub(super) fn variable(lua: &Lua, state: &RefCell<State>, name: &str) -> mlua::Result<mlua::Value> {
    let mut state = state.borrow_mut();
    if let Some(text) = state.variables.get(name) {
        return lua.create_string(text).map(mlua::Value::String);
    }
    state.unset.insert(name.to_owned());
    Ok(mlua::Value::Nil)
}

/// The functions that the prelude is given.
pub(super) fn functions(lua: &Lua, state: &Rc<RefCell<State>>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    let unless_spent = lua.create_function(|lua, ()| {
        spent(lua).map_err(|_| mlua::Error::runtime(format!("{}: it takes too long", place(lua))))
    })?;
    host.raw_set("unless_spent", unless_spent)?;
    host.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    let noting = Rc::clone(state);
    let note = lua.create_function(move |lua, text: String| {
        let problem = format!("{}: {text}", place(lua));
        let mut state = noting.borrow_mut();
        if !state.problems.contains(&problem) {
            state.problems.push(problem);
        }
        Ok(())
    })?;
    host.raw_set("note", &note)?;
    let noting = note.clone();
    let refuse = lua.create_function(move |lua, what: String| {
        noting.call::<()>(format!("{what} was not done"))?;
        let why = format!("{}: {what} is not done here", place(lua));
        Err::<(), _>(mlua::Error::runtime(why))
    })?;
    host.raw_set("refuse", refuse)?;
    let reading = Rc::clone(state);
    let getenv = lua.create_function(move |lua, name: String| variable(lua, &reading, &name))?;
    host.raw_set("getenv", getenv)?;
    let read = lua.create_function(|lua, (folder, name): (PathBuf, String)| {
        let path = folder.join(name);
        Ok(match read(&path) {
            Ok(text) => (Some(lua.create_string(text)?), None),
            Err(error) => (None, Some(format!("{}: {error}", path.display()))),
        })
    })?;
    host.raw_set("read", read)?;
    let names = lua.create_function(|_, folder: PathBuf| {
        let mut names: Vec<String> = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.splice(0..0, [".".to_owned(), "..".to_owned()]);
        Ok(names)
    })?;
    host.raw_set("names", names)?;
    host.raw_set("attributes", lua.create_function(attributes)?)?;
    host.raw_set(
        "decode",
        lua.create_function(|lua, text: String| decode(lua, &text))?,
    )?;
    let uname = lua.create_function(move |lua, ()| {
        let kernel = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
            text.unwrap_or_default().trim().to_owned()
        };
        let machine = kernel("hostname");
        note.call::<()>(format!(
            "it asks for the name of its machine; here it is {machine:?}"
        ))?;
        let uname = lua.create_table()?;
        uname.raw_set("nodename", machine)?;
        uname.raw_set("sysname", kernel("ostype"))?;
        uname.raw_set("release", kernel("osrelease"))?;
        uname.raw_set("version", kernel("version"))?;
        uname.raw_set("machine", std::env::consts::ARCH)?;
        Ok(uname)
    })?;
    host.raw_set("uname", uname)?;
    Ok(host)
}

/// `lfs.attributes(path)` and `lfs.attributes(path, name)`, as far as configurations ask.
fn attributes(
    lua: &Lua,
    (path, name): (PathBuf, Option<String>),
) -> mlua::Result<(mlua::Value, Option<String>)> {
    let data = match fs::metadata(&path) {
        Ok(data) => data,
        Err(error) => {
            return Ok((
                mlua::Value::Nil,
                Some(format!("{}: {error}", path.display())),
            ));
        }
    };
    let form = if data.is_dir() {
        "directory"
    } else if data.is_file() {
        "file"
    } else {
        "other"
    };
    let changed = data.modified().ok();
    let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let attributes = lua.create_table()?;
    attributes.raw_set("mode", form)?;
    attributes.raw_set("size", data.len())?;
    attributes.raw_set("modification", changed.map_or(0, |at| at.as_secs()))?;
    let answer = match name {
        Some(name) => attributes.raw_get(name)?,
        None => mlua::Value::Table(attributes),
    };
    Ok((answer, None))
}

/// `util.json.decode`: nothing and a reason if it cannot be read.
fn decode(lua: &Lua, text: &str) -> mlua::Result<(mlua::Value, Option<String>)> {
    match serde_json::from_str(text) {
        Ok(value) => Ok((from_json(lua, &value)?, None)),
        Err(error) => Ok((mlua::Value::Nil, Some(error.to_string()))),
    }
}

fn from_json(lua: &Lua, value: &serde_json::Value) -> mlua::Result<mlua::Value> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(yes) => mlua::Value::Boolean(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(int) => mlua::Value::Integer(int),
            None => mlua::Value::Number(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => mlua::Value::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table()?;
            for item in items {
                table.raw_push(from_json(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
        Value::Object(map) => {
            let table = lua.create_table()?;
            for (key, item) in map {
                table.raw_set(key.as_str(), from_json(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}
