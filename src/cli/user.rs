//! `invited user …`: who invited whom.

use clap::Subcommand;
use serde_json::json;

use super::{Outcome, account, print, print_json};
use crate::app::{App, Branch};
use crate::error::Error;
use crate::http::api::UserView;
use crate::invite::State;
use crate::registration::PastRegistration;
use crate::store::ListInvites;
use crate::text::visible;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take back every invite that a local user made, and resets of that user's password.
    RevokeInvites {
        /// The local user.
        #[arg(value_name = "USER@HOST")]
        user: String,
    },
    /// Show who invited a local user, and whom the user invited, as a tree.
    Show {
        /// The local user.
        #[arg(value_name = "USER@HOST")]
        user: String,
        /// One JSON object with all fields.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, app: App) -> Outcome {
    match command {
        Command::RevokeInvites { user } => {
            let (host, jid) = account(&app, &user)?;
            let count = app.revoke_invites_of(host, &jid.localpart).await?;
            let plural = if count == 1 { "" } else { "s" };
            print(&format!("Revoked {count} invite{plural}."))
        }
        Command::Show { user, json } => show(&app, &user, json).await,
    }
}

async fn show(app: &App, user: &str, as_json: bool) -> Outcome {
    let (host, jid) = account(app, user)?;
    if as_json {
        return print_json(&json!(UserView::find(app, host, &jid.localpart).await?));
    }
    let above = app.inviters_of(host, &jid.localpart).await?;
    let below = app.invited_by(host, &jid.localpart).await?;
    let registrations = app
        .store
        .registrations_as(&host.domain, &jid.localpart)
        .await
        .map_err(Error::from)?;
    let open = app
        .list_invites(
            host,
            &ListInvites {
                creator: Some(jid.localpart.clone()),
                state: Some(State::Open),
                limit: 10_000,
                ..ListInvites::default()
            },
        )
        .await?
        .invites
        .len();
    print(&jid.to_string())?;
    if above.is_empty() {
        print("  no record of how this account was made")?;
    }
    for made in &above {
        print(&format!("  {}", how(made)))?;
    }
    for reset in registrations.iter().filter(|made| !made.is_account()) {
        print(&format!(
            "  password reset {} with an invite of {}",
            reset.confirmed_at.zoned_text(),
            maker(reset)
        ))?;
    }
    print(&format!("  open invites: {open}"))?;
    if below.is_empty() {
        return print("  invited nobody so far");
    }
    print("  invited:")?;
    draw(&below, "  ")
}

/// `nora: invited by theo, 2026-11-30 18:00 UTC`.
fn how(made: &PastRegistration) -> String {
    format!(
        "{} was invited by {}, {}",
        made.localpart,
        maker(made),
        made.confirmed_at.zoned_text()
    )
}

/// A user, or what made the invite.
fn maker(made: &PastRegistration) -> String {
    match (&made.creator, &made.source) {
        (Some(user), _) => user.to_string(),
        (None, Some(source)) => visible(source),
        (None, None) => "somebody".to_owned(),
    }
}

fn draw(branches: &[Branch], indent: &str) -> Outcome {
    for (at, branch) in branches.iter().enumerate() {
        let (knot, below) = if at + 1 == branches.len() {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        let made = &branch.registration;
        print(&format!(
            "{indent}{knot} {} ({})",
            made.localpart,
            made.confirmed_at.zoned_text()
        ))?;
        draw(&branch.branches, &format!("{indent}{below}"))?;
    }
    Ok(())
}
