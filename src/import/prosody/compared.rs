//! Our reading of `prosody.cfg.lua` held against Prosody's own, for each folder of
//! `tests/data/prosody` and each Prosody that there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use super::config::{GLOBAL, ProsodyConfig};
use super::evaluate::Variables;

/// Of the platform, not of the configuration; 0.12 loads it everywhere.
const PLATFORM: &str = "posix";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prosody");
    let entries = fs::read_dir(folder).expect("there are cases").flatten();
    let mut cases: Vec<_> = entries.map(|entry| entry.path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    cases
}

fn variables(case: &Path) -> Variables {
    let text = fs::read_to_string(case.join("variables")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| {
            let here = case.display().to_string();
            (name.to_owned(), value.replace("$HERE", &here))
        })
        .collect()
}

/// What Prosody reads: options by host, and modules by host.
fn read_by_prosody(source: &Path, case: &Path) -> Value {
    let read = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prosody/read.lua");
    let output = Command::new("lua5.4")
        .arg(read)
        .arg(source)
        // COMPAT: an option that is set twice is an error in files with a long path.
        .arg("./prosody.cfg.lua")
        .current_dir(case)
        .env_clear()
        .envs(variables(case))
        .output()
        .expect("lua5.4 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", case.display());
    // What the configuration prints stands before.
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().expect("a line");
    let mut read = serde_json::from_str(last).expect("JSON");
    normal(&mut read);
    read
}

/// Whole numbers are whole, whatever Lua keeps them as.
fn normal(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(normal),
        Value::Number(number) => *value = super::lua::number(number.as_f64().expect("a number")),
        Value::Object(map) => map.values_mut().for_each(normal),
        _ => {}
    }
}

fn check(source: &Path, case: &Path) {
    let name = format!("{} by {}", case.display(), source.display());
    let config = ProsodyConfig::load(&case.join("prosody.cfg.lua"), variables(case));
    let ours = config.unwrap_or_else(|why| panic!("{name}: {why}"));
    let theirs = read_by_prosody(source, case);
    let hosts = theirs["hosts"].as_object().expect("hosts");

    let named: BTreeSet<&str> = ours.names().chain([GLOBAL]).collect();
    let expected: BTreeSet<&str> = hosts.keys().map(String::as_str).collect();
    assert_eq!(named, expected, "{name}: hosts");
    for (host, options) in hosts {
        let options = options.as_object().expect("options");
        let read: Map<String, Value> = ours
            .options(host)
            .map(|(option, setting)| (option.to_owned(), setting.value.clone()))
            .collect();
        assert_eq!(
            Value::Object(read),
            Value::Object(options.clone()),
            "{name}: {host}"
        );
    }
    for (host, modules) in theirs["modules"].as_object().expect("modules") {
        let modules = modules.as_array().into_iter().flatten();
        let mut expected: BTreeSet<String> = modules
            .filter_map(|module| module.as_str().map(str::to_owned))
            .collect();
        let mut read = ours.modules(host);
        expected.remove(PLATFORM);
        read.remove(PLATFORM);
        assert_eq!(read, expected, "{name}: modules of {host}");
    }
    let enabled: BTreeSet<&str> = ours.hosts().collect();
    let expected: BTreeSet<&str> = hosts
        .iter()
        .filter(|(host, options)| {
            *host != GLOBAL && options["enabled"] != false && options["component_module"].is_null()
        })
        .map(|(host, _)| host.as_str())
        .collect();
    assert_eq!(enabled, expected, "{name}: hosts that are on");
}

#[test]
fn configurations_are_read_as_prosody_0_12_reads_them() {
    let source = Path::new("/usr/lib/prosody");
    for case in cases() {
        if !case.to_string_lossy().ends_with("-13") {
            check(source, &case);
        }
    }
}

#[test]
fn configurations_are_read_as_prosody_13_reads_them() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/prosody-13");
    let output = Command::new(script).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let folder = String::from_utf8_lossy(&output.stdout);
    let source = Path::new(folder.trim_end()).join("usr/lib/prosody");
    for case in cases() {
        check(&source, &case);
    }
}
