//! What invites cost below HTTP: made and found in a `SQLite` file, every one durable.
//!
//! `scripts/bench` measures whole servers.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use invited::app::{App, By};
use invited::clock::Clock;
use invited::config::{Config, Host};
use invited::invite::NewInvite;
use invited::store::Store;
use invited::token::{InviteToken, Sealer};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TOGETHER: u32 = 64;
const STORED: usize = 100_000;

struct Desk {
    runtime: Runtime,
    app: App,
    _folder: TempDir,
}

impl Desk {
    fn open() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let app = {
            let _inside = runtime.enter();
            app(folder.path())
        };
        Self {
            runtime,
            app,
            _folder: folder,
        }
    }

    fn host(&self) -> &Host {
        self.app
            .config
            .host("chat.example")
            .expect("it is configured")
    }

    async fn create(&self) -> InviteToken {
        let created = self
            .app
            .create_invite(self.host(), NewInvite::account(), By::Operator);
        created.await.expect("the invite is made").token
    }
}

fn app(folder: &Path) -> App {
    let text = "[hosts.\"chat.example\"]\n";
    let config = Config::parse(&folder.join("invited.toml"), text).expect("it is good");
    App::new(
        Store::open_sqlite(&folder.join("invited.sqlite")).expect("the store opens"),
        Clock::System,
        Arc::new(config),
        Sealer::new(&[7; 32]),
    )
}

fn creating(c: &mut Criterion) {
    let desk = Desk::open();
    let mut group = c.benchmark_group("create");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one at a time", |b| {
        b.iter(|| desk.runtime.block_on(desk.create()));
    });
    group.throughput(Throughput::Elements(TOGETHER.into()));
    group.bench_function("64 at the same time", |b| {
        b.iter(|| {
            let together = (0..TOGETHER).map(|_| desk.create());
            desk.runtime.block_on(join_all(together))
        });
    });
    group.finish();
}

fn finding(c: &mut Criterion) {
    let desk = Desk::open();
    let mut tokens = Vec::new();
    while tokens.len() < STORED {
        let new = vec![NewInvite::account(); 10_000];
        let created = desk
            .app
            .create_invites(desk.host(), new, By::Operator, None);
        let (_, created) = desk
            .runtime
            .block_on(created)
            .expect("the invites are made");
        tokens.extend(created.into_iter().map(|created| created.token));
    }
    let unknown = InviteToken::generate();
    let mut group = c.benchmark_group("find among 100 000");
    group.throughput(Throughput::Elements(1));
    let mut next = tokens.iter().cycle();
    group.bench_function("a known token", |b| {
        b.iter(|| {
            let token = next.next().expect("it is endless");
            let found = desk.app.find_invite(desk.host(), black_box(token));
            desk.runtime.block_on(found).expect("it is there")
        });
    });
    group.bench_function("an unknown token", |b| {
        b.iter(|| {
            let found = desk.app.find_invite(desk.host(), black_box(&unknown));
            desk.runtime.block_on(found).is_err()
        });
    });
    group.finish();
}

criterion_group!(benches, creating, finding);
criterion_main!(benches);
