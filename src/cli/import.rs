//! `invited import …`: moves in from another server. What is there already stays as it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, open, print, print_json, print_table, progress};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::import::prosody::{Prosody, USUAL_CONFIG};
use crate::import::{Found, Report, bring_over, ejabberd};
use crate::invite::Kind;
use crate::jid::Domain;
use crate::secret::Secret;
use crate::text::{visible, visible_lines};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take over what ejabberd keeps of invites in SQLite or PostgreSQL.
    Ejabberd {
        /// The database: `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`.
        #[arg(
            long,
            value_name = "URL",
            env = "INVITED_IMPORT_DATABASE",
            hide_env_values = true
        )]
        database: String,
        #[command(flatten)]
        common: Common,
    },
    /// Take over the invites, API keys and settings of a Prosody, also while it runs.
    Prosody {
        /// Prosody's configuration.
        #[arg(long, value_name = "FILE", default_value = USUAL_CONFIG)]
        prosody_config: PathBuf,
        /// Prosody's data, if they are not where its configuration says.
        #[arg(long, value_name = "DIR")]
        data_path: Option<PathBuf>,
        /// Write a configuration for invited to this file and use it; one that is there stays.
        #[arg(long, value_name = "FILE")]
        write_config: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// Only say what would come, and what would not.
    #[arg(long)]
    dry_run: bool,
    /// Only this host. May be repeated.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// One JSON object with all figures and problems.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, config: &Path) -> Outcome {
    let now = Clock::System.now();
    match command {
        Command::Ejabberd { database, common } => {
            let found = ejabberd::find(&Secret::new(database), &common.host)
                .await
                .map_err(Failure::Failed)?;
            if common.dry_run {
                return preview(found, config, None, &common, now);
            }
            take_over(found, config, &common, now).await
        }
        Command::Prosody {
            prosody_config,
            data_path,
            write_config,
            common,
        } => {
            let prosody = Prosody::open(&prosody_config, data_path.as_deref(), &common.host)
                .map_err(Failure::Failed)?;
            let mut found = prosody.find(now).await;
            let target = write_config.as_deref().unwrap_or(config);
            let settings = prosody.settings(target, &hosts_with_odd_names(&found));
            if common.dry_run {
                return preview(found, target, Some(&settings), &common, now);
            }
            let Some(target) = &write_config else {
                return take_over(found, target, &common, now).await;
            };
            if target.exists() {
                note(&format!(
                    "{} is there already and stays as it is.",
                    target.display()
                ))?;
                return take_over(found, target, &common, now).await;
            }
            found.problems.extend(doubts(target, &settings)?);
            write_new(target, &settings)?;
            // What cannot be used is not left behind, where the next try would find it.
            if let Err(failure) = open(Config::load(target)?).await {
                let _ = fs::remove_file(target);
                return Err(failure);
            }
            note(&format!("Wrote {}; look through it.", target.display()))?;
            take_over(found, target, &common, now).await
        }
    }
}

/// The hosts with invites for names that our usual rules refuse.
fn hosts_with_odd_names(found: &Found) -> Vec<Domain> {
    let odd = |host: &&crate::import::FoundHost| {
        host.invites.iter().any(|invite| {
            invite.kind == Kind::Account
                && invite
                    .localpart
                    .as_ref()
                    .is_some_and(|name| !name.is_plain())
        })
    };
    let hosts = found.hosts.iter().filter(odd);
    hosts.map(|host| host.domain.clone()).collect()
}

/// What is allowed but probably not meant in the configuration that would be written.
fn doubts(target: &Path, settings: &str) -> Result<Vec<String>, Failure> {
    let config = Config::parse(target, settings)?;
    let doubts = config.doubts().into_iter();
    Ok(doubts
        .map(|doubt| format!("{}: {doubt}", target.display()))
        .collect())
}

/// Writes the whole file or none.
fn write_new(target: &Path, text: &str) -> Outcome {
    let failed = |e: std::io::Error| Failure::Failed(format!("{}: {e}", target.display()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(target)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(|error| {
        let _ = fs::remove_file(target);
        failed(error)
    })
}

async fn take_over(found: Found, config: &Path, common: &Common, now: Timestamp) -> Outcome {
    let app = open(Config::load(config)?).await?;
    let mut problems = found.problems;
    let mut reports = Vec::new();
    let bar = progress::bar("Taking over");
    let all: usize = found.hosts.iter().map(crate::import::FoundHost::len).sum();
    bar.set_length(all as u64);
    for mut host in found.hosts {
        let Ok(ours) = app.config.host(host.domain.as_str()) else {
            if !host.is_empty() {
                problems.push(format!(
                    "nothing of {0} was taken over, since {1} has no [hosts.\"{0}\"]",
                    host.domain,
                    config.display()
                ));
            }
            continue;
        };
        host.leave_out_what_is_long_over(ours.invite_retention, now);
        host.compare_with(ours);
        reports.push(bring_over(&app, ours, host, |done| bar.inc(done as u64)).await?);
    }
    bar.finish_and_clear();
    if common.json {
        return print_json(&view(&reports, &problems, None, true));
    }
    let rows: Vec<_> = rows(&reports)
        .map(|(host, group, tally)| {
            let there = tally.found - tally.new;
            let figures = [tally.found, tally.new, there].map(|figure| figure.to_string());
            [vec![host, group], figures.to_vec()].concat()
        })
        .collect();
    print_table(&["HOST", "WHAT", "FOUND", "NEW", "THERE ALREADY"], &rows)?;
    let new: usize = reports
        .iter()
        .flat_map(|report| report.tallies.values())
        .map(|tally| tally.new)
        .sum();
    tell_problems(&reports, &problems)?;
    note(&match new {
        0 => "Nothing was new; everything that was found is there.".to_owned(),
        new => format!("Took over {new}. Doing it again is safe."),
    })
}

fn preview(
    mut found: Found,
    config: &Path,
    settings: Option<&str>,
    common: &Common,
    now: Timestamp,
) -> Outcome {
    // There may be no configuration yet; then what it would be decides.
    let ours = match (Config::load(config), settings) {
        (Ok(config), _) => Some(config),
        (Err(_), Some(text)) => {
            found.problems.extend(doubts(config, text)?);
            Some(Config::parse(config, text)?)
        }
        (Err(_), None) => None,
    };
    let mut reports = Vec::new();
    for mut host in found.hosts {
        let known = ours
            .as_ref()
            .and_then(|config| config.host(host.domain.as_str()).ok());
        match known {
            Some(ours) => {
                host.leave_out_what_is_long_over(ours.invite_retention, now);
                host.compare_with(ours);
            }
            None if !host.is_empty() => host.problems.push(format!(
                "{} has no [hosts.\"{}\"], so nothing of it would be taken over",
                config.display(),
                host.domain
            )),
            None => continue,
        }
        reports.push(host.preview(now));
    }
    if common.json {
        return print_json(&view(&reports, &found.problems, settings, false));
    }
    let rows: Vec<_> = rows(&reports)
        .map(|(host, group, tally)| vec![host, group, tally.found.to_string()])
        .collect();
    print_table(&["HOST", "WHAT", "FOUND"], &rows)?;
    tell_problems(&reports, &found.problems)?;
    if let Some(settings) = settings {
        print(&format!("\n{}", settings.trim_end()))?;
    }
    note("Nothing was changed.")
}

fn rows(reports: &[Report]) -> impl Iterator<Item = (String, String, crate::import::Tally)> {
    reports.iter().flat_map(|report| {
        report
            .tallies
            .iter()
            .map(|(group, tally)| (report.domain.to_string(), group.name(), *tally))
    })
}

fn tell_problems(reports: &[Report], problems: &[String]) -> Outcome {
    for problem in problems {
        print(&format!("NOTE\t{}", visible(problem)))?;
    }
    for report in reports {
        for problem in &report.problems {
            print(&format!("NOTE\t{}: {}", report.domain, visible(problem)))?;
        }
    }
    Ok(())
}

fn view(
    reports: &[Report],
    problems: &[String],
    settings: Option<&str>,
    done: bool,
) -> serde_json::Value {
    let hosts: Vec<_> = reports
        .iter()
        .map(|report| {
            let found: Vec<_> = report
                .tallies
                .iter()
                .map(|(group, tally)| {
                    json!({
                        "what": group.name(),
                        "found": tally.found,
                        "new": done.then_some(tally.new),
                    })
                })
                .collect();
            json!({
                "host": report.domain.as_str(),
                "found": found,
                "problems": report.problems,
            })
        })
        .collect();
    json!({ "hosts": hosts, "problems": problems, "config": settings })
}

/// A line for people that is no part of the answer.
fn note(text: &str) -> Outcome {
    Ok(writeln!(anstream::stderr(), "{}", visible_lines(text))?)
}
