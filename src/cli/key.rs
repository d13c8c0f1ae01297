//! `invited key …`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, on_terminal, output_is_lost, print, print_json, print_table, span};
use crate::api_key::Scope;
use crate::app::{App, NewKey};
use crate::clock::Timestamp;
use crate::http::api::KeyView;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it; it is shown only this once.
    Create(Create),
    /// Delete a key; the next request with it is refused.
    #[command(visible_alias = "revoke")]
    Delete {
        /// The XMPP host.
        host: String,
        /// The part of the key before the slash.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// List the keys of a host.
    #[command(visible_alias = "ls")]
    List {
        /// The XMPP host.
        host: String,
        /// One JSON array with all fields.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The XMPP host.
    host: String,
    /// A name that helps to remember what the key is for.
    #[arg(allow_hyphen_values = true)]
    name: Option<String>,
    /// After this span the key is refused: 90d, 12h.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires_in: Option<i64>,
    /// What the key may do: create (plain account invites), or admin (everything). May be repeated.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// How many invites it may make in one day (UTC).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    max_per_day: Option<i64>,
}

impl Command {
    /// The plainest `create`.
    pub(super) fn create(host: &str, name: Option<&str>) -> Self {
        Self::Create(Create {
            host: host.to_owned(),
            name: name.map(str::to_owned),
            expires_in: None,
            scope: Vec::new(),
            max_per_day: None,
        })
    }

    /// The host that it is about.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Create(Create { host, .. })
            | Self::Delete { host, .. }
            | Self::List { host, .. } => host,
        }
    }
}

pub(super) async fn run(command: Command, app: App) -> Outcome {
    match command {
        Command::Create(new) => create(new, &app).await,
        Command::Delete { host, id } => Ok(app.delete_key(app.config.host(&host)?, &id).await?),
        Command::List { host, json } => list(&host, json, &app).await,
    }
}

async fn create(new: Create, app: &App) -> Outcome {
    let host = app.config.host(&new.host)?;
    if output_is_lost() {
        return Err(Failure::Failed(
            "standard output is closed or /dev/null, so nobody would see the key; none was made"
                .to_owned(),
        ));
    }
    let key = app
        .create_key(
            host,
            NewKey {
                name: new.name,
                expires_in: new.expires_in,
                scopes: new.scope,
                max_per_day: new.max_per_day,
            },
        )
        .await?;
    // The secret is shown only now, so a key that could not be shown must not stay.
    if let Err(failure) = print(&key.full_text()) {
        app.delete_key(host, &key.id).await?;
        let why = match failure {
            Failure::Failed(why) => why,
            Failure::Usage(_) | Failure::Silent(_) => "nobody reads it".to_owned(),
        };
        return Err(Failure::Failed(format!(
            "standard output takes nothing, so the key was deleted again: {why}"
        )));
    }
    Ok(())
}

async fn list(host: &str, as_json: bool, app: &App) -> Outcome {
    let host = app.config.host(host)?;
    let keys = app
        .store
        .list_keys(&host.domain)
        .await
        .map_err(crate::error::Error::from)?;
    if as_json {
        let keys: Vec<_> = keys.iter().map(KeyView::from).collect();
        return print_json(&json!(keys));
    }
    // Scripts read what `prosodyctl mod_invites_api list` prints; people see the rest, too.
    if !on_terminal() {
        let rows = keys
            .into_iter()
            .map(|key| vec![key.id, key.name.unwrap_or_else(|| "<unknown>".to_owned())]);
        return print_table(&["ID", "NAME"], &rows.collect::<Vec<_>>());
    }
    let rows = keys.into_iter().map(|key| {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        vec![
            key.id,
            key.name.unwrap_or_else(|| "<unknown>".to_owned()),
            scopes.join(" "),
            key.created_at.short_text(),
            key.expires_at
                .map_or_else(|| "never".to_owned(), Timestamp::short_text),
            key.max_per_day
                .map_or_else(|| "-".to_owned(), |max| max.to_string()),
        ]
    });
    print_table(
        &[
            "ID",
            "NAME",
            "SCOPES",
            "MADE (UTC)",
            "EXPIRES (UTC)",
            "PER DAY",
        ],
        &rows.collect::<Vec<_>>(),
    )
}
