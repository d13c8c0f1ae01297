//! `invited plugin …`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, Outcome, print};
use crate::config::{self, Config};
use crate::http::rocks::module_files;

/// What Debian's configuration of Prosody names in `plugin_paths`. Not Prosody's `custom_plugins`: where
/// that is not a tree of LuaRocks, `prosodyctl` prints a complaint above every answer.
const DEFAULT: &str = "/usr/local/lib/prosody/modules";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy the module into a folder where Prosody looks for modules, and say what to configure.
    Install {
        /// A folder that Prosody has in its `plugin_paths`.
        #[arg(long, value_name = "DIR", default_value = DEFAULT)]
        prosody: PathBuf,
    },
}

pub(super) fn run(command: &Command, config: Option<&Config>) -> Outcome {
    let Command::Install { prosody } = command;
    install(prosody).map_err(|e| {
        Failure::Failed(format!(
            "{}: {e}; name another folder with --prosody",
            prosody.display()
        ))
    })?;
    print(&advice(prosody, config))
}

fn install(folder: &Path) -> std::io::Result<()> {
    for file in module_files() {
        fs::create_dir_all(folder.join(file.module))?;
        let path = folder.join(file.module).join(&file.name);
        // A Prosody that reloads meanwhile must not see half a file.
        let draft = path.with_extension("new");
        fs::write(&draft, &file.content)?;
        fs::rename(&draft, &path)?;
    }
    Ok(())
}

/// Where Prosody reads its copy of the secret: the daemon's own folder is closed to it.
const COPY: &str = "/etc/prosody/bridge.secret";

fn advice(folder: &Path, config: Option<&Config>) -> String {
    let mut lines = vec![format!(
        "The module is in {}. In Prosody's configuration, above the first VirtualHost:\n",
        folder.display()
    )];
    lines.push(format!(
        "    plugin_paths = {{ {:?} }} -- in place of the one that is there, if any",
        folder.display().to_string()
    ));
    lines.push(format!("    invited_secret_file = {COPY:?}"));
    let listen = config.map(|config| config.bridge.listen);
    if let Some(listen) = listen.filter(|listen| *listen != config::file::Bridge::default().listen)
    {
        lines.push(format!("    invited_url = \"http://{listen}\""));
    }
    lines.push(
        "    -- in modules_enabled: \"invites\", \"invites_register\", \"invites_adhoc\"".into(),
    );
    let secret = config.map_or_else(
        || "/var/lib/invited/bridge.secret".into(),
        |config| config.bridge.secret_file.display().to_string(),
    );
    lines.push(format!(
        "\nThe daemon makes the secret when it first starts. Prosody needs a copy that it can read:\n\n    \
         install -m 640 -g prosody {secret} {COPY}\n\nThen restart Prosody."
    ));
    lines.join("\n")
}
