//! Which certificate is found where, and what is said when none is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use invited::config::Config;
use invited::config::certificates::{Index, Pair};
use invited::http::check_files;
use invited::http::tls::Tls;
use tempfile::TempDir;

/// A folder with a configuration's name in it and certificates beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a new certificate for `names` and its key into files.
    fn put(&self, names: &[&str], certificate: &str, key: &str) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let (certificate_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        if certificate == key {
            self.write(certificate, &(certificate_pem + &key_pem));
        } else {
            self.write(certificate, &certificate_pem);
            self.write(key, &key_pem);
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, text).expect("the file is written");
    }

    fn config(&self, text: &str) -> Arc<Config> {
        let config = Config::parse(&self.path("invited.toml"), text);
        Arc::new(config.expect("the configuration is good"))
    }

    fn index(&self) -> Index {
        self.config("[hosts.\"chat.example\"]")
            .http
            .certificates
            .index()
    }

    #[track_caller]
    fn check(&self, name: &str, expected: Option<&str>) {
        let found = self.index().find(name).map(|pair| pair.certificate);
        assert_eq!(found, expected.map(|file| self.path(file)), "{name}");
    }

    #[track_caller]
    fn check_default(&self, options: &str, port: u16, expected: Option<&str>) {
        let config = self.config(&format!("{options}\n[hosts.\"chat.example\"]"));
        let certificates = &config.http.certificates;
        let found = certificates.default_for(port, &certificates.index());
        let found = found.map(|pair| pair.certificate);
        assert_eq!(found, expected.map(|file| self.path(file)), "{port}");
    }
}

#[test]
fn a_certificate_is_found_by_the_names_in_it_or_those_above() {
    let place = Place::new();
    place.put(
        &["chat.example", "Other.example"],
        "certs/a.crt",
        "certs/a.key",
    );
    place.put(
        &["*.wild.example"],
        "certs/w/fullchain1.pem",
        "certs/w/privkey1.pem",
    );
    place.check("chat.example", Some("certs/a.crt"));
    place.check("other.example", Some("certs/a.crt"));
    place.check("any.wild.example", Some("certs/w/fullchain1.pem"));
    place.check("wild.example", None);
    place.check("a.b.wild.example", Some("certs/w/fullchain1.pem"));
    place.check("elsewhere.example", None);
}

#[test]
fn a_certificate_is_found_by_the_names_of_its_files() {
    let place = Place::new();
    place.put(&["x.example"], "certs/a.example.crt", "certs/a.example.key");
    place.put(
        &["x.example"],
        "certs/b.example/fullchain.pem",
        "certs/b.example/privkey.pem",
    );
    place.put(&["x.example"], "certs/c.example.pem", "certs/c.example.pem");
    place.check("a.example", Some("certs/a.example.crt"));
    place.check("b.example", Some("certs/b.example/fullchain.pem"));
    place.check("c.example", Some("certs/c.example.pem"));
    place.check("chat.c.example", Some("certs/c.example.pem"));
}

#[test]
fn folders_are_searched_to_the_third_level() {
    let place = Place::new();
    place.put(&["three.example"], "certs/a/b/x.crt", "certs/a/b/x.key");
    place.put(&["four.example"], "certs/a/b/c/x.crt", "certs/a/b/c/x.key");
    place.put(&["hidden.example"], "certs/.old/x.crt", "certs/.old/x.key");
    place.check("three.example", Some("certs/a/b/x.crt"));
    place.check("four.example", None);
    place.check("hidden.example", None);
}

#[test]
fn a_certificate_without_its_key_is_passed_over() {
    let place = Place::new();
    place.put(&["chat.example"], "certs/a.crt", "certs/b.key");
    place.check("chat.example", None);
}

#[test]
fn of_two_certificates_for_a_name_the_newer_file_counts() {
    let place = Place::new();
    place.put(&["chat.example"], "certs/a.crt", "certs/a.key");
    place.put(&["chat.example"], "certs/b.crt", "certs/b.key");
    let age = |file: &str, seconds| {
        let file = File::options().append(true).open(place.path(file));
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.and_then(|file| file.set_modified(then))
            .expect("the time is set");
    };
    age("certs/a.crt", 2_000);
    age("certs/b.crt", 1_000);
    place.check("chat.example", Some("certs/a.crt"));
    age("certs/b.crt", 3_000);
    place.check("chat.example", Some("certs/b.crt"));
}

#[test]
fn a_file_that_is_no_certificate_is_told_of() {
    let place = Place::new();
    place.put(&["chat.example"], "certs/good.crt", "certs/good.key");
    place.put(&["bad.example"], "certs/bad.crt", "certs/bad.key");
    place.write("certs/bad.crt", "nonsense");
    let unreadable = place.index().unreadable;
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    assert!(unreadable[0].contains("certs/bad.crt: "), "{unreadable:?}");
    place.check("chat.example", Some("certs/good.crt"));
}

#[test]
fn the_certificate_for_unknown_names_is_the_written_one_then_any() {
    let place = Place::new();
    for name in ["a", "b", "s", "h"] {
        place.put(
            &["x.example"],
            &format!("{name}.crt"),
            &format!("{name}.key"),
        );
    }
    place.put(&["chat.example"], "certs/chat.crt", "certs/chat.key");
    place.put(&["x.example"], "web/https.crt", "web/https.key");
    let by_port = "https_certificate = { 443 = \"a.crt\", default = \"b.crt\" }";
    let ssl = "ssl = { certificate = \"s.crt\", key = \"s.key\" }";
    let https_ssl = "https_ssl = { certificate = \"h.crt\", key = \"h.key\" }";
    place.check_default("", 443, Some("certs/chat.crt"));
    place.check_default("https_certificate = \"a.crt\"", 5281, Some("a.crt"));
    place.check_default("https_certificate = \"web\"", 5281, Some("web/https.crt"));
    place.check_default(by_port, 443, Some("a.crt"));
    place.check_default(by_port, 5281, Some("b.crt"));
    place.check_default(&format!("{by_port}\n{ssl}"), 443, Some("s.crt"));
    place.check_default(&format!("{ssl}\n{https_ssl}"), 443, Some("h.crt"));
}

#[test]
fn a_host_has_its_written_certificate_or_the_one_written_for_all() {
    let place = Place::new();
    let own = |options: &str, host: &str| {
        let config = place.config(&format!("{options}\n[hosts.\"chat.example\"]\n{host}"));
        config.hosts[0].certificate.clone()
    };
    let pair = |name: &str| {
        Some(Pair {
            certificate: place.path(&format!("{name}.crt")),
            key: place.path(&format!("{name}.key")),
        })
    };
    let ssl = "ssl = { certificate = \"s.crt\", key = \"s.key\" }";
    let https_ssl = "https_ssl = { certificate = \"h.crt\", key = \"h.key\" }";
    assert_eq!(own("", ""), None);
    assert_eq!(own("", ssl), pair("s"));
    assert_eq!(own(https_ssl, ssl), pair("h"));
    assert_eq!(own(ssl, https_ssl), pair("h"));
    assert_eq!(own(ssl, ""), None, "it is for names that no host has");
}

#[test]
fn without_a_certificate_https_is_off_unless_it_was_asked_for() {
    let place = Place::new();
    let config = place.config("[hosts.\"chat.example\"]");
    assert!(config.http.lacks_certificate);
    assert!(config.http.listen_tls.is_empty());
    assert_eq!(config.hosts[0].base_url, "http://chat.example:5280");
    check_files(&config).expect("nothing is missing");

    let config = place.config("https_ports = [5281]\n[hosts.\"chat.example\"]");
    let error = Tls::load(&config).expect_err("there is no certificate");
    let folder = place.path("certs");
    assert!(error.starts_with(&place.path("invited.toml").display().to_string()));
    assert!(
        error.contains(&format!("in {};", folder.display())),
        "{error}"
    );
    assert_eq!(check_files(&config), Err(error));
}

#[test]
fn with_a_certificate_https_is_on_and_links_begin_with_it() {
    let place = Place::new();
    place.put(&["chat.example"], "certs/a.crt", "certs/a.key");
    let config = place.config("[hosts.\"chat.example\"]");
    let addresses: Vec<String> = config
        .http
        .listen_tls
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["0.0.0.0:5281", "[::]:5281"]);
    assert_eq!(config.hosts[0].base_url, "https://chat.example:5281");
    Tls::load(&config).expect("the certificate is good");
}

#[test]
fn one_host_with_a_certificate_is_enough() {
    let place = Place::new();
    place.put(&["x.example"], "own.crt", "own.key");
    let ssl = "ssl = { certificate = \"own.crt\", key = \"own.key\" }";
    let config = place.config(&format!("[hosts.\"chat.example\"]\n{ssl}"));
    assert!(!config.http.lacks_certificate);
    Tls::load(&config).expect("the certificate is good");

    place.put(&["x.example"], "certs/b.example.pem", "certs/b.example.pem");
    let config = place.config("[hosts.\"chat.example\"]\n[hosts.\"b.example\"]");
    assert!(!config.http.lacks_certificate);
    Tls::load(&config).expect("the certificate is good");
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let place = Place::new();
    place.put(&["chat.example"], "certs/a.crt", "certs/a.key");
    place.put(&["chat.example"], "certs/b.crt", "certs/a.key");
    fs::remove_file(place.path("certs/b.crt")).expect("it is there");
    let error = Tls::load(&place.config("[hosts.\"chat.example\"]")).expect_err("it is broken");
    for file in ["certs/a.crt", "certs/a.key"] {
        let file = place.path(file);
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}

#[test]
fn files_that_are_missing_are_named() {
    let place = Place::new();
    let check = |option: &str, file: &str| {
        let text = format!("https_ports = [5281]\n{option}\n[hosts.\"chat.example\"]");
        let error = Tls::load(&place.config(&text)).expect_err("a file is missing");
        let path: &Path = &place.path(file);
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    };
    check("https_certificate = \"none.crt\"", "none.crt");
    check(
        "https_ssl = { certificate = \"no.crt\", key = \"no.key\" }",
        "no.crt",
    );
}
