//! `invited mod_invites_api …`, as `prosodyctl mod_invites_api …` behaves, so that scripts and
//! documents written for it hold. Where Prosody forgets to fail, this fails.

use super::{Failure, Outcome, block_on, key, open, print};
use crate::config::{self, Config};

const USAGE: &str = "Usage:

 invited mod_invites_api create HOST [NAME]
 invited mod_invites_api delete HOST KEY_ID
 invited mod_invites_api list HOST
";

pub(super) fn mod_invites_api(
    words: &[String],
    config: impl FnOnce() -> Result<Config, config::Error>,
) -> Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match *words.as_slice() {
        [] | ["--help" | "-h" | "help"] => {
            print(USAGE)?;
            return Err(Failure::Silent(if words.is_empty() { 2 } else { 0 }));
        }
        ["create", host] => key::Command::create(host, None),
        ["create", host, name] => key::Command::create(host, Some(name)),
        ["create", _, _, ..] => {
            return fail("Error: put quotes around a key name with spaces");
        }
        ["delete", host, id] => key::Command::Delete {
            host: host.into(),
            id: id.into(),
        },
        ["delete", _, ..] => return fail("Error: key not found"),
        ["list", host] => key::Command::List {
            host: host.into(),
            json: false,
        },
        ["create" | "delete" | "list", ..] => {
            print(USAGE)?;
            return fail("Error: please supply a valid host");
        }
        [other, ..] => return fail(&format!("Unknown command - {other}")),
    };
    let config = config()?;
    if let Err(error) = config.host(command.host()) {
        return fail(&format!("Error: please supply a valid host ({error})"));
    }
    let deleting = matches!(command, key::Command::Delete { .. });
    match block_on(async { key::run(command, open(config).await?).await }) {
        Err(Failure::Failed(_)) if deleting => fail("Error: key not found"),
        other => other,
    }
}

/// As Prosody does, complaints go where answers go.
fn fail(line: &str) -> Outcome {
    print(line)?;
    Err(Failure::Silent(1))
}
