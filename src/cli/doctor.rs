//! `invited doctor`: tries everything that has to work together, and says what does not.

use std::time::Duration;

use super::{Failure, Outcome, open, postgres_address, print};
use crate::app::{self, App};
use crate::clock::{Clock, span_text};
use crate::config::{Config, Database, Host};
use crate::error::chain;
use crate::http::bridge;
use crate::registration::OVERDUE;
use crate::xmpp;

/// The module asks every few seconds, so a longer silence means that it is not there.
const SILENCE: i64 = 60;
const PATIENCE: Duration = Duration::from_secs(5);

fn good(text: &str) -> Outcome {
    print(&format!("ok       {text}"))
}

/// What was found amiss, printed as it is found.
#[derive(Default)]
struct Findings {
    bad: usize,
}

impl Findings {
    fn bad(&mut self, text: &str, advice: &str) -> Outcome {
        self.bad += 1;
        print(&format!("PROBLEM  {text}\n         {advice}"))
    }
}

pub(super) async fn run(config: Config) -> Outcome {
    let mut findings = Findings::default();
    good(&format!("{} can be read", config.path.display()))?;
    match crate::http::check_files(&config) {
        Ok(()) => good("templates, lists of apps and certificates can be read")?,
        Err(why) => findings.bad(&why, "this keeps the daemon from starting")?,
    }
    for doubt in config.doubts() {
        findings.bad(&doubt, "if that is as you want it, all is well")?;
    }
    let app = match open(config).await {
        Ok(app) => app,
        Err(Failure::Failed(why) | Failure::Usage(why)) => {
            findings.bad(&why, "nothing works without the database and its key")?;
            return verdict(&findings);
        }
        Err(silent) => return Err(silent),
    };
    good(&match &app.config.database {
        Database::Postgres { .. } => {
            format!("{} can be read and written", postgres_address(&app.config)?)
        }
        Database::Sqlite(file) => format!("{} can be read and written", file.display()),
    })?;

    let listen = app.config.bridge.listen;
    let ready = ask(listen, "/readyz").await;
    match &ready {
        Ok((200, _)) => good(&format!("the daemon answers on {listen}"))?,
        Ok((_, body)) => findings.bad(
            &format!("the daemon on {listen} is not ready: {}", body.trim()),
            "its log says more",
        )?,
        Err(why) => findings.bad(
            &format!("no daemon answers on {listen} (bridge.listen): {why}"),
            "start it: invited serve",
        )?,
    }
    let metrics = match ready {
        Ok(_) => ask(listen, "/metrics").await.map(|(_, body)| body).ok(),
        Err(_) => None,
    };
    let strangers = metrics.as_deref().map_or(0, bridge::untrusted_proxies);
    if strangers > 0 {
        print(&format!(
            "note     {strangers} address(es) speak for others (X-Forwarded-For) and are not in trusted_proxies\n         \
             the log names them; until your proxy is there, all its clients count as one"
        ))?;
    }
    let now = Clock::System.now();
    for (host, server) in app.config.hosts.iter().zip(app.servers()) {
        let domain = &host.domain;
        match xmpp::probe(server).await {
            Ok(features) if features.invite_token => good(&format!(
                "{domain}: the XMPP server at {} takes invite tokens",
                features.peer
            ))?,
            Ok(features) => findings.bad(
                &format!(
                    "{domain}: the XMPP server at {} offers no registration by token (XEP-0445)",
                    features.peer
                ),
                "Prosody: have \"invites\", \"invites_register\" and \"register_ibr\" in modules_enabled, \
                 and allow_registration = true",
            )?,
            Err(error) => {
                let why = chain(&error);
                let signed_by_nobody = ["CaUsedAsEndEntity", "UnknownIssuer"];
                let advice = if let Some(advice) = spelt_otherwise(&error, host).await {
                    advice
                } else if signed_by_nobody.iter().any(|word| why.contains(word)) {
                    format!(
                        "no known authority signed its certificate; name that certificate, or its authority, \
                         in [hosts.\"{domain}\".xmpp]: ca_file"
                    )
                } else {
                    format!("look at [hosts.\"{domain}\".xmpp]: address, tls, ca_file")
                };
                findings.bad(&format!("{domain}: {why}"), &advice)?;
            }
        }
        look_at_attempts(&mut findings, &app, host).await?;
        let Some(metrics) = &metrics else { continue };
        match bridge::last_question(metrics, domain.as_str()).map(|at| now.0 - at) {
            Some(ago) if ago <= SILENCE => {
                good(&format!("{domain}: Prosody's module asked {ago} s ago"))?;
            }
            Some(ago) => findings.bad(
                &format!("{domain}: Prosody's module has not asked for {}", span_text(ago)),
                "is Prosody running? its log says more",
            )?,
            None => findings.bad(
                &format!("{domain}: Prosody's module has not asked since the daemon started"),
                "look at plugin_paths, invited_url and invited_secret_file in prosody.cfg.lua, and at Prosody's log",
            )?,
        }
    }
    verdict(&findings)
}

/// What to change if the XMPP server does not know the host as it is written here.
async fn spelt_otherwise(error: &xmpp::Error, host: &Host) -> Option<String> {
    if !error.is_unknown_host() {
        return None;
    }
    let domain = &host.domain;
    if let Some(other) = domain.respelled()
        && xmpp::probe(&app::server(host, &other)).await.is_ok()
    {
        return Some(format!(
            "the server knows this host as {other}: write [hosts.\"{other}\"] in place of [hosts.\"{domain}\"]; \
             all that is kept stays"
        ));
    }
    Some(format!(
        "that server has no host {domain}: compare [hosts.\"{domain}\"] with its own configuration, letter by \
         letter, and look at [hosts.\"{domain}\".xmpp]: address"
    ))
}

/// Uses that stay taken until somebody knows what came of them.
async fn look_at_attempts(findings: &mut Findings, app: &App, host: &Host) -> Outcome {
    let now = app.clock.now();
    let open = match app.store.list_open(&host.domain, OVERDUE, now).await {
        Ok(open) => open,
        Err(error) => {
            return findings.bad(&error.to_string(), "the database was good a moment ago");
        }
    };
    for attempt in open.iter().take(5) {
        findings.bad(
            &format!(
                "{}: the chat server has not said for {} what came of an attempt at {}",
                host.domain,
                span_text(attempt.age),
                attempt.localpart
            ),
            &format!(
                "its log may say why; if it cannot tell, say it yourself: \
                 invited invite settle {} {} --made (or --not-made)",
                host.domain, attempt.invite_id
            ),
        )?;
    }
    match open.len().saturating_sub(5) {
        0 => Ok(()),
        more => print(&format!("         and {more} more of that kind")),
    }
}

async fn ask(listen: std::net::SocketAddr, path: &str) -> Result<(u16, String), String> {
    tokio::time::timeout(PATIENCE, bridge::ask(listen, path))
        .await
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|e| e.to_string())
}

fn verdict(findings: &Findings) -> Outcome {
    match findings.bad {
        0 => print("Everything works."),
        1 => Err(Failure::Failed("there is a problem".into())),
        many => Err(Failure::Failed(format!("there are {many} problems"))),
    }
}
