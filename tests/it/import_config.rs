//! What `prosody.cfg.lua` leads to: the configuration that is written, and what is said about the
//! rest. Cases that have only to be read stand in `tests/data/prosody`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use invited::clock::Timestamp;
use invited::config::Config;
use invited::import::prosody::Prosody;
use invited::jid::Domain;
use tempfile::TempDir;

use crate::support::START;

const HOST: &str = "VirtualHost 'chat.example'\n";

/// A Prosody's folder of configuration.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("prosody.cfg.lua", config);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(path, text).expect("it is written");
    }

    fn open(&self) -> Result<Prosody, String> {
        let data = self.path("data");
        Prosody::open(&self.path("prosody.cfg.lua"), Some(&data), &[])
    }

    /// The text that would be written, and what is true then.
    fn settings(&self) -> (String, Config) {
        let prosody = self.open().unwrap_or_else(|why| panic!("{why}"));
        let target = self.path("new/invited.toml");
        let text = prosody.settings(&target, &[]);
        let config = Config::parse(&target, &text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        (text, config)
    }

    async fn problems(&self) -> Vec<String> {
        let prosody = self.open().unwrap_or_else(|why| panic!("{why}"));
        prosody.find(Timestamp(START)).await.problems
    }

    /// A certificate that signed itself, and its key.
    fn certificate(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        self.write(&format!("certs/{name}.crt"), &made.cert.pem());
        self.write(
            &format!("certs/{name}.key"),
            &made.signing_key.serialize_pem(),
        );
    }

    /// `invited import prosody --write-config`: code and errors.
    fn import(&self, target: &Path) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_invited"))
            .args(["import", "prosody", "--prosody-config"])
            .arg(self.path("prosody.cfg.lua"))
            .arg("--data-path")
            .arg(self.path("data"))
            .arg("--write-config")
            .arg(target)
            .env_remove("INVITED_CONFIG")
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }
}

fn ports(config: &Config) -> (Vec<u16>, Vec<u16>) {
    let of = |list: &[std::net::SocketAddr]| {
        let mut ports: Vec<u16> = list.iter().map(std::net::SocketAddr::port).collect();
        ports.dedup();
        ports
    };
    let mut tls = of(&config.http.listen_tls);
    tls.sort_unstable();
    tls.dedup();
    let mut plain = of(&config.http.listen);
    plain.sort_unstable();
    plain.dedup();
    (plain, tls)
}

#[tokio::test]
async fn a_host_that_is_refused_gives_no_other_its_options() {
    // Since we do not take it, and since it is there already.
    for refused in [
        "a..b",
        "b\u{fc}cher.example' VirtualHost 'xn--bcher-kva.example",
    ] {
        let folder = Folder::new(&format!(
            "certificates = 'certs'\n\
             VirtualHost '{refused}'\n\tsite_name = 'Wrong'\n\thttp_external_url = 'https://wrong.example/'\n\
             \tssl = {{ certificate = 'certs/wrong.crt', key = 'certs/wrong.key' }}\n\
             VirtualHost 'z.example'\n\tsite_name = 'Right'\n\thttp_external_url = 'https://right.example/'\n"
        ));
        let (text, config) = folder.settings();
        let z = config.host("z.example").expect("it is there");
        assert_eq!(z.site_name, "Right", "{text}");
        assert_eq!(z.base_url, "https://right.example", "{text}");
        assert!(!text.contains("[hosts.\"z.example\"]\n# z"), "{text}");
        let problems = folder.problems().await;
        assert!(
            problems
                .iter()
                .any(|problem| problem.contains("so it was left out")),
            "{problems:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_is_switched_off_is_left_out_and_listed() {
    for off in [
        "VirtualHost 'off.example'\n\tenabled = false\n",
        "VirtualHost 'off.example' { enabled = false }\n",
    ] {
        let folder = Folder::new(&format!("{HOST}{off}"));
        let (_, config) = folder.settings();
        assert_eq!(config.hosts.len(), 1);
        let problems = folder.problems().await;
        assert!(
            problems.len() == 1
                && problems[0].contains("off.example is switched off (enabled = false, ")
                && problems[0].contains("prosody.cfg.lua:"),
            "{problems:?}"
        );
        let asked = ["off.example".to_owned()];
        let data = folder.path("data");
        let error = Prosody::open(&folder.path("prosody.cfg.lua"), Some(&data), &asked);
        assert!(error.expect_err("it is off").contains("is switched off"));
    }
}

/// Prosody's options, whether there is a certificate, and our ports: HTTP, HTTPS.
#[test]
fn links_lead_to_a_port_whatever_prosody_has() {
    let proxied = "http_external_url = 'https://chat.example/'\n";
    let share = "Component 'share.chat.example' 'http_file_share'\n";
    for (options, certificate, after, http, https) in [
        ("", true, "", vec![5280], vec![5281]),
        ("", false, "", vec![5280], vec![]),
        (proxied, true, "", vec![5280], vec![]),
        // HTTPS only.
        ("http_ports = {}\n", true, "", vec![], vec![5281]),
        ("http_ports = {}\n", false, "", vec![5280], vec![]),
        (
            "http_ports = {} https_ports = { 443, '8443' }\n",
            true,
            "",
            vec![],
            vec![443, 8443],
        ),
        (
            "http_ports = {} http_external_url = 'https://chat.example/'\n",
            true,
            "",
            vec![],
            vec![5281],
        ),
        // HTTP only.
        ("https_ports = {}\n", true, "", vec![5280], vec![]),
        (
            "https_ports = {} http_ports = { '8080' }\n",
            true,
            "",
            vec![8080],
            vec![],
        ),
        (
            "https_ports = {} http_ports = 8080\n",
            true,
            "",
            vec![8080],
            vec![],
        ),
        // No port at all.
        (
            "http_ports = {} https_ports = {}\n",
            true,
            "",
            vec![5280],
            vec![],
        ),
        (
            "http_ports = {} https_ports = {} c2s_ports = { 5280 }\n",
            true,
            "",
            vec![5290],
            vec![],
        ),
        // Prosody keeps its ports.
        ("", true, share, vec![5290], vec![5291]),
        (proxied, true, share, vec![5290], vec![]),
        (
            proxied,
            true,
            "Component 'share.chat.example' 'http_upload'\n",
            vec![5290],
            vec![],
        ),
        (
            proxied,
            true,
            "VirtualHost 'b.example' http_external_url = 'https://b.example/' modules_enabled = { 'bosh' }\n",
            vec![5290],
            vec![],
        ),
        (
            "modules_enabled = { 'websocket' }\n",
            true,
            "",
            vec![5290],
            vec![5291],
        ),
        (
            "modules_enabled = { 'http_files' }\n",
            true,
            "",
            vec![5290],
            vec![5291],
        ),
        (
            "http_ports = { 80 } https_ports = { 443 }\n",
            true,
            share,
            vec![5290],
            vec![5291],
        ),
        ("http_ports = { 5272 }\n", false, share, vec![5290], vec![]),
        (
            "http_ports = { 65530 } https_ports = {}\n",
            true,
            share,
            vec![65_535],
            vec![],
        ),
        // What needs no port of Prosody's.
        (
            "modules_enabled = { 'invites_page', 'invites_register_web', 'register_apps' }\n",
            false,
            "",
            vec![5280],
            vec![],
        ),
        (
            "modules_enabled = { 'bosh' } modules_disabled = { 'bosh' }\n",
            false,
            "",
            vec![5280],
            vec![],
        ),
        (
            "",
            false,
            "Component 'share.chat.example' 'http_file_share' enabled = false\n",
            vec![5280],
            vec![],
        ),
        (
            "",
            false,
            "Component 'rooms.chat.example' 'muc'\n",
            vec![5280],
            vec![],
        ),
    ] {
        let folder = Folder::new(&format!("{options}{HOST}{after}"));
        if certificate {
            folder.certificate("chat.example");
        }
        let (text, config) = folder.settings();
        assert_eq!(ports(&config), (http, https), "{options}{after}\n{text}");
        if !after.is_empty() && text.contains("Prosody needs") {
            assert!(text.contains("have the proxy send"), "{text}");
        }
        // Reachable, or a sentence.
        let public = config
            .http
            .listen_tls
            .iter()
            .any(|at| !at.ip().is_loopback());
        let url = options.contains("http_external_url");
        assert_eq!(
            config.doubts().is_empty(),
            public || url,
            "{options}\n{text}"
        );
    }
}

#[test]
fn the_default_host_is_the_one_that_answers_under_the_name() {
    for (options, expected) in [
        ("http_default_host = 'chat.example'", Some("chat.example")),
        ("http_default_host = 'Chat.Example'", Some("chat.example")),
        ("http_default_host = 'web.example'", Some("b.example")),
        ("http_default_host = 'links.example'", Some("c.example")),
        ("http_default_host = 'b.example'", None),
        ("http_default_host = 'share.example'", None),
        ("http_default_host = false", None),
    ] {
        let folder = Folder::new(&format!(
            "{options}\n{HOST}VirtualHost 'b.example'\n\thttp_host = 'web.example'\n\
             VirtualHost 'c.example'\n\thttp_external_url = 'https://links.example/'\n"
        ));
        let (text, config) = folder.settings();
        let read = config.default_host.as_ref().map(Domain::as_str);
        assert_eq!(read, expected, "{text}");
        assert!(text.contains("http_default_host"), "{text}");
    }
}

#[test]
fn one_http_host_for_all_is_written_where_it_is_overridden() {
    let folder = Folder::new(
        "http_host = 'web.example'\nVirtualHost 'a.example'\nVirtualHost 'b.example'\n\thttp_host = 'b.example'\n",
    );
    let (text, config) = folder.settings();
    let names: Vec<_> = config
        .hosts
        .iter()
        .map(|host| host.http_host.as_str())
        .collect();
    assert_eq!(names, ["web.example", "b.example"], "{text}");
}

/// An option of Prosody's, what comes of it, and what is named.
#[test]
fn one_entry_that_does_not_fit_takes_no_other_with_it() {
    type Read = fn(&Config) -> String;
    let cases: [(&str, Read, &str, &str); 8] = [
        (
            "trusted_proxies = { '10.0.0.0/8', 'proxy.example', '::1' }",
            |config| format!("{:?}", config.http.trusted_proxies),
            "[10.0.0.0/8, ::1/128]",
            "trusted_proxies without \"proxy.example\"",
        ),
        (
            "http_interfaces = { 'eth0', '192.0.2.1' }",
            |config| config.http.listen[0].to_string(),
            "192.0.2.1:5280",
            "http_interfaces without \"eth0\"",
        ),
        (
            "http_paths = { invites_page = '/welcome/', invites_api = '/a b' }",
            |config| config.hosts[0].paths.invites_page.clone(),
            "/welcome",
            "http_paths without invites_api = \"/a b\"",
        ),
        (
            "http_paths = { invites_page = '/', invites_api = '/api' }",
            |config| config.hosts[0].paths.invites_api.clone(),
            "/api",
            "http_paths without invites_page = \"/\"",
        ),
        (
            "password_policy = { length = 'long', exclude_username = false, require_symbols = true }",
            |config| config.hosts[0].password_policy.exclude_username.to_string(),
            "false",
            "password_policy without length = \"long\"",
        ),
        (
            "site_apps_hide = { 'renga', false, 'monal' }",
            |config| format!("{:?}", config.hosts[0].site_apps_hide),
            "[\"renga\", \"false\", \"monal\"]",
            "site_apps_hide",
        ),
        (
            "http_ports = { 5280, 'http', 8080 }",
            |config| format!("{:?}", ports(config).0),
            "[5280, 8080]",
            "without http, which is no port",
        ),
        (
            "https_certificate = { [5281] = 'a.crt', web = 'b.crt' }",
            |config| {
                config
                    .http
                    .certificates
                    .https_certificate
                    .get(5281)
                    .is_some()
                    .to_string()
            },
            "true",
            "https_certificate without web = ",
        ),
    ];
    for (option, read, expected, named) in cases {
        let folder = Folder::new(&format!("{option}\n{HOST}"));
        let (text, config) = folder.settings();
        assert_eq!(read(&config), expected, "{option}\n{text}");
        assert!(text.contains(named), "{named} is not in\n{text}");
    }
}

#[test]
fn modules_count_as_prosodys_module_manager_has_them() {
    for (options, form) in [
        ("modules_enabled = { 'invites_page' }", false),
        (
            "modules_enabled = { 'invites_page', 'invites_register_web' }",
            true,
        ),
        (
            "modules_enabled = { 'invites_page' } modules_disabled = { 'invites_page' }",
            true,
        ),
    ] {
        for (of_host, override_) in [
            ("", None),
            ("modules_enabled = { 'invites_page' }", Some(false)),
            (
                "modules_enabled = { 'invites_page', 'invites_register_web' }",
                Some(true),
            ),
            ("modules_disabled = { 'invites_page' }", Some(true)),
            ("modules_disabled = { 'x' }", None),
        ] {
            let form = match override_ {
                // What is enabled above stays enabled.
                Some(false) if options.contains("register_web") => true,
                Some(form) => form,
                None => form,
            };
            let folder = Folder::new(&format!("{options}\n{HOST}{of_host}\n"));
            let (text, config) = folder.settings();
            let read = config.hosts[0].registration_form;
            assert_eq!(read, form, "{options} / {of_host}\n{text}");
        }
    }
}

/// `invite_expiry` as Prosody has it, and the seconds that we take it for.
#[test]
fn spans_are_taken_over_as_prosody_takes_them() {
    for (written, seconds) in [
        ("3600", Some(3600)),
        ("60 * 60 * 24 * 14", Some(14 * 86_400)),
        ("'604800'", Some(604_800)),
        ("'1 month'", Some(31 * 86_400)),
        ("'1mon'", Some(31 * 86_400)),
        ("'2 Months'", Some(62 * 86_400)),
        ("'1 year'", Some(31_556_952)),
        ("'10 min'", Some(600)),
        ("'4 weeks'", Some(28 * 86_400)),
        ("'1h30m'", Some(3600)),
        ("{ '2 days', '3 days' }", Some(2 * 86_400)),
        ("'1m'", None),
        ("'2 mo'", None),
        ("'never'", None),
        ("false", None),
        ("-1", None),
    ] {
        let folder = Folder::new(&format!("invite_expiry = {written}\n{HOST}"));
        let (text, config) = folder.settings();
        let read = config.hosts[0].invite_expiry;
        assert_eq!(read, seconds.unwrap_or(7 * 86_400), "{written}\n{text}");
        let taken = text
            .lines()
            .any(|line| line.starts_with("invite_expiry = "));
        assert_eq!(taken, seconds.is_some(), "{text}");
        assert!(text.contains("invite_expiry = "), "{text}");
    }
}

#[test]
fn texts_of_several_lines_break_no_comment() {
    let folder = Folder::new(&format!(
        "http_external_url = 'no\\naddress = 1'\nsite_name = 'Two\\nlines'\n\
         http_default_host = 'a\\n[hosts.\"evil.example\"]'\n{HOST}"
    ));
    let (text, config) = folder.settings();
    assert_eq!(config.hosts.len(), 1, "{text}");
    assert_eq!(config.hosts[0].site_name, "Two\nlines");
}

/// A configuration without a host, and what is said about it.
#[test]
fn an_import_without_a_host_says_why_and_writes_nothing() {
    for (config, words) in [
        ("admins = {}\n", vec!["there is no VirtualHost in it"]),
        (
            "Include 'conf.d/*.cfg.lua'\n",
            vec![
                "there is no VirtualHost in it",
                "prosody.cfg.lua:1: no file is ",
                "conf.d/*.cfg.lua",
            ],
        ),
        (
            "\nInclude 'hosts.cfg.lua'\n",
            vec!["prosody.cfg.lua:2: ", "hosts.cfg.lua: No such file"],
        ),
        (
            "VirtualHost 'a..b'\n",
            vec!["the host \"a..b\" ", "left out"],
        ),
        (
            "VirtualHost 'off.example'\nenabled = false\n",
            vec!["off.example is switched off"],
        ),
        (
            "Component 'rooms.example' 'muc'\n",
            vec!["there is no VirtualHost in it"],
        ),
        (
            "VirtualHost(ENV_NO_SUCH_DOMAIN)\n",
            vec!["prosody.cfg.lua:1: ", "not set here", "NO_SUCH_DOMAIN"],
        ),
        ("x = {\n", vec!["prosody.cfg.lua:"]),
    ] {
        let folder = Folder::new(config);
        // Data of hosts are no hosts.
        folder.write("data/left%2eexample/invite_token.dat", "return {};\n");
        let target = folder.path("invited.toml");
        for _ in 0..2 {
            let (code, errors) = folder.import(&target);
            assert_eq!(code, Some(1), "{config}: {errors}");
            assert!(errors.contains("prosody.cfg.lua"), "{errors}");
            for words in &words {
                assert!(errors.contains(words), "{words} is not in {errors}");
            }
            assert!(!target.exists(), "{config}");
        }
        folder.write("prosody.cfg.lua", HOST);
        let (code, errors) = folder.import(&target);
        assert_eq!(code, Some(0), "{errors}");
        assert!(target.exists());
    }
}

#[test]
fn an_import_that_cannot_open_its_data_leaves_no_configuration() {
    let folder = Folder::new(HOST);
    let target = folder.path("invited.toml");
    // Where invited keeps its data there is a file.
    folder.write("elsewhere", "");
    std::os::unix::fs::symlink(folder.path("elsewhere"), folder.path("data")).expect("a link");
    let (code, errors) = folder.import(&target);
    assert_ne!(code, Some(0), "{errors}");
    assert!(!target.exists());
    fs::remove_file(folder.path("data")).expect("it goes");
    let (code, errors) = folder.import(&target);
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn a_pattern_that_runs_for_ever_ends_with_a_sentence() {
    let folder = Folder::new("x = ('a'):rep(3000):find(('.-'):rep(30) .. 'b')\n");
    let (code, errors) = folder.import(&folder.path("invited.toml"));
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("it takes longer than 10 seconds"),
        "{errors}"
    );
}

/// The configurations of `tests/data/prosody`, and the folder of the Prosody that understands each.
fn styles() -> Vec<(PathBuf, PathBuf)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(here.join("scripts/prosody-13")).output();
    let folder = String::from_utf8(fetched.expect("it runs").stdout).expect("a path");
    let thirteen = Path::new(folder.trim_end()).join("usr/lib/prosody");
    let entries = fs::read_dir(here.join("tests/data/prosody")).expect("there are cases");
    let mut styles: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let of_13 = path.to_string_lossy().ends_with("-13");
            let prosody = if of_13 {
                thirteen.clone()
            } else {
                "/usr/lib/prosody".into()
            };
            (path, prosody)
        })
        .collect();
    styles.sort();
    styles
}

/// Runs with the environment that the configuration expects, and gives the last line as JSON.
fn json_of(command: &mut Command, case: &Path) -> serde_json::Value {
    let variables = fs::read_to_string(case.join("variables")).unwrap_or_default();
    let here = case.display().to_string();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let output = command
        .current_dir(case)
        .env_clear()
        .envs(variables.map(|(name, value)| (name, value.replace("$HERE", &here))))
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", case.display());
    let text = String::from_utf8(output.stdout).expect("text");
    let last = text.lines().last().expect("a line");
    serde_json::from_str(last).expect("JSON")
}

#[test]
fn hosts_names_addresses_and_ports_are_those_that_prosody_reads() {
    let read = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prosody/read.lua");
    for (case, prosody) in styles() {
        let mut lua = Command::new("/usr/bin/lua5.4");
        let theirs = json_of(lua.arg(&read).arg(prosody).arg("./prosody.cfg.lua"), &case);
        let nothing = tempfile::tempdir().expect("a folder");
        let mut invited = Command::new(env!("CARGO_BIN_EXE_invited"));
        let import = [
            "import",
            "prosody",
            "--dry-run",
            "--json",
            "--prosody-config",
        ];
        invited
            .args(import)
            .arg("prosody.cfg.lua")
            .args(["--config", "/nowhere/invited.toml", "--data-path"])
            .arg(nothing.path());
        let ours = json_of(&mut invited, &case);
        let text = ours["config"].as_str().expect("a configuration");
        let name = format!("{}\n{text}\n{:#}", case.display(), ours["problems"]);
        let config = Config::parse(Path::new("/nowhere/invited.toml"), text);
        let config = config.unwrap_or_else(|why| panic!("{why}: {name}"));

        let hosts = theirs["hosts"].as_object().expect("hosts");
        let global = &hosts["*"];
        let option = |host: &str, option: &str| match &hosts[host][option] {
            serde_json::Value::Null => global[option].clone(),
            own => own.clone(),
        };
        let ports = |name: &str, default: u64| -> Vec<u64> {
            let number = |port: &serde_json::Value| {
                port.as_u64()
                    .or_else(|| port.as_str()?.parse().ok())
                    .expect("a port")
            };
            match &global[name] {
                serde_json::Value::Null => vec![default],
                list => list.as_array().into_iter().flatten().map(number).collect(),
            }
        };
        let mut expected = 0;
        for host in hosts.keys().filter(|host| *host != "*") {
            let off = option(host, "enabled") == false;
            let component = hosts[host].get("component_module").is_some();
            let ours = config.host(host);
            let Ok(domain) = host.parse::<Domain>() else {
                continue;
            };
            if off || component {
                assert!(ours.is_err(), "{host}: {name}");
                continue;
            }
            expected += 1;
            let ours = ours.unwrap_or_else(|why| panic!("{why}: {name}"));
            assert_eq!(ours.domain, domain, "{name}");
            let site_name = option(host, "site_name");
            let spelled = domain.to_string();
            assert_eq!(
                ours.site_name,
                site_name.as_str().unwrap_or(&spelled),
                "{name}"
            );
            let url = option(host, "http_external_url");
            if let Some(url) = url.as_str() {
                assert_eq!(ours.base_url, url.trim_end_matches('/'), "{name}");
            }
            let http_host = option(host, "http_host");
            let http_host = http_host
                .as_str()
                .or_else(|| url.as_str()?.split('/').nth(2));
            let domain = domain.ascii();
            assert_eq!(ours.http_host, http_host.unwrap_or(&domain), "{name}");
            let port = ports("c2s_ports", 5222)[0];
            let address = ours
                .xmpp
                .address
                .as_ref()
                .map(|(at, port)| format!("{at}:{port}"));
            assert_eq!(address, Some(format!("127.0.0.1:{port}")), "{name}");
        }
        assert_eq!(config.hosts.len(), expected, "{name}");

        let theirs = [ports("http_ports", 5280), ports("https_ports", 5281)].concat();
        let mut open = config
            .http
            .listen
            .iter()
            .chain(&config.http.listen_tls)
            .peekable();
        assert!(open.peek().is_some(), "{name}");
        let moved = text.contains("Prosody needs");
        for address in open {
            let shared = theirs.contains(&u64::from(address.port()));
            let without_any = text.contains("Prosody has none, but");
            assert_eq!(shared, !moved && !without_any, "{address}: {name}");
        }
        let named = global["http_interfaces"].as_array();
        for interface in named.into_iter().flatten() {
            let interface = interface
                .as_str()
                .expect("an address")
                .replace('*', "0.0.0.0");
            let there = config
                .http
                .listen
                .iter()
                .any(|at| at.ip().to_string() == interface);
            assert!(there, "{interface}: {name}");
        }
    }
}
