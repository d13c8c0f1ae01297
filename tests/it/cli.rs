//! Commands as an operator types them: output and exit codes.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = "data_path = \"data\"\n[hosts.\"example.com\"]\nhttp_external_url = \"https://example.com/\"\n";
        std::fs::write(folder.path().join("invited.toml"), text).expect("a configuration");
        Self(folder)
    }

    fn config(&self) -> std::path::PathBuf {
        self.0.path().join("invited.toml")
    }

    /// Exit code, standard output, standard error.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        told(
            invited()
                .args(words)
                .env("INVITED_CONFIG", self.config())
                .output()
                .expect("it runs"),
        )
    }
}

fn invited() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_invited"));
    command.env_remove("INVITED_CONFIG").env_remove("RUST_LOG");
    command
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("a code"),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_key_is_made_listed_and_deleted_as_prosodyctl_does() {
    let shell = Shell::new();
    for prefix in [&["key"][..], &["mod_invites_api"]] {
        let run = |words: &[&str]| shell.run(&[prefix, words].concat());
        let (code, key, errors) = run(&["create", "example.com", "My test key"]);
        assert_eq!((code, errors.as_str()), (0, ""));
        let (id, secret) = key.trim_end().split_once('/').expect("ID/SECRET");
        assert_eq!((id.len(), secret.len()), (8, 32));
        assert_eq!(
            run(&["list", "example.com"]),
            (0, format!("{id}\tMy test key\n"), String::new())
        );
        assert_eq!(
            run(&["delete", "example.com", id]),
            (0, String::new(), String::new())
        );
        assert_eq!(
            run(&["list", "example.com"]),
            (0, String::new(), String::new())
        );
        assert_eq!(run(&["delete", "example.com", id]).0, 1);
    }
}

#[test]
fn a_key_that_nobody_could_see_is_not_made() {
    let shell = Shell::new();
    let config = shell.config();
    let create = |output: std::process::Stdio| {
        let words = ["key", "create", "example.com"];
        let mut command = invited();
        command
            .args(words)
            .env("INVITED_CONFIG", &config)
            .stdout(output);
        let child = command.stderr(std::process::Stdio::piped()).spawn();
        told(
            child
                .and_then(std::process::Child::wait_with_output)
                .expect("it runs"),
        )
    };
    let full = std::fs::File::create("/dev/full").expect("a full output");
    let (reader, unread) = std::io::pipe().expect("a pipe");
    drop(reader);
    for (output, why) in [
        (full.into(), "No space left"),
        (unread.into(), "nobody reads it"),
        (std::process::Stdio::null(), "none was made"),
    ] {
        let (code, _, errors) = create(output);
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
    let mut closed = Command::new("sh");
    let line = "exec \"$0\" key create example.com >&-";
    closed.args(["-c", line, env!("CARGO_BIN_EXE_invited")]);
    closed.env("INVITED_CONFIG", &config);
    let (code, _, errors) = told(closed.output().expect("it runs"));
    assert_eq!(code, 1, "{errors}");
    assert_eq!(shell.run(&["key", "list", "example.com"]).1, "");
}

#[test]
fn a_note_has_the_same_length_at_every_door() {
    let shell = Shell::new();
    let (good, long) = ("ü".repeat(1_000), "ü".repeat(1_001));
    for words in [
        ["create", "example.com"],
        ["contact", "nora@example.com"],
        ["reset", "nora@example.com"],
    ] {
        let ask = |note: &str| shell.run(&["invite", words[0], words[1], "--note", note]);
        assert_eq!(ask(&good).0, 0);
        let (code, _, errors) = ask(&long);
        assert_eq!(code, 1);
        // For an account that has to be there: first that no daemon could be asked about it.
        let (warnings, refusals): (Vec<_>, Vec<_>) = errors
            .lines()
            .partition(|line| line.starts_with("invited: warning: the chat server was not asked"));
        assert_eq!(
            warnings.len(),
            usize::from(words[0] != "create"),
            "{errors}"
        );
        assert_eq!(
            refusals,
            ["invited: note: it is longer than 1000 characters"]
        );
    }
    let (_, link, _) = shell.run(&["invite", "create", "example.com"]);
    let change = |note: &str| {
        shell.run(&[
            "invite",
            "change",
            "example.com",
            link.trim(),
            "--note",
            note,
        ])
    };
    assert_eq!((change(&good).0, change(&long).0), (0, 1));
}

#[test]
fn a_key_without_a_name_is_listed_as_unknown() {
    let shell = Shell::new();
    let (_, key, _) = shell.run(&["key", "create", "example.com"]);
    let id = key.split('/').next().expect("an id");
    assert_eq!(
        shell.run(&["key", "list", "example.com"]).1,
        format!("{id}\t<unknown>\n")
    );
}

#[test]
fn the_alias_fails_where_prosody_forgets_to() {
    let shell = Shell::new();
    let (code, told, _) = shell.run(&["mod_invites_api", "frobnicate", "example.com"]);
    assert_eq!((code, told.as_str()), (1, "Unknown command - frobnicate\n"));
    assert_eq!(shell.run(&["mod_invites_api", "create"]).0, 1);
    assert_eq!(
        shell.run(&["mod_invites_api", "list", "nowhere.example"]).0,
        1
    );
}

#[test]
fn an_unknown_host_is_answered_with_those_that_exist() {
    let shell = Shell::new();
    let (code, _, errors) = shell.run(&["invite", "create", "nowhere.example"]);
    assert_eq!(code, 1);
    assert_eq!(
        errors,
        "invited: There is no host \"nowhere.example\"; there is: example.com\n"
    );
}

#[test]
fn the_configuration_may_be_named_before_and_after_the_command() {
    let shell = Shell::new();
    let config = shell.config();
    let config = config.to_str().expect("a path");
    for words in [
        ["--config", config, "invite", "create", "example.com"],
        ["invite", "create", "example.com", "--config", config],
    ] {
        let (code, link, errors) = told(invited().args(words).output().expect("it runs"));
        assert_eq!((code, errors.as_str()), (0, ""));
        assert!(link.starts_with("https://example.com/invite?"), "{link}");
    }
}

#[test]
fn wrong_words_and_wrong_configuration_exit_with_2() {
    let shell = Shell::new();
    assert_eq!(
        shell
            .run(&["invite", "create", "example.com", "--max-uses", "0"])
            .0,
        2
    );
    assert_eq!(
        shell
            .run(&["invite", "create", "example.com", "--expires-in", "soon"])
            .0,
        2
    );
    assert_eq!(shell.run(&["frobnicate"]).0, 2);
    std::fs::write(shell.config(), "http_port = [1]\n").expect("written");
    let (code, _, errors) = shell.run(&["config", "check"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("invited.toml:1: unknown key \"http_port\"; did you mean \"http_ports\"?"),
        "{errors}"
    );
}

#[test]
fn serve_says_what_keeps_it_from_starting() {
    let shell = Shell::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let base = std::fs::read_to_string(shell.config()).expect("a configuration");
    let serve = |options: &str| {
        std::fs::write(shell.config(), format!("{options}\n{base}")).expect("written");
        let (code, _, errors) = shell.run(&["serve"]);
        (code, errors)
    };

    let (code, errors) = serve(&format!(
        "http_ports = [{port}]\nbridge.listen = \"127.0.0.1:0\""
    ));
    assert_eq!(code, 2, "{errors}");
    let expected = format!("invited.toml: http_ports: cannot listen on 127.0.0.1:{port}: ");
    assert!(errors.contains(&expected), "{errors}");

    let (code, errors) = serve(&format!("bridge.listen = \"127.0.0.1:{port}\""));
    assert_eq!(code, 2, "{errors}");
    assert!(
        errors.contains("invited.toml: bridge.listen: cannot listen on"),
        "{errors}"
    );

    let folder = shell.0.path().join("data/secrets");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (code, errors) = serve("bridge.secret_file = \"secrets\"");
    assert_eq!(code, 2, "{errors}");
    let expected = format!("bridge.secret_file: {}: ", folder.display());
    assert!(errors.contains(&expected), "{errors}");
}

#[test]
fn secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let shell = Shell::new();
    shell.run(&["invite", "create", "example.com"]);
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("a file")
            .permissions()
            .mode()
            & 0o777
    };
    let data = shell.0.path().join("data");
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("link.key")), 0o600);
    assert_eq!(mode(&data.join("invited.sqlite")), 0o600);
}

#[test]
fn a_token_or_id_may_begin_with_a_dash() {
    let shell = Shell::new();
    let (code, _, errors) = shell.run(&["key", "delete", "example.com", "-abc"]);
    assert_eq!(
        (code, errors.as_str()),
        (1, "invited: There is no such key.\n")
    );
    let (code, _, errors) = shell.run(&["invite", "show", "example.com", "-begins-with-a-dash-"]);
    assert_eq!(
        (code, errors.as_str()),
        (1, "invited: There is no such invite.\n")
    );
}

#[test]
fn an_invite_is_shown_listed_and_revoked() {
    let shell = Shell::new();
    let (_, made, _) = shell.run(&[
        "invite",
        "create",
        "example.com",
        "--username",
        "theo",
        "--note",
        "for Theo",
        "--json",
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!(
        (&made["username"], &made["max_uses"], &made["uses"]),
        (&"theo".into(), &1.into(), &0.into())
    );
    let token = made["token"].as_str().expect("a token");
    let (_, list, _) = shell.run(&["invite", "list", "example.com", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list[0]["token"], token);
    assert_eq!(shell.run(&["invite", "revoke", "example.com", token]).0, 0);
    assert_eq!(shell.run(&["invite", "revoke", "example.com", token]).0, 1);
    let (_, shown, _) = shell.run(&["invite", "show", "example.com", token]);
    assert!(shown.contains("state    revoked"), "{shown}");
}

#[test]
fn a_whole_address_is_taken_for_a_name_and_one_elsewhere_explained() {
    let shell = Shell::new();
    let create = |name| {
        let words = [
            "invite",
            "create",
            "example.com",
            "--username",
            name,
            "--json",
        ];
        shell.run(&words)
    };
    let (code, made, _) = create("Theo@example.com");
    assert_eq!(code, 0);
    assert!(made.contains("xmpp:theo@example.com?"), "{made}");
    let (code, _, errors) = create("theo@other.example");
    assert_eq!(code, 2);
    assert!(
        errors.contains("those here end with @example.com"),
        "{errors}"
    );
    let generate = |name| shell.run(&["mod_invites", "generate", "example.com", "--reset", name]);
    assert_eq!(generate("nora@example.com").0, 0);
    assert_eq!(generate("nora@other.example").0, 2);
}

#[test]
fn a_data_path_that_is_a_file_is_called_one() {
    let shell = Shell::new();
    std::fs::write(shell.0.path().join("data"), "").expect("a file");
    for words in [&["invite", "create", "example.com"][..], &["serve"]] {
        let (code, _, errors) = shell.run(words);
        assert_eq!(code, 2);
        let path = shell.0.path().join("data");
        let says = format!("data_path: {} is a file; name a folder", path.display());
        assert!(errors.contains(&says), "{errors}");
    }
}

#[test]
fn an_invite_is_changed_and_restored() {
    let shell = Shell::new();
    let run = |words: &[&str]| shell.run(&[&["invite"], words].concat());
    let token = "spring-party-2027";
    let (code, link, errors) = run(&[
        "create",
        "example.com",
        "--max-uses",
        "20",
        "--token",
        token,
    ]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(link, "https://example.com/invite?spring-party-2027\n");

    assert_eq!(
        run(&["change", "example.com", token]).0,
        2,
        "what to change?"
    );
    let change = [
        "change",
        "example.com",
        token,
        "--unlimited",
        "--note",
        "for all",
    ];
    assert_eq!(run(&change), (0, String::new(), String::new()));
    let (_, shown, _) = run(&["show", "example.com", token, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        (&shown["max_uses"], &shown["note"]),
        (&serde_json::Value::Null, &"for all".into())
    );

    assert_eq!(
        run(&["restore", "example.com", token]),
        (
            1,
            String::new(),
            "invited: This invite is not revoked.\n".into()
        )
    );
    assert_eq!(run(&["revoke", "example.com", token]).0, 0);
    assert_eq!(run(&["restore", "example.com", token]).0, 0);
    let (_, shown, _) = run(&["show", "example.com", token]);
    assert!(shown.contains("state    open"), "{shown}");
}

#[test]
fn a_user_without_history_is_told_as_such() {
    let shell = Shell::new();
    let (code, shown, _) = shell.run(&["user", "show", "nora@example.com"]);
    assert_eq!(
        (code, shown.as_str()),
        (
            0,
            "nora@example.com\n  no record of how this account was made\n  open invites: 0\n  invited nobody so far\n"
        )
    );
    shell.run(&["invite", "contact", "nora@example.com"]);
    let (_, shown, _) = shell.run(&["user", "show", "nora@example.com", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["open_invites"], 1);
    assert_eq!(
        shell.run(&["user", "revoke-invites", "nora@example.com"]),
        (0, "Revoked 1 invite.\n".into(), String::new())
    );
    assert_eq!(shell.run(&["user", "show", "nora"]).0, 2);
}

#[test]
fn a_backup_holds_what_there_is_and_overwrites_nothing() {
    let shell = Shell::new();
    let target = shell.0.path().join("copy.sqlite");
    let file = target.to_str().expect("a path");
    let (code, _, errors) = shell.run(&["backup", file]);
    assert_eq!(code, 1);
    assert!(errors.contains("there is no database yet"), "{errors}");

    let (_, link, _) = shell.run(&["invite", "create", "example.com"]);
    let (code, told, errors) = shell.run(&["backup", file]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(told.contains("link.key"), "{told}");
    let (code, _, errors) = shell.run(&["backup", file]);
    assert_eq!(code, 1);
    assert!(errors.contains("copy.sqlite: File exists"), "{errors}");

    // Restoring: the copy in place of the file, with nothing of the old one beside it.
    let data = shell.0.path().join("data");
    for name in ["invited.sqlite", "invited.sqlite-wal", "invited.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    std::fs::rename(&target, data.join("invited.sqlite")).expect("moved");
    let (_, list, _) = shell.run(&["invite", "list", "example.com", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list[0]["url"], link.trim_end());
}

#[test]
fn doctor_names_what_is_not_there() {
    let shell = Shell::new();
    let base = std::fs::read_to_string(shell.config()).expect("a configuration");
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    drop(nobody);
    let text = format!(
        "bridge.listen = \"127.0.0.1:{port}\"\n{base}xmpp.address = \"127.0.0.1:{port}\"\n"
    );
    std::fs::write(shell.config(), text).expect("written");
    let (code, told, errors) = shell.run(&["doctor"]);
    assert_eq!(code, 1, "{told}{errors}");
    assert!(
        told.contains("invited.sqlite can be read and written"),
        "{told}"
    );
    let expected = format!("PROBLEM  no daemon answers on 127.0.0.1:{port} (bridge.listen)");
    assert!(told.contains(&expected), "{told}");
    assert!(told.contains("PROBLEM  example.com: "), "{told}");
    assert_eq!(errors, "invited: there are 2 problems\n");
}

#[test]
fn the_description_of_the_api_needs_no_configuration() {
    let output = invited().arg("openapi").output().expect("it runs");
    let (code, text, errors) = told(output);
    assert_eq!((code, errors.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
}

/// A Prosody with one invite and one key, without a Prosody.
fn prosody(folder: &Path) -> String {
    let data = folder.join("prosody/example%2ecom");
    std::fs::create_dir_all(&data).expect("a folder");
    let invite = "return {\n\t[\"-Hq2mZc4XwTn9BvKd1Ry5LpA\"] = {\n\t\t[\"type\"] = \"register\";\n\t\t\
                  [\"jid\"] = \"example.com\";\n\t\t[\"expires\"] = 4102444800;\n\t};\n};\n";
    std::fs::write(data.join("invite_token.dat"), invite).expect("it is written");
    let key = "return {\n\t[\"-id\"] = {\n\t\t[\"token\"] = \"secret\";\n\t};\n};\n";
    std::fs::write(data.join("invite_api_keys.dat"), key).expect("it is written");
    let config = folder.join("prosody.cfg.lua");
    let text = "data_path = \"prosody\"\nVirtualHost \"example.com\"\n\tsite_name = \"Home\"\n";
    std::fs::write(&config, text).expect("it is written");
    config.to_str().expect("a path").to_owned()
}

#[test]
fn an_import_can_be_tried_and_repeated() {
    let shell = Shell::new();
    let prosody = prosody(shell.0.path());
    let import = ["import", "prosody", "--prosody-config", &prosody];

    let (code, told, _) = shell.run(&[&import[..], &["--dry-run"]].concat());
    assert_eq!(code, 0);
    let begin = "example.com\tAPI keys\t1\nexample.com\taccount invites, open\t1\n\n";
    assert!(told.starts_with(begin), "{told}");
    assert!(told.contains("site_name = \"Home\""), "{told}");
    assert!(!shell.0.path().join("data").exists());

    for (new, there) in [(1, 0), (0, 1)] {
        let (code, told, _) = shell.run(&import);
        let expected = format!(
            "example.com\tAPI keys\t1\t{new}\t{there}\nexample.com\taccount invites, open\t1\t{new}\t{there}\n"
        );
        assert_eq!((code, told), (0, expected));
    }
    assert_eq!(
        shell.run(&["key", "list", "example.com"]).1,
        "-id\t<unknown>\n"
    );
}

#[test]
fn an_import_says_what_it_cannot_take() {
    let shell = Shell::new();
    let prosody = prosody(shell.0.path());
    let config = shell.0.path().join("other.toml");
    let text = "data_path = \"other\"\n[hosts.\"other.example\"]\n";
    std::fs::write(&config, text).expect("it is written");
    let config = config.to_str().expect("a path");
    let (code, told, _) = shell.run(&[
        "import",
        "prosody",
        "--prosody-config",
        &prosody,
        "--config",
        config,
    ]);
    assert_eq!(code, 0);
    assert!(told.contains("has no [hosts.\"example.com\"]"), "{told}");

    let (code, _, errors) = shell.run(&["import", "prosody", "--prosody-config", "/nowhere.lua"]);
    assert_eq!(code, 1);
    assert!(errors.starts_with("invited: /nowhere.lua: "), "{errors}");
    let (code, _, errors) = shell.run(&["import", "ejabberd", "--database", "sqlite:/nowhere.db"]);
    assert_eq!(code, 1);
    assert!(errors.contains("/nowhere.db"), "{errors}");
}

#[test]
fn an_invite_is_found_by_what_people_paste() {
    let shell = Shell::new();
    let link = shell.run(&["invite", "create", "example.com"]).1;
    let link = link.trim_end();
    let (_, token) = link.split_once('?').expect("a token");
    for pasted in [
        format!("<{link}> "),
        format!("{link}."),
        format!("{link}&utm_source=mail"),
        format!("https://example.com/invite/{token}/"),
        format!("\u{201c}{link}\u{201d}\n"),
        format!("{token}%3Futm_source=mail"),
    ] {
        for command in ["show", "change", "revoke", "restore"] {
            let mut words = vec!["invite", command, "example.com", &pasted];
            if command == "change" {
                words.extend(["--note", "found"]);
            }
            let (code, _, errors) = shell.run(&words);
            assert_eq!((code, errors.as_str()), (0, ""), "{words:?}");
        }
    }
}

#[test]
fn no_text_of_an_invite_reaches_the_terminal_as_a_command() {
    let shell = Shell::new();
    let evil = "\u{9b}31m\x1b]0;title\x07\nstate    open\u{202e}";
    let link = shell
        .run(&[
            "invite",
            "create",
            "example.com",
            "--note",
            evil,
            "--role",
            evil,
            "--group",
            evil,
        ])
        .1;
    let obeyed = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n' && c != '\t');
    for command in [
        &["invite", "show", "example.com", link.trim_end()][..],
        &["invite", "show", "example.com", link.trim_end(), "--json"],
        &["invite", "list", "example.com"],
        &["invite", "list", "example.com", "--json"],
    ] {
        let (code, told, _) = shell.run(command);
        assert_eq!(code, 0);
        assert!(!told.contains(obeyed), "{told:?}");
        assert!(!told.contains("\nstate    open\u{5c}"), "{told}");
        if command.contains(&"--json") {
            let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
            let invite = json.get(0).unwrap_or(&json);
            assert_eq!(
                (&invite["note"], &invite["roles"][0]),
                (&evil.into(), &evil.into())
            );
        }
    }
}

#[test]
fn moments_say_in_which_time_zone_they_are() {
    let shell = Shell::new();
    let link = shell.run(&["invite", "create", "example.com"]).1;
    let shown = shell
        .run(&["invite", "show", "example.com", link.trim_end()])
        .1;
    for label in ["made ", "expires "] {
        let mut lines = shown.lines().filter(|line| line.starts_with(label));
        assert!(lines.all(|line| line.ends_with(" UTC")), "{shown}");
        assert!(shown.contains(&format!("\n{label}")), "{shown}");
    }
}

#[test]
fn a_file_in_an_older_encoding_is_named_with_its_line() {
    let shell = Shell::new();
    let folder = shell.0.path();
    let config = std::fs::read(shell.config()).expect("the configuration");
    let option = b"site_apps_file = \"apps.toml\"\n";
    std::fs::write(shell.config(), [&config[..], option].concat()).expect("written");
    let templates = b"templates_path = \"templates\"\n";
    let config = [&templates[..], &config, option].concat();
    std::fs::create_dir(folder.join("templates")).expect("a folder");
    let apps = b"# none\n";
    let page = b"page\n";
    let files: [(&str, &[u8]); 3] = [
        ("invited.toml", &config),
        ("apps.toml", apps),
        ("templates/index.html", page),
    ];
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    for (name, bytes) in files {
        write(name, bytes);
    }
    let (code, _, errors) = shell.run(&["config", "check"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for (name, bytes) in files {
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let latin = [bytes, b"# B\xfccher\n"].concat();
        let utf16: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, 0]).collect();
        let marked = ["\u{feff}".as_bytes(), bytes].concat();
        for (wrong, line, word) in [
            (latin, lines, "Latin-1"),
            ([b"\xff\xfe", &utf16[..]].concat(), 1, "UTF-16"),
            (utf16, 1, "UTF-16"),
        ] {
            write(name, &wrong);
            let (code, _, errors) = shell.run(&["config", "check"]);
            let place = format!("{}:{line}: ", folder.join(name).display());
            assert_eq!(code, 2);
            assert!(errors.contains(&place) && errors.contains(word), "{errors}");
        }
        write(name, &marked);
        assert_eq!(shell.run(&["config", "check"]).0, 0, "{name}");
        write(name, bytes);
    }
}

#[test]
fn spans_may_be_months_and_years() {
    let shell = Shell::new();
    let second = |text: &serde_json::Value| {
        let text = text.as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("a time").as_second()
    };
    for (span, seconds) in [
        ("1mon", 31 * 86_400),
        ("1 month", 31 * 86_400),
        ("1 year", 31_556_952),
    ] {
        let words = ["invite", "create", "example.com", "--json", "--expires-in"];
        let (code, made, errors) = shell.run(&[&words[..], &[span]].concat());
        assert_eq!(code, 0, "{span}: {errors}");
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        let life = second(&made["expires_at"]) - second(&made["created_at"]);
        assert_eq!(life, seconds, "{span}");
        let key = ["key", "create", "example.com", "--expires-in", span];
        assert_eq!(shell.run(&key).0, 0, "{span}");
    }
}
