//! A private PostgreSQL server for this run of the tests, with a database of its own for each.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

/// The server; it ends with this process, whose end closes the pipe that `SCRIPT` reads from.
pub(crate) struct Server {
    folder: PathBuf,
    _shell: Child,
}

/// `$0` is the folder of the programs, `$1` that of the data. Durability is switched off: these
/// tests pull no plug on the database.
const SCRIPT: &str = r#"
set -e
"$0/initdb" -D "$1/data" -U test -A trust --no-sync --encoding=UTF8 --locale=C >"$1/log" 2>&1
"$0/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=400 >>"$1/log" 2>&1 &
server=$!
for _ in $(seq 300); do
    [ -S "$1/.s.PGSQL.5432" ] && "$0/pg_isready" -q -h "$1" && break
    kill -0 $server || break
    sleep 0.1
done
echo started
read -r _ || true
kill -INT $server
wait $server || true
rm -rf "$1"
"#;

impl Server {
    /// The server of this process, started when it is first asked for.
    pub(crate) fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .prefix("invited-postgres")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        // PostgreSQL does not run as root.
        let mut command = if is_root() {
            let chown = Command::new("chown").arg("postgres:").arg(&folder).status();
            assert!(chown.expect("chown runs").success());
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "sh",
            ]);
            command
        } else {
            Command::new("sh")
        };
        let mut shell = command
            .arg("-c")
            .arg(SCRIPT)
            .arg(programs)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let told = shell.stdout.take().expect("it is piped");
        BufReader::new(told).read_line(&mut line).expect("a line");
        if line != "started\n" {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("PostgreSQL did not start:\n{log}");
        }
        Self {
            folder,
            _shell: shell,
        }
    }

    /// An empty database that nobody else uses.
    pub(crate) async fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("desk{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls)
            .await
            .expect("a connection");
        let connection = tokio::spawn(connection);
        client
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a database");
        drop(client);
        let _ = connection.await;
        self.url(&name)
    }

    /// The address of a database.
    pub(crate) fn url(&self, name: &str) -> String {
        let folder = self.folder.to_str().expect("a path of plain letters");
        format!("postgres://test@/{name}?host={folder}")
    }
}

/// The newest version that is installed.
fn programs() -> PathBuf {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not installed: apt-get install postgresql")
        .map(|entry| entry.expect("an entry").path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .expect("PostgreSQL is not installed: apt-get install postgresql")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().expect("a process").uid() == 0
}
