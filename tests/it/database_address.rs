//! The address of a PostgreSQL database: no door shows any part of a password, and no password goes
//! in clear to whoever is in between.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use invited::store::{PostgresAddress, Store};

/// Addresses with the parts of their passwords, each of which would tell something.
const WITH_PASSWORDS: &[(&str, &[&str])] = &[
    // An `@`, a slash or the like that is not percent-encoded.
    (
        "postgres://invited:s3cr@t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr@@t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    ("postgresql://invited:@s3cr@127.0.0.1:1/invited", &["s3cr"]),
    (
        "postgres://invited:s3cr/t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr?t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr#t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr:t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr,t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:[s3cr]t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr%t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr%FFt-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3crét-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr@t-tail@a.invalid:1,b.invalid:1/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited@example:s3cr@127.0.0.1:1/invited",
        &["s3cr"],
    ),
    // Something is missing or superfluous.
    ("postgres://invited:s3cr", &["s3cr"]),
    ("postgres://invited:s3cr/invited", &["s3cr"]),
    ("postgres://invited:s3cr@", &["s3cr"]),
    ("postgres://invited:s3cr@/invited", &["s3cr"]),
    ("postgres://invited:s3cr@:port/invited", &["s3cr"]),
    ("postgres://invited:s3cr@127.0.0.1:port/invited", &["s3cr"]),
    ("postgres://invited:s3cr@[::1/invited", &["s3cr"]),
    (
        "postgres://invited:s3cr@t-tail!/invited",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://invited:s3cr@127.0.0.1:1/invited?sslmode",
        &["s3cr"],
    ),
    (
        "postgres://invited:s3cr@127.0.0.1:1/invited?sslmode=sometimes",
        &["s3cr"],
    ),
    (
        "postgres://invited:s3cr@127.0.0.1:1/invited?sslmod=require",
        &["s3cr"],
    ),
    (
        "postgres://invited:s3cr@127.0.0.1:1/invited?sslrootcert=/nowhere",
        &["s3cr"],
    ),
    ("postgres:/invited:s3cr@127.0.0.1:1/invited", &["s3cr"]),
    ("postgres:invited:s3cr@127.0.0.1:1/invited", &["s3cr"]),
    ("Postgres://invited:s3cr@127.0.0.1:1/invited", &["s3cr"]),
    ("invited:s3cr@127.0.0.1:1/invited", &["s3cr"]),
    // As a parameter.
    (
        "postgres://127.0.0.1:1/invited?user=invited&password=s3cr@t-tail",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://127.0.0.1:1/invited?user=invited&password=s3cr&t-tail",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://127.0.0.1:1/invited?user=invited&password=s3cr&t-tail=1",
        &["s3cr", "t-tail"],
    ),
    (
        "postgres://127.0.0.1:1?password=s3cr/t-tail&user",
        &["s3cr", "t-tail"],
    ),
    (
        "host=127.0.0.1 port=1 user=invited password=s3cr t-tail",
        &["s3cr", "t-tail"],
    ),
    // A good one, which leads nowhere.
    (
        "postgres://invited:s3cr%40t-tail@127.0.0.1:1/invited",
        &["s3cr", "t-tail"],
    ),
];

const REST: &str = "\ndata_path = \"data\"\n[hosts.\"example.com\"]\n";

fn run(folder: &Path, config: &str, words: &[&str]) -> Output {
    fs::write(folder.join("invited.toml"), format!("{config}{REST}")).expect("a configuration");
    Command::new(env!("CARGO_BIN_EXE_invited"))
        .args(words)
        .current_dir(folder)
        .env("INVITED_CONFIG", folder.join("invited.toml"))
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

#[track_caller]
fn assert_hides(output: &Output, words: &[&str], url: &str, parts: &[&str]) -> String {
    let told = [&output.stdout[..], &output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    for part in parts {
        assert!(
            !told.contains(part),
            "{words:?} with {url} told {part}: {told}"
        );
    }
    assert!(!told.is_empty(), "{words:?} with {url} told nothing");
    told
}

#[test]
fn no_command_shows_any_part_of_a_password_in_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    for (url, parts) in WITH_PASSWORDS {
        let config = format!("database = {url:?}");
        for words in [
            &["config", "check"][..],
            &["doctor"],
            &["serve"],
            &["invite", "list", "example.com", "--json"],
            &["import", "prosody", "--dry-run", "--json"],
        ] {
            let output = run(folder.path(), &config, words);
            assert_hides(&output, words, url, parts);
        }
    }
}

#[test]
fn no_command_shows_any_part_of_a_password_that_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    for (url, parts) in WITH_PASSWORDS {
        let cut: Vec<_> = url.split(' ').collect();
        for words in [
            &["migrate-store", "sqlite:a", url][..],
            &["migrate-store", url, "sqlite:a"],
            // As a shell hands it over without quotes, and with a word too many.
            &[&["migrate-store", "sqlite:a"], &cut[..], &["more"]].concat(),
            &["migrate-store", "sqlite:a", url, "--cafile", "x"],
            &["import", "ejabberd", "--json", "--database", url],
            &["import", "ejabberd", url],
            &["serve", "--database", url],
        ] {
            let output = run(folder.path(), "", words);
            assert_hides(&output, words, url, parts);
            assert!(!output.status.success(), "{words:?} with {url}");
        }
    }
}

#[test]
fn a_line_that_is_no_toml_shows_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    for config in [
        "database = postgres://invited:s3cr=t-tail@127.0.0.1:1/invited?sslmode=require",
        "database = \"postgres://invited:s3cr=t-tail@127.0.0.1:1/invited",
        "database = \"postgres://invited:\\s3cr=t-tail@127.0.0.1:1/invited\"",
        "database =\n\"postgres://invited:s3cr=t-tail@127.0.0.1:1/invited\"",
        "database = \"\"\"postgres://\\\n  invited:\\s3cr=t-tail@127.0.0.1:1/invited\"\"\"",
        "database = [\"postgres://invited:s3cr=t-tail@127.0.0.1:1/invited\"]",
        "database = { \"s3cr=t-tail\" = 1 }",
        "\"postgres://invited:s3cr=t-tail@127.0.0.1:1/invited\"",
        "postgres://invited:s3cr=t-tail@127.0.0.1:1/invited",
        "database \"postgres://invited:s3cr=t-tail@127.0.0.1:1/invited\"",
    ] {
        for words in [&["config", "check"][..], &["serve"]] {
            let output = run(folder.path(), config, words);
            let told = assert_hides(&output, words, config, &["s3cr", "t-tail"]);
            assert!(told.contains("invited.toml:"), "{config}: {told}");
        }
    }
}

#[test]
fn what_is_not_clear_is_refused_with_the_way_out() {
    for url in [
        "postgres://invited:s3cr@t-tail@127.0.0.1/invited",
        "postgres://invited:s3cr/t-tail@127.0.0.1/invited",
        "postgres://127.0.0.1/invited?user=invited&password=s3cr@t-tail",
    ] {
        let told = PostgresAddress::new(url, None, None).expect_err(url);
        assert!(told.contains("%40 (@)"), "{url}: {told}");
        assert!(told.contains("INVITED_DATABASE_PASSWORD"), "{url}: {told}");
    }
    for (url, shown) in [
        ("postgres://u:a%40b@127.0.0.1/d", "\"d\" on 127.0.0.1"),
        (
            "postgres://u:a:b#c@db.example:99/d",
            "\"d\" on db.example:99",
        ),
        (
            "postgres://u@a.example,b.example:2/d?connect_timeout=2",
            "on a.example, b.example:2",
        ),
        ("postgres://u@[::1]/d", "\"d\" on ::1"),
        (
            "postgres://u@%2Frun%2Fpostgresql/d",
            "\"d\" on /run/postgresql",
        ),
        (
            "postgres:///d?host=/run/postgresql",
            "\"d\" on /run/postgresql",
        ),
    ] {
        let address = PostgresAddress::new(url, None, None).expect(url);
        assert!(address.to_string().contains(shown), "{url}: {address}");
    }
}

/// A server that has no TLS and asks for the password in clear; gives everything that one client said.
fn in_between() -> (u16, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let said = &buffer[..length];
            heard.extend_from_slice(said);
            // PostgreSQL, "Message Formats": SSLRequest; AuthenticationCleartextPassword.
            let answer: &[u8] = match said {
                [0, 0, 0, 8, 4, 210, 22, 47] => b"N",
                [b'p', ..] => break,
                _ => b"R\0\0\0\x08\0\0\0\x03",
            };
            if client.write_all(answer).is_err() {
                break;
            }
        }
        heard
    });
    (port, heard)
}

/// Whether somebody in between hears the password, and what the operator is told.
async fn hears_the_password(host: &str, parameters: &str) -> (bool, String) {
    let (port, heard) = in_between();
    let url = format!("postgres://invited:s3cret@{host}:{port}/invited?{parameters}");
    let address = PostgresAddress::new(&url, None, None).expect("a good address");
    let told = Store::open_postgres(address)
        .await
        .expect_err("it is no database");
    let heard = heard.join().expect("it ends");
    assert!(!heard.is_empty(), "{url}: nobody came");
    (
        heard.windows(6).any(|part| part == b"s3cret"),
        told.to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_between_gets_the_password_by_answering_that_there_is_no_tls() {
    for parameters in [
        "hostaddr=127.0.0.1",
        "hostaddr=127.0.0.1&sslmode=require",
        "hostaddr=127.0.0.1&sslmode=verify-full",
        "hostaddr=127.0.0.1&application_name=x",
    ] {
        let (heard, told) = hears_the_password("db.example.com", parameters).await;
        assert!(!heard, "{parameters}");
        assert!(
            told.contains("does not support TLS"),
            "{parameters}: {told}"
        );
        assert!(!told.contains("prefer"), "{parameters}: {told}");
    }
    for parameters in ["sslmode=require", "sslnegotiation=direct"] {
        let (heard, _) = hears_the_password("127.0.0.1", parameters).await;
        assert!(!heard, "{parameters}");
    }
    // Where it is on this machine, or the operator wants it so.
    for (host, parameters) in [
        ("127.0.0.1", ""),
        ("localhost", "hostaddr=127.0.0.1"),
        ("db.example.com", "hostaddr=127.0.0.1&sslmode=disable"),
        ("db.example.com", "hostaddr=127.0.0.1&sslmode=prefer"),
    ] {
        let (heard, _) = hears_the_password(host, parameters).await;
        assert!(heard, "{host} {parameters}");
    }
}

#[test]
fn what_the_address_says_about_tls_is_checked_before_anybody_is_asked() {
    let ca = Path::new("/nowhere/ca.pem");
    for (parameters, ca_file, why) in [
        (
            "sslmode=allow",
            None,
            "sslmode is disable, prefer, require, verify-ca or verify-full",
        ),
        ("sslmode=verify-ca", None, "verify-ca needs an authority"),
        (
            "sslmode=verify-ca&sslrootcert=system",
            None,
            "verify-ca needs an authority",
        ),
        ("sslrootcert=ca.pem", None, "a path that begins with /"),
        ("sslrootcert=/nowhere/b.pem", None, "/nowhere/b.pem: "),
        ("sslrootcert=/nowhere/b.pem", Some(ca), "one and the same"),
        ("", Some(ca), "/nowhere/ca.pem: "),
        (
            "sslcert=/a.crt",
            None,
            "unknown option; known are application_name",
        ),
    ] {
        let url = format!("postgres://u@db.example.com/d?{parameters}");
        let told = PostgresAddress::new(&url, None, ca_file).expect_err("it is wrong");
        assert!(told.contains(why), "{parameters}: {told}");
    }
}
