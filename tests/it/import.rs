//! Moving in: what other servers kept can be used here, whatever form they kept it in.

use std::fs;
use std::path::{Path, PathBuf};

use invited::app::By;
use invited::clock::Timestamp;
use invited::config::Config;
use invited::error::Error;
use invited::import::prosody::Prosody;
use invited::import::{Found, Report, bring_over, ejabberd};
use invited::invite::{Kind, NewInvite, State};
use invited::jid::Localpart;
use invited::secret::Secret;
use invited::store::ListInvites;
use tempfile::TempDir;

use crate::support::{Desk, START};

const ACCOUNT: &str = "-ccountInviteToken_00001";
const NAMED: &str = "namedInviteToken-0000002";
const GROUP: &str = "groupInviteToken-0000003";
const BOTH: &str = "_rosterInviteToken-00004";
const CONTACT: &str = "contactOnlyToken-0000005";
const RESET: &str = "resetInviteToken-0000006";
const KEY: &str = "-TwALnKLabcd/secretsecretsecretsecretsecretsecr";

/// A Prosody's configuration and data, without a Prosody.
struct Other(TempDir);

impl Other {
    fn new(options: &str) -> Self {
        let other = Self(tempfile::tempdir().expect("a folder"));
        other.write(
            "prosody.cfg.lua",
            &format!("data_path = 'data'\n{options}\nVirtualHost 'chat.example'\n"),
        );
        other
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(path, text).expect("it is written");
    }

    /// Every kind of invite in files, as Prosody writes them.
    fn with_files() -> Self {
        let other = Self::new("");
        let entries = records().map(|(token, record)| {
            let fields: Vec<_> = record
                .iter()
                .map(|(key, value)| format!("\t\t[\"{key}\"] = {value};\n"))
                .collect();
            format!("\t[\"{token}\"] = {{\n{}\t}};\n", fields.concat())
        });
        other.write(
            "data/chat%2eexample/invite_token.dat",
            &format!("return {{\n{}}};\n", entries.concat()),
        );
        let end = START + 100;
        other.write(
            "data/chat%2eexample/invite_token/nora.dat",
            &format!("return {{\n\t[\"{BOTH}\"] = {end};\n\t[\"{CONTACT}\"] = {end};\n}};\n"),
        );
        other.write(
            "data/chat%2eexample/invites_tracking/anna%2bwork.dat",
            &format!(
                "return {{\n\t[\"invite_id\"] = \"{GROUP}\";\n\t[\"invite_source\"] = \"nora@chat.example/phone\";\n}};\n"
            ),
        );
        other.write(
            "data/chat%2eexample/invites_tracking/%20.dat",
            "return {\n\t[\"version\"] = \"1\";\n};\n",
        );
        let (id, secret) = KEY.split_once('/').expect("a key");
        other.write(
            "data/chat%2eexample/invite_api_keys.dat",
            &format!("return {{\n\t[\"{id}\"] = {{\n\t\t[\"id\"] = \"{id}\";\n\t\t[\"token\"] = \"{secret}\";\n\t}};\n}};\n"),
        );
        other
    }

    fn open(&self) -> Prosody {
        Prosody::open(&self.path("prosody.cfg.lua"), None, &[]).expect("it opens")
    }

    async fn find(&self) -> Found {
        self.open().find(Timestamp(START)).await
    }
}

/// Token and fields, the values as Lua.
fn records() -> [(&'static str, Vec<(&'static str, String)>); 5] {
    let record = |kind: &str, jid: &str, more: &[(&'static str, &str)]| {
        let mut fields = vec![
            ("type", format!("\"{kind}\"")),
            ("jid", format!("\"{jid}\"")),
            ("allow_registration", "true".to_owned()),
            ("created_at", (START - 100).to_string()),
            ("expires", (START + 100).to_string()),
        ];
        fields.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        fields
    };
    [
        (ACCOUNT, record("register", "chat.example", &[])),
        (NAMED, record("register", "theo@chat.example", &[])),
        (
            GROUP,
            record(
                "register",
                "chat.example",
                &[
                    ("reusable", "true"),
                    (
                        "additional_data",
                        "{ groups = { \"a\"; \"b\" }; source = \"nora@chat.example\" }",
                    ),
                ],
            ),
        ),
        (BOTH, record("roster", "nora@chat.example", &[])),
        (
            RESET,
            record(
                "register",
                "theo@chat.example",
                &[("additional_data", "{ allow_reset = \"theo\" }")],
            ),
        ),
    ]
}

async fn take_over(desk: &Desk, found: Found) -> Vec<Report> {
    let mut reports = Vec::new();
    for host in found.hosts {
        let ours = desk
            .app
            .config
            .host(host.domain.as_str())
            .expect("it is ours");
        reports.push(
            bring_over(&desk.app, ours, host, |_| {})
                .await
                .expect("it is taken over"),
        );
    }
    reports
}

fn new_rows(reports: &[Report]) -> usize {
    let tallies = reports.iter().flat_map(|report| report.tallies.values());
    tallies.map(|tally| tally.new).sum()
}

#[track_caller]
fn told(problems: &[String], words: &str) {
    assert!(
        problems.iter().any(|problem| problem.contains(words)),
        "{words:?} is not in {problems:?}"
    );
}

#[tokio::test]
async fn everything_that_prosody_kept_can_be_used_here() {
    let (desk, other) = (Desk::open(), Other::with_files());
    let found = other.find().await;
    assert!(found.problems.is_empty() && found.hosts[0].problems.is_empty());
    let reports = take_over(&desk, found).await;
    assert_eq!(new_rows(&reports), 8);

    let app = &desk.app;
    for (token, kind, name, max_uses) in [
        (ACCOUNT, Kind::Account, None, Some(1)),
        (NAMED, Kind::Account, Some("theo"), Some(1)),
        (GROUP, Kind::Account, None, None),
        (BOTH, Kind::Contact, Some("nora"), Some(1)),
        (CONTACT, Kind::Contact, Some("nora"), Some(1)),
        (RESET, Kind::Reset, Some("theo"), Some(1)),
    ] {
        let (invite, _) = app.look_up(desk.host(), token).await.expect("it is open");
        let localpart = invite.localpart.as_ref().map(Localpart::as_str);
        assert_eq!(
            (invite.kind, localpart, invite.max_uses),
            (kind, name, max_uses)
        );
        assert_eq!(invite.allow_registration, token != CONTACT);
        assert_eq!(app.token_of(&invite).expect("it is sealed").expose(), token);
    }
    let named = app.reserve(desk.host(), NAMED, "theo", "a").await;
    app.confirm(desk.host(), named.expect("its name is held for it"))
        .await
        .expect("confirmed");
    app.claim_contact(desk.host(), CONTACT, "nora")
        .await
        .expect("the contact is approved");
    app.accept_key(desk.host(), KEY)
        .await
        .expect("the key is good");

    let anna = "anna+work".parse().expect("a name");
    let history = app.inviters_of(desk.host(), &anna).await.expect("history");
    assert_eq!(
        history[0].creator.as_ref().map(Localpart::as_str),
        Some("nora")
    );
    let (group, _) = app.look_up(desk.host(), GROUP).await.expect("it is open");
    assert_eq!((group.uses, history[0].invite_id), (1, group.id));
    assert_eq!(group.details.groups, ["a", "b"]);
}

#[tokio::test]
async fn a_name_is_held_for_the_invite_that_brings_it() {
    let (desk, other) = (Desk::open(), Other::with_files());
    take_over(&desk, other.find().await).await;
    let answer = desk.app.reserve(desk.host(), ACCOUNT, "theo", "a").await;
    assert!(matches!(answer, Err(Error::NameHeld)));
    let wanted = NewInvite {
        localpart: Some("theo".parse().expect("a name")),
        ..NewInvite::account()
    };
    let answer = desk.app.create_invite(desk.host(), wanted, By::Operator);
    assert!(matches!(answer.await, Err(Error::NameHeld)));
}

#[tokio::test]
async fn importing_twice_is_the_same_as_once() {
    let (desk, other) = (Desk::open(), Other::with_files());
    take_over(&desk, other.find().await).await;
    let used = desk.app.reserve(desk.host(), ACCOUNT, "tim", "a").await;
    desk.app
        .confirm(desk.host(), used.expect("a use"))
        .await
        .expect("confirmed");

    let again = take_over(&desk, other.find().await).await;
    assert_eq!(new_rows(&again), 0);
    assert!(again[0].problems.is_empty());
    let all = ListInvites {
        limit: 100,
        ..ListInvites::default()
    };
    let page = desk
        .app
        .list_invites(desk.host(), &all)
        .await
        .expect("a list");
    assert_eq!(page.invites.len(), 6);
    let answer = desk.app.reserve(desk.host(), ACCOUNT, "tom", "b").await;
    assert!(matches!(answer, Err(Error::InviteUsedUp)));
}

#[tokio::test]
async fn imported_invites_stand_in_lists_where_their_age_puts_them() {
    let (desk, other) = (Desk::open(), Other::with_files());
    let mut found = other.find().await;
    let oldest = &mut found.hosts[0].invites[3];
    oldest.created_at = Timestamp(1_000);
    let oldest = oldest.token.clone();
    take_over(&desk, found).await;
    let first = ListInvites {
        limit: 1,
        ..ListInvites::default()
    };
    let page = desk.app.list_invites(desk.host(), &first).await;
    let invite = page.expect("a list").invites.remove(0);
    let token = desk.app.token_of(&invite).expect("it is sealed");
    assert_eq!(token.expose(), oldest.expose());
}

#[tokio::test]
async fn of_two_invites_with_one_name_the_longer_lived_holds_it() {
    let (desk, other) = (Desk::open(), Other::new(""));
    let record = |end: i64| {
        format!("{{ type = \"register\"; jid = \"theo@chat.example\"; expires = {end} }}")
    };
    other.write(
        "data/chat%2eexample/invite_token.dat",
        &format!(
            "return {{ [\"{ACCOUNT}\"] = {}; [\"{NAMED}\"] = {} }};",
            record(START + 5),
            record(START + 9)
        ),
    );
    let reports = take_over(&desk, other.find().await).await;
    assert_eq!(new_rows(&reports), 2);
    told(&reports[0].problems, "fixed name theo");
    let answer = desk.app.reserve(desk.host(), ACCOUNT, "theo", "a").await;
    assert!(matches!(answer, Err(Error::NameHeld)));
    let answer = desk.app.reserve(desk.host(), NAMED, "theo", "a").await;
    answer.expect("the name is its");
}

#[tokio::test]
async fn what_expired_long_ago_stays_behind_and_what_did_lately_comes() {
    let other = Other::with_files();
    let mut found = other.find().await;
    let host = &mut found.hosts[0];
    host.invites[0].expires_at = Timestamp(START - 31 * 86_400);
    host.invites[1].expires_at = Timestamp(START - 86_400);
    host.leave_out_what_is_long_over(30 * 86_400, Timestamp(START));
    told(&host.problems, "1 invite expired more than 30 days ago");
    assert_eq!(host.invites.len(), 5);

    let desk = Desk::open();
    let lately = host.invites[0].token.clone();
    take_over(&desk, found).await;
    let invite = desk.app.find_invite(desk.host(), &lately).await;
    let invite = invite.expect("it came");
    assert_eq!(invite.state(Timestamp(START)), State::Expired);
}

#[tokio::test]
async fn a_key_whose_id_is_taken_by_another_is_told() {
    let (desk, other) = (Desk::open(), Other::with_files());
    take_over(&desk, other.find().await).await;
    let mut found = other.find().await;
    found.hosts[0].keys[0].key.secret = Secret::new("another secret");
    let reports = take_over(&desk, found).await;
    told(&reports[0].problems, "another key with this id");
}

#[tokio::test]
async fn a_half_written_file_is_named_with_its_line_and_the_rest_comes() {
    let other = Other::with_files();
    let path = other.path("data/chat%2eexample/invite_token.dat");
    let text = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, &text[..text.len() - 40]).expect("it is cut");
    let found = other.find().await;
    told(&found.hosts[0].problems, "invite_token.dat:32: ");
    // The contact-only one and all but the last of those at the host.
    assert_eq!(found.hosts[0].invites.len(), 5);
}

const TABLE: &str = "
    CREATE TABLE \"Prosody\" (\"host\" TEXT NOT NULL, \"user\" TEXT NOT NULL, \"store\" TEXT NOT NULL,
        \"key\" TEXT NOT NULL, \"type\" TEXT NOT NULL, \"value\" TEXT NOT NULL)";

fn prosody_table(path: &Path, rows: &[(&str, &str, &str, &str, String)]) {
    let database = rusqlite::Connection::open(path).expect("it opens");
    database.execute_batch(TABLE).expect("a table");
    for (user, store, key, form, value) in rows {
        let sql = "insert into prosody values ('chat.example', ?1, ?2, ?3, ?4, ?5)";
        database
            .execute(sql, rusqlite::params![user, store, key, form, value])
            .expect("a row");
    }
}

fn rows_of_sql() -> Vec<(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    String,
)> {
    let record = |end: i64| {
        format!(
            "{{\"type\":\"register\",\"jid\":\"chat.example\",\"created_at\":1,\"expires\":{end},\
             \"additional_data\":{{\"groups\":{{}},\"roles\":[\"prosody:admin\",\"x\"]}}}}"
        )
    };
    let (id, secret) = KEY.split_once('/').expect("a key");
    vec![
        ("", "invite_token", ACCOUNT, "json", record(START + 1)),
        ("", "invite_token", ACCOUNT, "json", record(START + 2)),
        (
            "nora",
            "invite_token",
            CONTACT,
            "number",
            (START + 3).to_string(),
        ),
        (
            "",
            "invite_token",
            "brokenTokenTokenToken000",
            "json",
            "{half".to_owned(),
        ),
        (
            "",
            "invite_api_keys",
            id,
            "json",
            format!("{{\"token\":\"{secret}\"}}"),
        ),
        (
            "anna",
            "invites_tracking",
            "invite_id",
            "string",
            ACCOUNT.to_owned(),
        ),
        (
            "anna",
            "invites_tracking",
            "invite_source",
            "string",
            "nora@chat.example".to_owned(),
        ),
        (" ", "invites_tracking", "version", "string", "1".to_owned()),
        (
            "anna",
            "accounts",
            "password",
            "string",
            "hunter2".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn rows_of_prosodys_sqlite_are_read_and_the_last_of_two_counts() {
    let other = Other::new("default_storage = 'sql'\nstorage = { accounts = 'internal' }");
    fs::create_dir(other.path("data")).expect("a folder");
    prosody_table(&other.path("data/prosody.sqlite"), &rows_of_sql());
    let host = other.find().await.hosts.remove(0);
    let ends: Vec<_> = host
        .invites
        .iter()
        .map(|invite| invite.expires_at.0 - START)
        .collect();
    assert_eq!(ends, [2, 3]);
    assert_eq!(host.invites[0].details.roles, ["prosody:admin", "x"]);
    assert_eq!((host.keys.len(), host.registrations.len()), (1, 1));
    told(&host.problems, "cannot be read");
    told(&host.problems, "the day of the import stands for it");
}

#[tokio::test]
async fn storage_that_is_not_read_is_named_with_advice() {
    for (options, words) in [
        (
            "storage = 'sql'\nsql = { driver = 'MySQL', database = 'prosody' }",
            "MySQL",
        ),
        ("storage = { invite_token = 'xmlarchive' }", "xmlarchive"),
        ("storage = 'sql'", "prosody.sqlite"),
        (
            "storage = 'sql'\nsql = { driver = 'PostgreSQL', database = 'p', host = '127.0.0.1', port = 1 }",
            "PostgreSQL",
        ),
    ] {
        let host = Other::new(options).find().await.hosts.remove(0);
        told(&host.problems, words);
        told(&host.problems, "invite_token was not read");
    }
}

#[test]
fn the_written_configuration_is_good_and_says_where_each_option_is_from() {
    let other = Other::new(
        "site_name = 'Everybody'\ninvite_expiry = '2 weeks'\nhttp_ports = 5290\nhttp_interfaces = { '*', '::' }\n\
         trusted_proxies = { '10.0.0.0/8' }\nhttp_external_url = 'not a url'\nhttp_host = 'one.example'\n\
         http_default_host = 'chat.example'\npassword_policy = { length = 12, exclude_username = false, odd = 1 }\n\
         site_apps_hide = { 'renga' }\nhttp_paths = { invites_page = '/$host/welcome', other = '/x' }\n\
         modules_enabled = { 'invites_page', 'bosh' }\nc2s_ports = { 15222 }\n\
         VirtualHost 'b\u{fc}cher.example'\n\tsite_name = 'Books \"and\" more'\n\tinvite_expiry = '1 month'\n",
    );
    let target = other.path("invited.toml");
    let odd = ["chat.example".parse().expect("a domain")];
    let text = other.open().settings(&target, &odd);
    let config = Config::parse(&target, &text).expect("it is accepted");

    let chat = config.host("chat.example").expect("it is there");
    assert_eq!(
        (chat.site_name.as_str(), chat.invite_expiry),
        ("Everybody", 14 * 86_400)
    );
    assert_eq!(chat.paths.invites_page, "/chat.example/welcome");
    assert_eq!(
        (
            chat.password_policy.length,
            chat.password_policy.exclude_username
        ),
        (12, false)
    );
    assert_eq!(chat.xmpp.address, Some(("127.0.0.1".to_owned(), 15222)));
    assert!(!chat.registration_form);
    assert_eq!(chat.usernames, invited::config::file::Usernames::Any);
    let books = config.host("b\u{fc}cher.example").expect("it is there");
    assert_eq!(books.site_name, "Books \"and\" more");
    assert_eq!(config.http.listen[0].to_string(), "0.0.0.0:5300");

    let place = |line| format!("{}:{line}", other.path("prosody.cfg.lua").display());
    for words in [
        format!("# {} (all hosts)\nsite_name = \"Everybody\"", place(2)),
        format!("# {} (b\u{fc}cher.example)\nsite_name", place(16)),
        "# http_external_url = \"not a url\"".to_owned(),
        "# http_host = \"one.example\"".to_owned(),
        "invite_expiry = \"1 month\"".to_owned(),
        "Prosody needs [5290] for bosh".to_owned(),
    ] {
        assert!(text.contains(&words), "{words} is not in\n{text}");
    }
}

#[test]
fn data_without_a_configuration_are_read_by_their_folders() {
    let other = Other::with_files();
    let missing = other.path("nothing.cfg.lua");
    let data = other.path("data");
    let open = |hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Prosody::open(&missing, Some(&data), &hosts)
    };
    assert!(open(&[]).is_ok() && open(&["Chat.Example"]).is_ok());
    let error = open(&["nowhere.example"]).expect_err("it is unknown");
    assert_eq!(
        error,
        "Prosody has no host \"nowhere.example\"; it has: chat.example"
    );
    assert!(Prosody::open(&missing, None, &[]).is_err());
}

#[tokio::test]
async fn ejabberds_invites_come_with_what_became_of_them() {
    let desk = Desk::open();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ejabberd.db");
    let database = rusqlite::Connection::open(&path).expect("it opens");
    database
        .execute_batch(
            "create table invite_token (token text not null, username text not null, server_host text not null,
                 invitee text not null default '', created_at timestamp not null default current_timestamp,
                 expires timestamp not null, type char(1) not null, account_name text not null);
             insert into invite_token values
                 ('accountTokenToken0000001', '', 'chat.example', '', '2027-01-01 00:00:00', '2027-01-06 00:00:00', 'A', 'theo'),
                 ('usedTokenTokenToken00002', 'nora', 'chat.example', 'tim@chat.example', '2026-12-31 23:00:00', '2027-01-05 00:00:00', 'S', 'tim'),
                 ('contactTokenToken0000003', 'nora', 'chat.example', '', '2027-01-01 00:00:00', '2027-01-06 00:00:00', 'R', ''),
                 ('resetTokenTokenToken0004', '', 'chat.example', '', '2027-01-01 00:00:00', '2027-01-01 12:00:00', 'T', 'tim')",
        )
        .expect("a table");
    let url = Secret::new(format!("sqlite:{}", path.display()));
    let found = ejabberd::find(&url, &[]).await.expect("it reads");
    let reports = take_over(&desk, found).await;
    assert_eq!(new_rows(&reports), 5);
    let again = ejabberd::find(&url, &[]).await.expect("it reads");
    assert_eq!(new_rows(&take_over(&desk, again).await), 0);

    let answer = desk
        .app
        .reserve(desk.host(), "accountTokenToken0000001", "theo", "a");
    answer.await.expect("the name is held for it");
    let answer = desk
        .app
        .reserve(desk.host(), "usedTokenTokenToken00002", "tom", "b");
    assert!(matches!(answer.await, Err(Error::InviteUsedUp)));
    let nora = "nora".parse().expect("a name");
    let invited = desk
        .app
        .invited_by(desk.host(), &nora)
        .await
        .expect("a tree");
    assert_eq!(invited[0].registration.localpart.as_str(), "tim");
    for bad in ["sqlite:/nowhere/at/all", "mysql://x"] {
        assert!(
            ejabberd::find(&Secret::new(bad), &[]).await.is_err(),
            "{bad}"
        );
    }
}
