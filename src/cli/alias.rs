//! `invited mod_invites …` and `invited mod_invites_api …`, as `prosodyctl` has them, so that
//! scripts and documents written for it hold. Where Prosody forgets to fail, these fail.

use std::path::PathBuf;

use super::{Failure, Outcome, block_on, key, known, open, print};
use crate::app::By;
use crate::config::{self, Config};
use crate::invite::{Kind, NewInvite};
use crate::jid::{Domain, Localpart};

const USAGE: &str = "Usage:

 invited mod_invites_api create HOST [NAME]
 invited mod_invites_api delete HOST KEY_ID
 invited mod_invites_api list HOST
";

/// Takes `--config FILE` out of words that belong to Prosody's command otherwise: wherever ours may
/// name the file, these may, too.
pub(super) fn take_config(words: &mut Vec<String>) -> Result<Option<PathBuf>, Failure> {
    let Some(at) = words
        .iter()
        .position(|word| word == "--config" || word.starts_with("--config="))
    else {
        return Ok(None);
    };
    let option = words.remove(at);
    if let Some((_, path)) = option.split_once('=') {
        return Ok(Some(path.into()));
    }
    if at == words.len() {
        return Err(Failure::Usage("--config needs a file".into()));
    }
    Ok(Some(words.remove(at).into()))
}

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

const GENERATE_USAGE: &str = "usage: invited mod_invites generate example.com";
const GENERATE_HELP: &str = "\
usage: invited mod_invites generate DOMAIN --reset USERNAME
usage: invited mod_invites generate DOMAIN [--admin] [--role ROLE] [--group GROUPID]...

    --reset USERNAME  a password reset link, with no other option
    --admin           make the new user an admin, as --role prosody:admin
    --role ROLE       give the new user this role; the last one wins
    --group GROUPID   add the new user to this group; may be given several times
    --force           make the link although there is no such account, role or group";

pub(super) fn mod_invites(
    words: &[String],
    config: impl FnOnce() -> Result<Config, config::Error>,
) -> Outcome {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (host, options) = match *words.as_slice() {
        ["generate", "--help", ..] | ["generate", _, "--help", ..] => return usage(GENERATE_HELP),
        ["generate", host, ref options @ ..] => (host, options),
        _ => return usage(GENERATE_USAGE),
    };
    let config = config()?;
    let Ok(domain) = config.host(host).map(|host| host.domain.clone()) else {
        return fail(&format!("Host {host} does not exist"));
    };
    match asked_for(&domain, options) {
        Ok((new, force)) => block_on(generate(config, host, new, force)),
        Err(complaint) => usage(complaint.as_str()),
    }
}

/// The invite that the options describe, and whether it is made whatever the chat server says; or a
/// complaint.
fn asked_for(host: &Domain, options: &[&str]) -> Result<(NewInvite, bool), String> {
    let mut new = NewInvite::account();
    let mut force = false;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--admin" => new.details.roles = vec!["prosody:admin".into()],
            "--role" => {
                let role = options.next().ok_or("Please supply a role name")?;
                new.details.roles = vec![(*role).into()];
            }
            "--group" | "-g" => {
                let group = options.next().ok_or("Please supply a group ID")?;
                new.details.groups.push((*group).into());
            }
            "--reset" => {
                let name: Option<Localpart> = options
                    .next()
                    .and_then(|name| Localpart::at(host, name).ok());
                new.localpart = Some(
                    name.ok_or("Please supply a valid username to generate a reset link for")?,
                );
                new.kind = Kind::Reset;
            }
            "--force" => force = true,
            "--help" => return Err(GENERATE_HELP.into()),
            other => return Err(format!("unexpected argument: {other}")),
        }
    }
    if new.kind == Kind::Reset && !new.details.roles.is_empty() {
        return Err("--role/--admin and --reset are mutually exclusive".into());
    }
    if new.kind == Kind::Reset && !new.details.groups.is_empty() {
        return Err("--group and --reset are mutually exclusive".into());
    }
    Ok((new, force))
}

async fn generate(config: Config, host: &str, mut new: NewInvite, force: bool) -> Outcome {
    let app = open(config).await?;
    new.details.source = Some("command line".into());
    let host = app.config.host(host)?;
    if let Err(Failure::Failed(why)) = known::check(&app, host, &new, force).await {
        return fail(&format!("Error: {why}"));
    }
    let created = app.create_invite(host, new, By::Operator).await?;
    print(&app.landing_url(host, &created.invite, &created.token))
}

/// As [`fail`], for words that make no command.
fn usage(text: &str) -> Outcome {
    print(text)?;
    Err(Failure::Silent(2))
}

/// As Prosody does, complaints go where answers go.
fn fail(line: &str) -> Outcome {
    print(line)?;
    Err(Failure::Silent(1))
}
