//! Evaluates Lua that others wrote: with a limit to memory and to instructions, text only, and
//! nothing within reach but what is handed in.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlua::chunk::ChunkMode;
use mlua::{HookTriggers, Lua, LuaOptions, StdLib, VmState};
use serde_json::{Map, Number, Value};

/// Memory for one file of data, in bytes; a million invites take about half of it.
const DATA_MEMORY: usize = 2 << 30;
const STEP: u32 = 1_000_000;
/// Steps for one file of data; an invite takes about twenty instructions.
const DATA_STEPS: u32 = 1_000;

/// Steps that a state may still take.
struct Left(Cell<u32>);

/// A Lua state that ends with an error when it takes too much.
pub(super) fn sandbox(libraries: StdLib, memory: usize, steps: u32) -> mlua::Result<Lua> {
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    lua.set_memory_limit(memory)?;
    lua.set_app_data(Left(Cell::new(steps)));
    let every = HookTriggers::new().every_nth_instruction(STEP);
    lua.set_hook(every, |lua, frame| {
        spent(lua).map_err(|_| {
            let source = frame.source().short_src.unwrap_or_default().into_owned();
            let line = frame.current_line().unwrap_or_default();
            mlua::Error::runtime(format!("{source}:{line}: it takes too long"))
        })?;
        if let Some(left) = lua.app_data_ref::<Left>() {
            left.0.set(left.0.get() - 1);
        }
        Ok(VmState::Continue)
    })?;
    Ok(lua)
}

/// An error if all steps are taken. Whatever catches errors has to ask.
pub(super) fn spent(lua: &Lua) -> mlua::Result<()> {
    match lua.app_data_ref::<Left>() {
        Some(left) if left.0.get() == 0 => Err(mlua::Error::runtime("it takes too long")),
        _ => Ok(()),
    }
}

/// What a data file holds, as far as it can be read, and what is wrong with the rest.
#[derive(Debug, Default)]
pub(super) struct DataFile {
    pub(super) entries: Map<String, Value>,
    /// Each names file and line.
    pub(super) problems: Vec<String>,
}

impl DataFile {
    /// Reads a file that Prosody's `util.datamanager` wrote: one `return { … };`.
    ///
    /// Of a file that was only half written, the entries that are whole are taken one by one.
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(path, &fs::read(path)?))
    }

    fn parse(path: &Path, text: &[u8]) -> Self {
        let whole = evaluate(text);
        if let Ok(entries) = whole {
            return Self {
                entries,
                problems: Vec::new(),
            };
        }
        let mut file = Self::default();
        for entry in entries(text) {
            match evaluate(&[b"return {\n", entry.text.as_slice(), b"}"].concat()) {
                Ok(found) => file.entries.extend(found),
                Err(_) => file.problems.push(format!(
                    "{}:{}: this entry is not whole; everything else in the file was read",
                    path.display(),
                    entry.line
                )),
            }
        }
        if file.problems.is_empty() {
            file.problems.push(format!(
                "{}:{}: the file ends too early; every whole entry in it was read",
                path.display(),
                text.split(|&byte| byte == b'\n').count()
            ));
        }
        file
    }
}

/// Lines that make up one entry of the outermost table.
struct Entry {
    line: usize,
    text: Vec<u8>,
}

/// COMPAT: Prosody indents with tabs and escapes every line break within a text, so a line that
/// begins with one tab and a bracket begins an entry of the outermost table.
fn entries(text: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let frame = matches!(line, b"" | b"return {" | b"};" | b"}");
        if line.starts_with(b"\t[") || (entries.is_empty() && !frame) {
            entries.push(Entry {
                line: number + 1,
                text: Vec::new(),
            });
        }
        if let Some(entry) = entries.last_mut()
            && !frame
        {
            entry.text.extend_from_slice(line);
            entry.text.push(b'\n');
        }
    }
    entries
}

fn evaluate(text: &[u8]) -> mlua::Result<Map<String, Value>> {
    let lua = sandbox(StdLib::NONE, DATA_MEMORY, DATA_STEPS)?;
    let table: mlua::Table = lua
        .load(text)
        .set_mode(ChunkMode::Text)
        .set_environment(lua.create_table()?)
        .eval()?;
    // What Prosody writes spells every value out.
    let mut budget = Budget(3 * text.len() + 1024);
    let mut entries = Map::new();
    table.for_each(|key: mlua::Value, value: mlua::Value| {
        if let Some(key) = text_of(&key) {
            entries.insert(key, budget.json(&value)?);
        }
        Ok(())
    })?;
    Ok(entries)
}

/// Tables within tables that are looked into.
const MOST_DEPTH: usize = 32;

/// How many values may still leave Lua, a long text counting for several: what stands in many
/// places there is one value to Lua's limit, and many to us.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// A Lua value as JSON: a table with nothing but the items 1 to n is a list, any other an
    /// object, and so is an empty one.
    pub(super) fn json(&mut self, value: &mlua::Value) -> mlua::Result<Value> {
        self.within(value, MOST_DEPTH)
    }

    fn within(&mut self, value: &mlua::Value, depth: usize) -> mlua::Result<Value> {
        let bytes = value.as_string().map_or(0, |text| text.as_bytes().len());
        self.0 = self
            .0
            .checked_sub(1 + bytes / 16)
            .ok_or_else(|| mlua::Error::runtime("it holds too much"))?;
        Ok(match value {
            mlua::Value::Boolean(yes) => Value::Bool(*yes),
            mlua::Value::Integer(int) => Value::Number((*int).into()),
            mlua::Value::Number(float) => number(*float),
            mlua::Value::Table(table) if depth > 0 => self.object(table, depth - 1)?,
            other => text_of(other).map_or(Value::Null, Value::String),
        })
    }

    /// The length that Lua tells of a table is any border in it, so the items are counted.
    fn object(&mut self, table: &mlua::Table, depth: usize) -> mlua::Result<Value> {
        let mut items = BTreeMap::new();
        let mut named = Map::new();
        table.for_each(|key: mlua::Value, value: mlua::Value| {
            let value = self.within(&value, depth)?;
            match key.as_usize().filter(|place| *place > 0) {
                Some(place) => {
                    items.insert(place, value);
                }
                None => {
                    if let Some(key) = text_of(&key) {
                        named.insert(key, value);
                    }
                }
            }
            Ok(())
        })?;
        let last = items.last_key_value().map(|(place, _)| *place);
        if named.is_empty() && last == Some(items.len()) {
            return Ok(items.into_values().collect());
        }
        named.extend(
            items
                .into_iter()
                .map(|(place, item)| (place.to_string(), item)),
        );
        Ok(Value::Object(named))
    }
}

/// COMPAT: Lua 5.1 and 5.2, which older Prosody ran on, have no integers.
pub(super) fn number(float: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked before"
    )]
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Value::Number((float as i64).into());
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

fn text_of(value: &mlua::Value) -> Option<String> {
    match value {
        mlua::Value::String(text) => Some(text.to_string_lossy()),
        mlua::Value::Integer(int) => Some(int.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "return {\n\t[\"-a\"] = {\n\t\t[\"roles\"] = {\n\t\t\t[\"prosody:admin\"] = true;\n\t\t};\n\t\t\
        [\"groups\"] = {};\n\t\t[\"list\"] = {\n\t\t\t\"x\";\n\t\t\t\"y\";\n\t\t};\n\t};\n\t[\"_b\"] = 1796061600;\n\t\
        [\"c\"] = \"m\\195\\188ll\\\"er\\n\";\n};\n";

    fn parse(text: &str) -> DataFile {
        DataFile::parse(Path::new("host/store.dat"), text.as_bytes())
    }

    #[test]
    fn a_file_is_read_as_prosody_means_it() {
        let file = parse(WHOLE);
        assert!(file.problems.is_empty());
        assert_eq!(
            Value::Object(file.entries),
            serde_json::json!({
                "-a": {"roles": {"prosody:admin": true}, "groups": {}, "list": ["x", "y"]},
                "_b": 1_796_061_600,
                "c": "müll\"er\n",
            })
        );
    }

    #[test]
    fn of_a_half_written_file_the_whole_entries_are_read() {
        let cut = WHOLE.find("\t[\"c\"]").expect("the entry is there") + 12;
        let file = parse(&WHOLE[..cut]);
        assert_eq!(file.entries.len(), 2);
        assert_eq!(file.problems.len(), 1);
        assert!(
            file.problems[0].starts_with("host/store.dat:13: "),
            "{:?}",
            file.problems
        );
        let without_end = parse(&WHOLE[..WHOLE.len() - 4]);
        assert_eq!(without_end.entries.len(), 3);
        assert_eq!(without_end.problems.len(), 1);
        assert_eq!(parse("").problems.len(), 1);
    }

    #[test]
    fn an_entry_broken_in_the_middle_takes_no_other_with_it() {
        let file = parse(&WHOLE.replace("\t[\"_b\"] = 1796061600;", "\t[\"_b\"] = \0\0\0"));
        assert_eq!(file.entries.len(), 2);
        assert_eq!(file.problems.len(), 1);
    }

    #[test]
    fn a_file_cannot_run_away_with_the_process() {
        for text in [
            "while true do end",
            "return { (\"x\"):rep(1e10) }",
            "return { os.exit() }",
            "local t = {} for i = 1, 1e9 do t[i] = { t } end",
        ] {
            let lua = sandbox(StdLib::NONE, 1 << 20, 3).expect("a state");
            let outcome = lua
                .load(text)
                .set_environment(lua.create_table().expect("a table"))
                .exec();
            assert!(outcome.is_err(), "{text}");
        }
        assert!(evaluate(b"\x1bLua").is_err());
    }
}
