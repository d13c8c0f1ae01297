//! The command line: arguments, dispatch, exit codes (0 done, 1 refused or failed, 2 usage).
//!
//! To add a command: a variant of [`Command`], a file here, a line in [`dispatch`], a case in
//! `tests/it/cli.rs`.

mod alias;
mod backup;
mod doctor;
mod import;
mod invite;
mod key;
mod known;
mod logging;
mod migrate_store;
mod plugin;
mod progress;
mod serve;
mod service_user;
mod user;

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Config, Database};
use crate::error::Error;
use crate::jid::BareJid;
use crate::secret::{self, Secret};
use crate::store::{self, PostgresAddress, Store};
use crate::text::{self, visible, visible_json, visible_lines};
use crate::token::Sealer;

/// The invite desk of an XMPP server.
#[derive(Debug, Parser)]
#[command(
    name = "invited",
    version,
    about,
    propagate_version = true,
    max_term_width = 100
)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "INVITED_CONFIG", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the database to a file, also while the daemon runs.
    Backup {
        /// The file, which must not exist yet.
        file: PathBuf,
    },
    /// Write the script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Try everything that has to work together, and say what does not.
    Doctor,
    /// Move in from another server: its invites, keys and settings.
    #[command(subcommand)]
    Import(import::Command),
    /// Make, list and take back invites.
    #[command(subcommand)]
    Invite(invite::Command),
    /// Make, list and delete API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Write the manual pages into a folder.
    Man {
        /// The folder.
        dir: PathBuf,
    },
    /// Move everything to another database: from SQLite to PostgreSQL, or back. Stop every node first.
    MigrateStore {
        /// `sqlite:PATH` or `postgres://USER@HOST/NAME`; takes no writes meanwhile.
        from: String,
        /// The same; must be empty. The password comes from `INVITED_DATABASE_PASSWORD`.
        to: String,
        /// PEM file with the only authorities to trust about the database's certificate.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Links as `prosodyctl mod_invites` prints them: generate.
    #[command(name = "mod_invites", disable_help_flag = true)]
    ModInvites {
        /// generate HOST [--reset USERNAME | [--admin] [--role ROLE] [--group GROUP]...].
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// API keys as `prosodyctl mod_invites_api` has them: create, list, delete.
    #[command(name = "mod_invites_api", disable_help_flag = true)]
    ModInvitesApi {
        /// `create HOST [NAME]`, `list HOST`, or `delete HOST ID`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Install the module for Prosody where there is no LuaRocks.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Print the description of the HTTP API for programs.
    Openapi,
    /// Run the daemon.
    Serve,
    /// Show who invited whom.
    #[command(subcommand)]
    User(user::Command),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and everything that it names, and say what is wrong.
    Check,
    /// Print an example with every option and its default.
    Example,
}

/// What a command may end with instead of success.
enum Failure {
    /// A refusal or a fault, as a sentence; exit 1.
    Failed(String),
    /// The configuration or the arguments are wrong; exit 2.
    Usage(String),
    /// Everything was said already.
    Silent(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error.chain())
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever closed the pipe has seen enough.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Silent(0)
        } else {
            Self::Failed(error.to_string())
        }
    }
}

type Outcome = Result<(), Failure>;

/// Runs the program.
pub fn main() -> ExitCode {
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments),
        Err(error) if error.use_stderr() && may_hold_a_password(std::env::args_os()) => {
            Err(Failure::Usage(format!(
                "{}; put an address in quotes, and look at --help",
                error.kind()
            )))
        }
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => complain(&text, 1),
        Err(Failure::Usage(text)) => complain(&text, 2),
        Err(Failure::Silent(code)) => ExitCode::from(code),
    }
}

/// Whether a complaint that quotes these words could quote the password of a database.
fn may_hold_a_password(words: impl Iterator<Item = OsString>) -> bool {
    let is_of_an_address = |word: &str| word.contains("://") || word.contains("password");
    let takes_an_address = |word: &str| matches!(word, "ejabberd" | "migrate-store");
    let mut words = words.skip(1);
    words.any(|word| {
        let word = word.to_string_lossy();
        let with_password = word
            .split_once('@')
            .is_some_and(|(name, _)| name.contains(':'));
        with_password || is_of_an_address(&word) || takes_an_address(&word)
    })
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "invited: {}", visible_lines(text));
    ExitCode::from(code)
}

fn dispatch(mut arguments: Arguments) -> Outcome {
    if let Command::ModInvites { words } | Command::ModInvitesApi { words } = &mut arguments.command
        && let Some(path) = alias::take_config(words)?
    {
        arguments.config = path;
    }
    let config = || Config::load(&arguments.config);
    match arguments.command {
        Command::Backup { file } => backup::run(&config()?, &file),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "invited", &mut text);
            Ok(std::io::stdout().write_all(&text)?)
        }
        Command::Config(ConfigCommand::Check) => {
            let config = config()?;
            service_user::instead(&config, &arguments.config, &["config", "check"])
                .unwrap_or_else(|| check(&config))
        }
        Command::Config(ConfigCommand::Example) => print(config::EXAMPLE.trim_end()),
        Command::Doctor => {
            let config = config()?;
            service_user::instead(&config, &arguments.config, &["doctor"])
                .unwrap_or_else(|| block_on(doctor::run(config)))
        }
        Command::Import(command) => block_on(import::run(command, &arguments.config)),
        Command::Invite(command) => {
            let config = config()?;
            block_on(async { invite::run(command, open(config).await?).await })
        }
        Command::Key(command) => {
            let config = config()?;
            block_on(async { key::run(command, open(config).await?).await })
        }
        Command::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            Ok(clap_mangen::generate_to(Arguments::command(), &dir)?)
        }
        Command::MigrateStore { from, to, ca_file } => {
            block_on(migrate_store::run(&from, &to, ca_file.as_deref()))
        }
        Command::ModInvites { words } => alias::mod_invites(&words, config),
        Command::ModInvitesApi { words } => alias::mod_invites_api(&words, config),
        Command::Plugin(command) => plugin::run(&command, config().ok().as_ref()),
        Command::Openapi => print_json(&crate::http::api::document()),
        Command::Serve => serve::run(config()?),
        Command::User(command) => {
            let config = config()?;
            block_on(async { user::run(command, open(config).await?).await })
        }
    }
}

/// Everything but the listeners: the same database as a running daemon's, at the same time.
async fn open(config: Config) -> Result<App, Failure> {
    open_by(config, Store::open_sqlite).await
}

async fn open_by(
    config: Config,
    open_sqlite: fn(&std::path::Path) -> Result<Store, store::Error>,
) -> Result<App, Failure> {
    prepare_data_path(&config)?;
    let store = match &config.database {
        Database::Postgres { .. } => Store::open_postgres(postgres_address(&config)?).await,
        Database::Sqlite(file) => open_sqlite(file),
    };
    let store = store.map_err(|e| Failure::Failed(Error::from(e).chain()))?;
    let key = key_file(&config)?;
    Ok(App::new(
        store,
        Clock::System,
        Arc::new(config),
        Sealer::new(&key),
    ))
}

/// The address of the configured PostgreSQL database.
fn postgres_address(config: &Config) -> Result<PostgresAddress, Failure> {
    let Database::Postgres {
        url,
        password,
        ca_file,
        prepared,
    } = &config.database
    else {
        return Err(Failure::Usage("the database is not PostgreSQL".into()));
    };
    let password = password.as_ref().map(Secret::expose);
    PostgresAddress::new(url.expose(), password, ca_file.as_deref())
        .map(|address| address.prepared(*prepared))
        .map_err(|why| Failure::Usage(format!("{}: database: {why}", config.path.display())))
}

fn prepare_data_path(config: &Config) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    if config.data_path.is_dir() {
        return Ok(());
    }
    if config.data_path.exists() {
        return Err(Failure::Usage(format!(
            "{}: data_path: {} is a file; name a folder, in which the database and secrets are to lie",
            config.path.display(),
            config.data_path.display()
        )));
    }
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&config.data_path)
        .and_then(|()| store::sync_folder_of(&config.data_path))
        .map_err(|e| {
            Failure::Usage(format!(
                "{}: data_path: cannot make {}: {e}",
                config.path.display(),
                config.data_path.display()
            ))
        })
}

/// The key that tokens are sealed under; made on the first start.
fn key_file(config: &Config) -> Result<[u8; 32], Failure> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let path = config.seal_key_file();
    let text = read_or_make(&path, || STANDARD.encode(secret::random_bytes::<32>()))?;
    STANDARD
        .decode(&text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            Failure::Usage(format!(
                "{}: 32 bytes in base64 are expected",
                path.display()
            ))
        })
}

/// Reads a secret, or makes it with mode 0600. Two processes that start together agree on one.
fn read_or_make(path: &std::path::Path, make: impl FnOnce() -> String) -> Result<String, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let named = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
    if !path.exists() {
        // Written under another name first, so that nobody reads half a secret.
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(named)?;
        file.write_all(make().as_bytes()).map_err(named)?;
        file.sync_all().map_err(named)?;
        // A link, unlike a rename, does not replace what another process has just made.
        let linked = std::fs::hard_link(&draft, path);
        let _ = std::fs::remove_file(&draft);
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(named(error));
        }
        // What it opens is about to be stored, and must not outlive it.
        store::sync_folder_of(path).map_err(named)?;
    }
    let bytes = std::fs::read(path).map_err(named)?;
    let text = text::utf8(&bytes)
        .map_err(|why| Failure::Usage(format!("{}:{}: {why}", path.display(), why.line())))?;
    let text = text.trim().to_owned();
    if text.len() < 16 {
        return Err(Failure::Usage(format!(
            "{}: at least 16 characters are expected",
            path.display()
        )));
    }
    Ok(text)
}

fn check(config: &Config) -> Outcome {
    crate::http::check_files(config).map_err(Failure::Usage)?;
    for host in &config.hosts {
        if let Some(path) = &host.xmpp.ca_file {
            std::fs::metadata(path).map_err(|e| {
                Failure::Usage(format!(
                    "hosts.\"{}\": xmpp.ca_file: {}: {e}",
                    host.domain,
                    path.display()
                ))
            })?;
        }
    }
    if let Database::Postgres { .. } = &config.database {
        postgres_address(config)?;
    }
    for doubt in config.doubts() {
        print(&format!("note: {doubt}"))?;
    }
    let hosts: Vec<_> = config
        .hosts
        .iter()
        .map(|host| host.domain.to_string())
        .collect();
    print(&format!(
        "{} is good; hosts: {}",
        config.path.display(),
        hosts.join(", ")
    ))
}

/// `USER@HOST` of the command line.
fn account<'a>(app: &'a App, text: &str) -> Result<(&'a config::Host, BareJid), Failure> {
    let jid: BareJid = text
        .parse()
        .map_err(|_| Failure::Usage(format!("{text:?} is not USER@HOST")))?;
    Ok((app.config.host(jid.domain.as_str())?, jid))
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(command)
}

/// Prints one line or text for reading. Part of it may be what strangers wrote, which no terminal is to
/// obey.
fn print(text: &str) -> Outcome {
    print_as_it_is(&visible_lines(text))
}

/// Prints what may have colours of ours.
fn print_as_it_is(text: &str) -> Outcome {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Whether what is printed goes nowhere. An output that was closed is `/dev/null` before this program begins:
/// Rust's own start makes it so.
fn output_is_lost() -> bool {
    let is_null = || {
        let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
        let null = std::fs::metadata("/dev/null")?;
        Ok::<_, std::io::Error>(output.file_type().is_char_device() && output.rdev() == null.rdev())
    };
    is_null().unwrap_or(false)
}

/// Whether a person reads the output.
fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Rows as a table on a terminal, as words with tabs between them elsewhere.
fn print_table(header: &[&str], rows: &[Vec<String>]) -> Outcome {
    let visible = |row: &Vec<String>| row.iter().map(|cell| visible(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(visible).collect();
    if on_terminal() {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        // Cells are folded where the terminal would cut the line, but not what people copy.
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        table.set_width(terminal_size::terminal_size().map_or(80, |(width, _)| width.0));
        table.set_header(header);
        for row in rows {
            table.add_row(row);
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 1));
            if at == 0 {
                column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
            }
        }
        return print_as_it_is(&table.to_string());
    }
    for row in rows {
        print(&row.join("\t"))?;
    }
    Ok(())
}

fn print_json(value: &serde_json::Value) -> Outcome {
    let text = if on_terminal() {
        format!("{value:#}")
    } else {
        value.to_string()
    };
    print_as_it_is(&visible_json(&text))
}

/// A span on the command line: `7d`, `36h`, `90 min`. A bare number would be seconds in the file,
/// which nobody means here.
fn span(text: &str) -> Result<i64, String> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!(
            "{text:?} has no unit; write for instance 3d, 12h or 90min"
        ));
    }
    text.parse::<config::file::Period>().map(|period| period.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        Arguments::command().debug_assert();
    }
}
