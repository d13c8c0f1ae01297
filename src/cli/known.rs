//! What the XMPP server knows of an invite's account, roles and groups: the daemon, to which the server's
//! module is connected, asks it for the command line.

use std::io::Write as _;
use std::time::Duration;

use super::{Failure, Outcome};
use crate::app::{App, Known, PATIENCE, Wanted};
use crate::config::Host;
use crate::http::bridge;
use crate::invite::NewInvite;
use crate::secret::Secret;

/// Refuses what the server speaks against, unless forced; says what it did not say.
pub(super) async fn check(app: &App, host: &Host, new: &NewInvite, force: bool) -> Outcome {
    let wanted = Wanted::about(std::slice::from_ref(new));
    if wanted.is_nothing() {
        return Ok(());
    }
    let known = match ask(app, host, &wanted).await {
        Ok(known) => known,
        Err(why) => return warn(&format!("the chat server was not asked: {why}")),
    };
    match known.judge(host, new) {
        Ok(doubts) => doubts.iter().try_for_each(|doubt| warn(doubt)),
        Err(error) if force => warn(&error.chain()),
        Err(error) => Err(Failure::Failed(format!(
            "{}; --force makes the invite all the same",
            error.chain().trim_end_matches('.')
        ))),
    }
}

async fn ask(app: &App, host: &Host, wanted: &Wanted) -> Result<Known, String> {
    let bridge = &app.config.bridge;
    let secret = std::fs::read_to_string(&bridge.secret_file)
        .map_err(|e| format!("{}: {e}", bridge.secret_file.display()))?;
    let secret = Secret::new(secret.trim());
    let asked = bridge::ask_server(bridge.listen, &secret, host, wanted);
    match tokio::time::timeout(PATIENCE + Duration::from_secs(1), asked).await {
        Ok(Ok(known)) => Ok(known),
        Ok(Err(why)) => Err(format!(
            "no daemon answers on {} (bridge.listen): {why}",
            bridge.listen
        )),
        Err(_) => Err(format!("the daemon on {} is silent", bridge.listen)),
    }
}

fn warn(text: &str) -> Outcome {
    Ok(writeln!(anstream::stderr(), "invited: warning: {text}")?)
}
