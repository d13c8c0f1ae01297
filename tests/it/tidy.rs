//! House rules that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn room(path: &Path) -> &str {
    let below = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("a path below src");
    below
        .iter()
        .next()
        .and_then(|part| part.to_str())
        .expect("a name")
}

/// Fails for every source file outside `rooms` that has one of `words`.
#[track_caller]
fn only_in(rooms: &[&str], words: &[&str]) {
    for (path, text) in sources("src") {
        let word = words.iter().find(|word| text.contains(*word));
        if let Some(word) = word {
            assert!(
                rooms.contains(&room(&path)),
                "{} has {word:?}",
                path.display()
            );
        }
    }
}

#[test]
fn sql_is_in_the_store_only() {
    only_in(
        &["store"],
        &[
            "rusqlite",
            "tokio_postgres",
            "insert into",
            "returning id",
            "select id",
        ],
    );
}

#[test]
fn xml_is_in_the_xmpp_room_only() {
    only_in(
        &["xmpp"],
        &["tokio_xmpp", "xso::", "minidom", "xmpp_parsers"],
    );
}

#[test]
fn axum_and_hyper_are_in_the_http_room_only() {
    only_in(&["http"], &["axum::", "hyper::", "hyper_util::"]);
}

#[test]
fn rooms_know_only_those_below_them() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "store",
            &[
                "crate::app",
                "crate::http",
                "crate::xmpp",
                "crate::config",
                "crate::cli",
            ],
        ),
        (
            "xmpp",
            &[
                "crate::app",
                "crate::http",
                "crate::store",
                "crate::config",
                "crate::cli",
            ],
        ),
        ("app", &["crate::http", "crate::cli"]),
        ("http", &["crate::cli"]),
        ("import", &["crate::http", "crate::cli"]),
        (
            "config",
            &[
                "crate::app",
                "crate::http",
                "crate::store",
                "crate::xmpp",
                "crate::cli",
            ],
        ),
    ];
    for (path, text) in sources("src") {
        for (_, words) in forbidden.iter().filter(|(name, _)| *name == room(&path)) {
            for word in *words {
                assert!(!text.contains(word), "{} knows {word}", path.display());
            }
        }
    }
}

#[test]
fn the_domain_does_no_input_or_output() {
    for (path, text) in sources("src") {
        // A file at the root of `src`, not one in a room.
        let is_domain = path.parent().is_some_and(|folder| folder.ends_with("src"));
        if is_domain && room(&path) != "main.rs" {
            for word in ["tokio::", "std::fs", "std::net", "async fn"] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources("src").into_iter().chain(sources("tests/it")) {
        assert!(
            text.starts_with("//! "),
            "{} does not begin with //!",
            path.display()
        );
    }
}

#[test]
fn the_table_of_capabilities_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/compatibility.md")).expect("the table");
    let mut tests = String::new();
    let mut folders = vec![root.join("tests"), root.join("src"), root.join("prosody")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let ours = !path.ends_with(".venv") && !path.ends_with("node_modules");
            if path.is_dir() && ours {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "py") {
                tests.push_str(&fs::read_to_string(&path).expect("a source file"));
            }
        }
    }
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let shown_by = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .expect("a cell");
        for name in shown_by.split('`').skip(1).step_by(2) {
            named += 1;
            let is_there = if name.contains('/') {
                root.join(name).exists()
            } else {
                tests.contains(&format!("def {name}(")) || tests.contains(&format!("fn {name}("))
            };
            assert!(is_there, "there is no test {name:?}");
        }
    }
    assert!(named > 40, "{named}");
}
