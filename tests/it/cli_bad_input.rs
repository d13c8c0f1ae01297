//! Every field of the command line with what does not belong there: the field is named, the exit
//! code says so, nothing is stored.

use std::process::Command;

use tempfile::TempDir;

const CONFIG: &str = "data_path = \"data\"\n[hosts.\"example.com\"]\n[hosts.\"other.example\"]\n";

struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("invited.toml"), CONFIG).expect("a configuration");
        Self(folder)
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_invited"))
            .args(words)
            .env("INVITED_CONFIG", self.0.path().join("invited.toml"))
            .env_remove("RUST_LOG")
            .output()
            .expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code().expect("a code"),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Whatever is listed at both hosts, invites and keys.
    fn stored(&self) -> String {
        ["example.com", "other.example"]
            .iter()
            .flat_map(|host| {
                [
                    self.run(&["invite", "list", host, "--json"]).1,
                    self.run(&["key", "list", host, "--json"]).1,
                ]
            })
            .collect()
    }

    /// The command fails, names `what`, and leaves everything as it was.
    #[track_caller]
    fn refuses(&self, words: &[&str], what: &str) {
        let before = self.stored();
        let (code, told, errors) = self.run(words);
        assert!(code == 1 || code == 2, "{words:?}: {code} {told}{errors}");
        assert!(errors.contains(what), "{words:?}: {errors}");
        assert_eq!(told, "", "{words:?}");
        assert_eq!(self.stored(), before, "{words:?}");
    }
}

#[test]
fn a_bad_option_of_an_invite_is_named_and_nothing_is_stored() {
    let shell = Shell::new();
    let long_name = "x".repeat(1024);
    let long_note = "x".repeat(20_000);
    let long_token = "x".repeat(129);
    for (option, value, what) in [
        ("--username", "", "--username"),
        ("--username", "a b", "--username"),
        ("--username", "theo@other.example", "--username"),
        ("--username", "th\u{435}o", "username: "),
        ("--username", long_name.as_str(), "--username"),
        ("--max-uses", "0", "--max-uses"),
        ("--max-uses", "-1", "--max-uses"),
        ("--max-uses", "many", "--max-uses"),
        ("--max-uses", "99999999999999999999", "--max-uses"),
        ("--max-uses", "1000001", "--max-uses"),
        ("--expires-in", "", "--expires-in"),
        ("--expires-in", "soon", "--expires-in"),
        ("--expires-in", "-7d", "--expires-in"),
        ("--expires-in", "0", "--expires-in"),
        ("--expires-in", "3", "has no unit"),
        ("--expires-in", "99999d", "expires_in: "),
        ("--note", long_note.as_str(), "note: "),
        ("--note", &long_note[..1_001], "note: "),
        ("--token", "short", "--token"),
        ("--token", long_token.as_str(), "--token"),
        ("--token", "with blank in it", "--token"),
        ("--token", "one-use-only-token", "token: "),
    ] {
        shell.refuses(
            &[
                "invite",
                "create",
                "example.com",
                &format!("{option}={value}"),
            ],
            what,
        );
    }
    shell.refuses(&["invite", "create"], "<HOST>");
    shell.refuses(
        &["invite", "create", "example.com", "--username"],
        "--username",
    );
    shell.refuses(
        &[
            "invite",
            "create",
            "example.com",
            "--username=theo",
            "--max-uses=2",
        ],
        "max_uses: ",
    );
}

#[test]
fn a_bad_address_is_named_and_nothing_is_stored() {
    let shell = Shell::new();
    for command in ["contact", "reset"] {
        for address in ["nora", "nora@", "@example.com", "no ra@example.com", ""] {
            shell.refuses(&["invite", command, address], "is not USER@HOST");
        }
        shell.refuses(
            &["invite", command, "nora@nowhere.example"],
            "there are: example.com, other.example",
        );
        shell.refuses(
            &["invite", command, "nora@example.com", "--expires-in=never"],
            "expires_in: ",
        );
    }
}

#[test]
fn what_belongs_to_another_host_is_not_there() {
    let shell = Shell::new();
    let (_, made, _) = shell.run(&["invite", "create", "example.com", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let (_, key, _) = shell.run(&["key", "create", "example.com"]);
    let key_id = key.split('/').next().expect("an id");
    for name in ["token", "id", "url", "uri"] {
        let name = made[name].as_str().expect("a text");
        for command in ["show", "revoke", "restore"] {
            shell.refuses(
                &["invite", command, "other.example", name],
                "There is no such invite.",
            );
        }
        shell.refuses(
            &["invite", "change", "other.example", name, "--note=x"],
            "There is no such invite.",
        );
    }
    shell.refuses(
        &["key", "delete", "other.example", key_id],
        "There is no such key.",
    );
}

#[test]
fn a_bad_option_of_a_key_is_named_and_nothing_is_stored() {
    let shell = Shell::new();
    let long_name = "x".repeat(201);
    for (words, what) in [
        (&["--scope=everything"][..], "--scope"),
        (&["--expires-in=soon"], "--expires-in"),
        (&["--expires-in=-1"], "--expires-in"),
        (&["--max-per-day=0"], "--max-per-day"),
        (&["--max-per-day=-5"], "--max-per-day"),
        (&["--max-per-day=1e9"], "--max-per-day"),
        (&[long_name.as_str()], "name: "),
        (&["two\nlines"], "name: "),
    ] {
        shell.refuses(&[&["key", "create", "example.com"], words].concat(), what);
    }
    shell.refuses(&["key", "create", "nowhere.example"], "nowhere.example");
    shell.refuses(&["key", "create", "ex\u{430}mple.com"], "there are: ");
}
