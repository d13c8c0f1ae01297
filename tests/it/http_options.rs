//! Prosody's HTTP options: their defaults, what they lead to, what is said about wrong ones.

use std::path::Path;

use invited::config::file::Shared;
use invited::config::listeners::{Listeners, TlsProfile};
use invited::config::{Config, EXAMPLE, cors};

fn config(options: &str) -> Config {
    let text = format!("{options}\n[hosts.\"chat.example\"]\n");
    Config::parse(Path::new("invited.toml"), &text).expect("the configuration is good")
}

#[track_caller]
fn check_listen(options: &str, plain: &[&str], tls: &[&str]) {
    let http = config(options).http;
    let plain_found: Vec<String> = http.listen.iter().map(ToString::to_string).collect();
    let tls_found: Vec<String> = http.listen_tls.iter().map(ToString::to_string).collect();
    assert_eq!(
        (plain_found.as_slice(), tls_found.as_slice()),
        (&own(plain)[..], &own(tls)[..])
    );
}

fn own(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_url(options: &str, expected: &str) {
    assert_eq!(config(options).hosts[0].base_url, expected);
}

#[track_caller]
fn check_wrong(options: &str, expected: &str) {
    let text = format!("{options}\n[hosts.\"chat.example\"]\n");
    let error = Config::parse(Path::new("invited.toml"), &text).expect_err("it is wrong");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_example_shows_every_option() {
    for key in [Shared::KEYS, Listeners::KEYS, cors::Options::KEYS].concat() {
        let shown = EXAMPLE
            .lines()
            .any(|line| line.starts_with(&format!("# {key} = ")));
        assert!(shown, "{key}");
    }
}

#[test]
fn plain_http_is_private_and_https_public() {
    check_listen(
        "https_ports = [5281]",
        &["127.0.0.1:5280", "[::1]:5280"],
        &["0.0.0.0:5281", "[::]:5281"],
    );
}

#[test]
fn every_port_is_on_every_interface_once() {
    check_listen(
        "http_ports = [80, 5280, 80]\nhttp_interfaces = [\"*\", \"192.0.2.1\"]\nhttps_ports = [443]\nhttps_interfaces = [\"::1\"]",
        &[
            "0.0.0.0:80",
            "0.0.0.0:5280",
            "192.0.2.1:80",
            "192.0.2.1:5280",
        ],
        &["[::1]:443"],
    );
    check_listen("http_ports = []\nhttps_ports = []", &[], &[]);
}

#[test]
fn general_interfaces_are_the_defaults() {
    check_listen(
        "https_ports = [5281]\ninterfaces = [\"192.0.2.1\"]",
        &["127.0.0.1:5280", "[::1]:5280"],
        &["192.0.2.1:5281"],
    );
    check_listen(
        "https_ports = [5281]\nlocal_interfaces = [\"10.0.0.1\"]\nhttps_interfaces = [\"192.0.2.2\"]\ninterfaces = [\"192.0.2.1\"]",
        &["10.0.0.1:5280"],
        &["192.0.2.2:5281"],
    );
}

#[test]
fn families_that_are_not_used_are_missing_from_the_defaults_only() {
    let ports = "https_ports = [5281]";
    check_listen(
        &format!("{ports}\nuse_ipv6 = false"),
        &["127.0.0.1:5280"],
        &["0.0.0.0:5281"],
    );
    check_listen(
        &format!("{ports}\nuse_ipv4 = false"),
        &["[::1]:5280"],
        &["[::]:5281"],
    );
    check_listen(
        &format!("{ports}\nuse_ipv6 = false\nhttp_interfaces = [\"::1\"]"),
        &["[::1]:5280"],
        &["0.0.0.0:5281"],
    );
}

#[test]
fn links_are_https_if_it_is_on_and_show_unusual_ports() {
    check_url("https_ports = [5281]", "https://chat.example:5281");
    check_url("https_ports = [443, 5281]", "https://chat.example");
    check_url("https_ports = []", "http://chat.example:5280");
    check_url("https_ports = []\nhttp_ports = [80]", "http://chat.example");
    check_url(
        "https_ports = []\nhttp_ports = [443]",
        "http://chat.example:443",
    );
    check_url(
        "https_ports = []\nhttp_ports = []",
        "http://disabled.invalid",
    );
    check_url(
        "https_ports = [443]\nhttp_host = \"web.example\"",
        "https://web.example",
    );
    check_url(
        "http_external_url = \"https://a.example/chat/\"",
        "https://a.example/chat",
    );
    check_url(
        "http_external_url = \"https://a.example:443/\"",
        "https://a.example",
    );
    check_url(
        "http_external_url = \"http://a.example:80\"",
        "http://a.example",
    );
    check_url(
        "http_external_url = \"http://a.example:443/\"",
        "http://a.example:443",
    );
    check_url(
        "http_external_url = \"https://bücher.example/\"",
        "https://xn--bcher-kva.example",
    );
    check_url(
        "http_external_url = \"https://Bücher.example:5281/Чат/\"",
        "https://xn--bcher-kva.example:5281/%D0%A7%D0%B0%D1%82",
    );
    check_url(
        "http_external_url = \"https://my_chat.internal/\"",
        "https://my_chat.internal",
    );
    check_url(
        "https_ports = [443]\nhttp_host = \"bücher.example\"",
        "https://xn--bcher-kva.example",
    );
}

#[test]
fn paths_of_a_host_win_and_have_its_name_filled_in() {
    let text = "http_paths = { invites_page = \"/$host/i\", invites_register_web = \"/new\" }\n\
                [hosts.\"a.example\"]\n\
                [hosts.\"b.example\"]\nhttp_paths = { invites_page = \"/b\" }";
    let config = Config::parse(Path::new("invited.toml"), text).expect("it is good");
    let pages: Vec<_> = config
        .hosts
        .iter()
        .map(|host| {
            (
                host.paths.invites_page.as_str(),
                host.paths.register.as_str(),
            )
        })
        .collect();
    assert_eq!(pages, [("/a.example/i", "/new"), ("/b", "/new")]);
}

#[test]
fn two_apps_at_one_path_are_refused() {
    let expected = "invited.toml: hosts.\"chat.example\": http_paths: two apps are at \"/x\"";
    check_wrong(
        "http_paths = { invites_api = \"/x\", register = \"/x\" }",
        expected,
    );
    check_wrong(
        "http_paths = { invites_api = \"/invites_page\" }",
        "invited.toml: hosts.\"chat.example\": http_paths: two apps are at \"/invites_page\"",
    );
}

#[test]
fn what_a_host_allows_other_pages_wins_app_by_app() {
    let text = "access_control_max_age = 60\n\
                http_cors_override.admin_api.enabled = false\n\
                http_cors_override.register.enabled = false\n\
                [hosts.\"a.example\"]\n\
                access_control_allow_origins = [\"https://there.example\"]\n\
                http_cors_override.register.enabled = true\n\
                [hosts.\"b.example\"]";
    let config = Config::parse(Path::new("invited.toml"), text).expect("it is good");
    let [a, b] = &config.hosts[..] else {
        panic!("there are two hosts");
    };
    let there = cors::Origins::Only(vec!["https://there.example".to_owned()]);
    assert_eq!(a.cors[&cors::App::Register].origins, there);
    assert_eq!(a.cors[&cors::App::Register].max_age, 60);
    assert!(!a.cors.contains_key(&cors::App::AdminApi));
    assert!(!b.cors.contains_key(&cors::App::Register));
    assert_eq!(b.cors[&cors::App::InvitesApi].origins, cors::Origins::Any);
}

#[test]
fn options_without_an_address_have_prosodys_defaults_or_the_documented_ones() {
    let http = config("").http;
    assert_eq!(http.tls_profile, TlsProfile::Intermediate);
    assert!(http.legacy_x_forwarded);
    assert_eq!(
        (http.max_content_size, http.max_buffer_size),
        (65_536, 16_384)
    );
    let proxies: Vec<String> = http
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["127.0.0.1/32", "::1/128"]);
    let host = &config("").hosts[0];
    assert!(!host.errors.detailed && host.errors.always_show);
    assert_eq!(host.cors.len(), cors::App::ALL.len());
}

#[test]
fn wrong_options_are_told_with_what_was_expected() {
    for (option, expected) in [
        (
            "https_interfaces = [\"eth0\"]",
            "invited.toml:1: https_interfaces: \"eth0\" is not an address; write for instance \"127.0.0.1\", \"::1\" or \"*\"",
        ),
        (
            "https_certificate = { web = \"a.crt\" }",
            "invited.toml:1: https_certificate: \"web\" is neither a port nor \"default\"",
        ),
        (
            "https_ssl = { certificate = \"a.crt\" }",
            "invited.toml:1: https_ssl: missing field `key`",
        ),
        (
            "tls_profile = \"old\"",
            "invited.toml:1: tls_profile: unknown variant `old`, expected `intermediate` or `modern`",
        ),
        (
            "http_max_buffer_size = 100",
            "invited.toml:1: http_max_buffer_size: 100 bytes are too few; at least 8192 are needed",
        ),
        (
            "trusted_proxies = [\"proxy\"]",
            "invited.toml:1: trusted_proxies: \"proxy\" is neither an address nor a network such as \"10.0.0.0/8\"",
        ),
        (
            "access_control_allow_origins = [\"example.com\"]",
            "invited.toml:1: access_control_allow_origins: \"example.com\" is not an origin; write for instance \"https://example.com\", without a slash at the end",
        ),
        (
            "access_control_allow_headers = [\"a b\"]",
            "invited.toml:1: access_control_allow_headers: \"a b\" is not the name of a method or a header",
        ),
        (
            "http_cors_override = { portal = { enabled = true } }",
            "invited.toml:1: http_cors_override: unknown variant `portal`, expected one of `admin_api`, `api`, `invites_api`, `invites_page`, `invites_register_api`, `invites_register_web`, `register`, `register_apps`",
        ),
        (
            "http_errors_messages = { 200 = \"Fine\" }",
            "invited.toml:1: http_errors_messages: \"200\" is not the status of an error; write for instance 404",
        ),
        (
            "https_port = [1]",
            "invited.toml:1: unknown key \"https_port\"; did you mean \"https_ports\"?",
        ),
    ] {
        check_wrong(option, expected);
    }
}
