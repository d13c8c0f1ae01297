//! What reading costs: tokens, addresses, keys, links, and the files of another server.

use std::hint::black_box;
use std::str::FromStr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use invited::api_key::PresentedKey;
use invited::app::FindBy;
use invited::clock::Timestamp;
use invited::import::prosody::Prosody;
use invited::jid::{BareJid, Domain, Localpart};
use invited::token::InviteToken;
use invited::uri::percent_encoded;

const TOKEN: &str = "7Hq2mZc4XwTn9BvKd1Ry5LpA";
/// Records in a file of Prosody's.
const RECORDS: u32 = 1000;

fn texts(c: &mut Criterion) {
    parse::<InviteToken>(c, "token", TOKEN);
    parse::<Localpart>(c, "localpart, ASCII", "theodora.lovelace");
    parse::<Localpart>(c, "localpart, other letters", "Ødegård");
    parse::<Domain>(c, "domain, ASCII", "chat.example");
    parse::<Domain>(c, "domain, other letters", "büro.example");
    parse::<BareJid>(c, "bare JID", "theo@chat.example");
    let key = PresentedKey::generate().full_text();
    parse::<PresentedKey>(c, "API key", &key);
    let link = format!("https://chat.example/invite?{TOKEN}");
    parse::<FindBy>(c, "token in a link", &link);
    let uri = format!("xmpp:theo@chat.example?register;preauth={TOKEN};ibr=y");
    parse::<FindBy>(c, "token in a URI", &uri);
    c.bench_function("percent-encode a localpart", |b| {
        b.iter(|| percent_encoded(black_box("d'artagnan ødegård")));
    });
}

fn parse<T: FromStr>(c: &mut Criterion, name: &str, text: &str) {
    assert!(text.parse::<T>().is_ok(), "{name}: {text:?}");
    c.bench_function(&format!("parse: {name}"), |b| {
        b.iter(|| black_box(text).parse::<T>().is_ok());
    });
}

fn import(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data/chat%2eexample");
    std::fs::create_dir_all(&data).expect("a folder");
    let config = folder.path().join("prosody.cfg.lua");
    std::fs::write(
        &config,
        "data_path = \"data\"\nVirtualHost \"chat.example\"\n",
    )
    .expect("a file");
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    let text = format!("return {{\n{}}};\n", records.concat());
    std::fs::write(data.join("invite_token.dat"), text).expect("a file");

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let prosody = Prosody::open(&config, None, &[]).expect("it opens");
    let found = runtime.block_on(prosody.find(Timestamp(1500)));
    assert_eq!(found.hosts[0].len(), RECORDS as usize);
    let mut group = c.benchmark_group("import");
    group.throughput(Throughput::Elements(RECORDS.into()));
    group.bench_function("read Prosody's invites", |b| {
        b.iter(|| runtime.block_on(prosody.find(Timestamp(1500))));
    });
    group.finish();
}

fn record(number: u32) -> String {
    format!(
        "\t[\"{number:024}\"] = {{\n\t\t[\"type\"] = \"register\";\n\t\t[\"jid\"] = \"chat.example\";\n\
         \t\t[\"created_at\"] = 1000;\n\t\t[\"expires\"] = 2000;\n\t}};\n"
    )
}

criterion_group!(benches, texts, import);
criterion_main!(benches);
