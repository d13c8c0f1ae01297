//! What a wrong configuration is answered: file, line, key, what was expected.

use std::path::Path;

use invited::config::file::Period;
use invited::config::{Config, EXAMPLE};

#[track_caller]
fn check(text: &str, expected: &str) {
    let error = Config::parse(Path::new("invited.toml"), text).expect_err("it is wrong");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_example_is_good_and_shows_the_defaults() {
    let path = Path::new("/etc/invited/invited.toml");
    let example = Config::parse(path, EXAMPLE).expect("the example is good");
    let least = Config::parse(path, "[hosts.\"example.com\"]").expect("the least is good");
    assert_eq!(format!("{example:?}"), format!("{least:?}"));
}

#[test]
fn every_option_of_the_example_exists() {
    // Options in sentences begin with a capital letter or have no `=`.
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                format!("{rest}\n")
            }
            Some("[bridge]") => "[bridge]\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    let uncommented = uncommented.replace("site_name = \"Example\"\n", "");
    let text = uncommented.replace("http_host = \"invites.example.com\"\n", "");
    Config::parse(Path::new("invited.toml"), &text).expect("every option is known");
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    check(
        "http_prots = [1]\n[hosts.\"a.example\"]",
        "invited.toml:1: unknown key \"http_prots\"; did you mean \"http_ports\"?",
    );
    check(
        "[hosts.\"a.example\"]\nsite_nam = \"x\"",
        "invited.toml:2: unknown key \"site_nam\"; did you mean \"site_name\"?",
    );
    check(
        "[bridge]\nsecretfile = \"x\"\n[hosts.\"a.example\"]",
        "invited.toml:2: unknown key \"secretfile\"; did you mean \"secret_file\"?",
    );
}

#[test]
fn wrong_values_are_told_with_their_key() {
    check(
        "[hosts.\"a.example\"]\ninvite_expiry = \"soon\"",
        "invited.toml:2: invite_expiry: \"soon\" is not a span of time; write for instance \"7 days\", \"12h\" or \"90 min\"",
    );
    check(
        "http_external_url = \"example.com\"\n[hosts.\"a.example\"]",
        "invited.toml:1: http_external_url: \"example.com\" is not a web address; write for instance \"https://example.com/\"",
    );
    check(
        "",
        "invited.toml: no host; add a table such as [hosts.\"example.com\"] for each XMPP host",
    );
    check(
        "[hosts.\"a b\"]",
        "invited.toml:1: the host \"a b\" has characters that an address cannot have",
    );
    check(
        "http_default_host = \"b.example\"\n[hosts.\"a.example\"]",
        "invited.toml: http_default_host: there is no [hosts.\"b.example\"]",
    );
}

#[test]
fn what_is_no_web_address_is_refused() {
    for url in [
        "example.com",
        "//example.com/",
        "https:example.com",
        "https:///example.com",
        "ftp://example.com/",
        "https://exa mple.com/",
        "https://example.com/?a",
        "https://example.com/#a",
        "https://",
        "https://xn--a-/",
    ] {
        check(
            &format!("http_external_url = \"{url}\"\n[hosts.\"a.example\"]"),
            &format!(
                "invited.toml:1: http_external_url: \"{url}\" is not a web address; write for instance \"https://example.com/\""
            ),
        );
    }
}

#[test]
fn a_host_with_an_umlaut_has_paths_and_an_address_in_ascii() {
    let text = "http_paths = { invites_page = \"/$host/i\" }\n[hosts.\"bücher.example\"]\n\
                [hosts.\"bücher.example\".xmpp]\naddress = \"bücher.example:5222\"";
    let config = Config::parse(Path::new("invited.toml"), text).expect("it is good");
    let host = config.host("xn--bcher-kva.example").expect("it is there");
    assert_eq!(host.http_host, "xn--bcher-kva.example");
    assert_eq!(host.paths.invites_page, "/b%C3%BCcher.example/i");
    let place = Some(("xn--bcher-kva.example".to_owned(), 5222));
    assert_eq!(host.xmpp.address, place);
}

#[test]
fn an_option_in_a_host_wins() {
    let text = "invite_expiry = 60\nsite_name = \"All\"\n[hosts.\"a.example\"]\ninvite_expiry = \"2 days\"\n[hosts.\"b.example\"]";
    let config = Config::parse(Path::new("invited.toml"), text).expect("it is good");
    let a = config.host("A.example.").expect("it is there");
    let b = config.host("b.example").expect("it is there");
    assert_eq!((a.invite_expiry, b.invite_expiry), (172_800, 60));
    assert_eq!(a.site_name, "All");
}

#[test]
fn links_that_lead_to_no_host_or_another_one_are_doubted() {
    let doubts = |text: &str| {
        // Reachable by everybody, so that nothing else is to be doubted.
        let text = format!("http_interfaces = [\"*\"]\n{text}");
        let config = Config::parse(Path::new("invited.toml"), &text).expect("it is good");
        config.doubts()
    };
    let url = "http_external_url = \"https://chat.example/\"\n";
    assert_eq!(doubts("[hosts.\"a.example\"]"), Vec::<String>::new());
    let lost = doubts(&format!("[hosts.\"a.example\"]\n{url}"));
    assert_eq!(lost.len(), 1);
    assert!(
        lost[0].contains("where no host answers; set http_host = \"chat.example\""),
        "{lost:?}"
    );
    let named = format!("[hosts.\"a.example\"]\n{url}http_host = \"chat.example\"\n");
    assert_eq!(doubts(&named), Vec::<String>::new());
    let shared = doubts(&format!("{url}{named}[hosts.\"b.example\"]\n").replacen(url, "", 1));
    assert_eq!(shared, Vec::<String>::new());
    let shared = doubts(&format!("{named}[hosts.\"b.example\"]\n{url}"));
    assert!(
        shared[0].starts_with("hosts.\"b.example\": ")
            && shared[0].contains("where a.example answers"),
        "{shared:?}"
    );
    let by_default = format!("http_default_host = \"a.example\"\n[hosts.\"a.example\"]\n{url}");
    assert_eq!(doubts(&by_default), Vec::<String>::new());
}

#[test]
fn spans_are_as_long_as_in_prosody() {
    const DAY: i64 = 86_400;
    for (text, seconds) in [
        ("90", Some(90)),
        ("90 s", Some(90)),
        ("1m", Some(60)),
        ("1min", Some(60)),
        ("1 minute", Some(60)),
        ("36h", Some(36 * 3600)),
        ("2 hours", Some(7200)),
        ("1d", Some(DAY)),
        ("7 days", Some(7 * DAY)),
        ("1 day 12 hours", Some(36 * 3600)),
        ("2w", Some(14 * DAY)),
        ("1mon", Some(31 * DAY)),
        ("1 mon", Some(31 * DAY)),
        ("1mo", Some(31 * DAY)),
        ("1 month", Some(31 * DAY)),
        ("18 months", Some(18 * 31 * DAY)),
        ("1y", Some(31_556_952)),
        ("1 year", Some(31_556_952)),
        ("2 years", Some(2 * 31_556_952)),
        ("1 year 2 months 3 days", Some(31_556_952 + 65 * DAY)),
        ("0", None),
        ("0 months", None),
        ("-1 month", None),
        ("1 month ago", None),
        ("1M", None),
        ("mon", None),
        ("a month", None),
        ("99999999999 months", None),
        ("never", None),
        ("", None),
    ] {
        let parsed = text.parse::<Period>().ok().map(|period| period.0);
        assert_eq!(parsed, seconds, "{text:?}");
        let file = format!("[hosts.\"a.example\"]\ninvite_expiry = {text:?}");
        let parsed = Config::parse(Path::new("invited.toml"), &file);
        let expiry = parsed.ok().map(|config| config.hosts[0].invite_expiry);
        assert_eq!(expiry, seconds, "{text:?} in the file");
    }
}

#[test]
fn a_host_stands_in_the_file_once_however_it_is_spelled() {
    for (first, second) in [
        ("example.com", "EXAMPLE.com"),
        ("example.com", "example.com."),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "B\u{dc}CHER.example"),
    ] {
        check(
            &format!(
                "[hosts.\"other.example\"]\n[hosts.{first:?}]\nsite_name = \"A\"\n\n\
                 [hosts.{second:?}]\nsite_name = \"B\"\n[hosts.{first:?}.xmpp]\ntls = \"direct\""
            ),
            &format!("invited.toml:5: the host {second:?} is the same as {first:?} in line 2"),
        );
    }
}

#[test]
fn links_that_lead_to_this_machine_alone_are_doubted() {
    let url = "http_external_url = \"https://a.example/\"\n";
    for (text, doubted) in [
        ("[hosts.\"a.example\"]\n".to_owned(), "serves itself only"),
        (
            "[hosts.\"localhost\"]\n[hosts.\"a.localhost\"]".to_owned(),
            "",
        ),
        (format!("{url}[hosts.\"a.example\"]\n"), ""),
        (format!("[hosts.\"a.example\"]\n{url}"), ""),
        (
            "http_interfaces = [\"::\"]\n[hosts.\"a.example\"]".to_owned(),
            "",
        ),
        ("https_ports = [443]\n[hosts.\"a.example\"]".to_owned(), ""),
        (
            "http_ports = []\n[hosts.\"a.example\"]".to_owned(),
            "there is no port",
        ),
        (
            format!("{url}http_ports = []\nhttps_ports = []\n[hosts.\"a.example\"]"),
            "there is no port",
        ),
    ] {
        let config = Config::parse(Path::new("invited.toml"), &text).expect("it is good");
        let doubts = config.doubts();
        assert_eq!(
            doubts.len(),
            usize::from(!doubted.is_empty()),
            "{text}: {doubts:?}"
        );
        assert!(doubts.concat().contains(doubted), "{text}: {doubts:?}");
    }
}

#[test]
fn a_path_in_the_address_and_in_http_paths_is_a_doubt() {
    for (address, paths, doubled) in [
        (
            "https://example.com/chat/",
            "invites_page = \"/chat/invite\"",
            true,
        ),
        ("https://example.com/chat", "register = \"/chat\"", true),
        (
            "https://example.com/a/b/",
            "invites_api = \"/a/b/api\"",
            true,
        ),
        (
            "https://example.com/chat/",
            "invites_page = \"/chats\"",
            false,
        ),
        ("https://example.com/chat/", "", false),
        (
            "https://example.com/",
            "invites_page = \"/chat/invite\"",
            false,
        ),
        ("https://example.com", "", false),
    ] {
        let text = format!(
            "[hosts.\"example.com\"]\nhttp_external_url = {address:?}\nhttp_paths = {{ {paths} }}\n"
        );
        let config = Config::parse(Path::new("invited.toml"), &text).expect("it is good");
        let doubts = config.doubts();
        assert_eq!(
            doubts.len(),
            usize::from(doubled),
            "{address} {paths} {doubts:?}"
        );
        let told = |doubt: &String| doubt.contains("again in http_paths");
        assert!(doubts.iter().all(told), "{doubts:?}");
    }
}
