//! `invited invite …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Outcome, account, known, print, print_as_it_is, print_json, print_table, span,
};
use crate::app::{Alteration, App, By, FindBy};
use crate::clock::{Timestamp, span_text};
use crate::config::Host;
use crate::error::Error;
use crate::http::api::{InviteView, RegistrationView};
use crate::http::pages::qr;
use crate::invite::{Invite, Kind, Lifetime, NewInvite, State};
use crate::jid::Localpart;
use crate::registration::OVERDUE;
use crate::store::ListInvites;
use crate::text::visible;
use crate::token::InviteToken;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Change how long an invite is good, how many accounts it gives, or the remark.
    Change {
        /// The XMPP host.
        host: String,
        /// The token, the link, the URI or the id.
        #[arg(allow_hyphen_values = true)]
        token: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Invite somebody to become a contact of a local user.
    Contact {
        /// The local user.
        #[arg(value_name = "USER@HOST")]
        inviter: String,
        /// Let people without an account make one here.
        #[arg(long)]
        allow_registration: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Invite somebody to make an account, and print the link.
    Create {
        /// The XMPP host.
        host: String,
        /// The only name that the account may have; nobody else gets it meanwhile.
        #[arg(long, value_name = "NAME")]
        username: Option<String>,
        /// A role of the new account, primary first. May be repeated.
        #[arg(long, value_name = "ROLE")]
        role: Vec<String>,
        /// A group that the new account joins. May be repeated.
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        #[command(flatten)]
        uses: Uses,
        /// A token of your choice instead of a random one, at least 10 letters, digits, - and _, but not
        /// 24; for invites with several uses.
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List the invites of a host, oldest first; times are UTC.
    #[command(visible_alias = "ls")]
    List {
        /// The XMPP host.
        host: String,
        /// Only those that are open, used, expired or revoked.
        #[arg(long)]
        state: Option<State>,
        /// One JSON array with all fields.
        #[arg(long)]
        json: bool,
    },
    /// Let somebody who forgot the password choose a new one.
    Reset {
        /// The account.
        #[arg(value_name = "USER@HOST")]
        account: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make a revoked invite good again.
    Restore {
        /// The XMPP host.
        host: String,
        /// The token, the link, the URI or the id.
        #[arg(allow_hyphen_values = true)]
        token: String,
    },
    /// Take an invite back.
    #[command(visible_alias = "delete")]
    Revoke {
        /// The XMPP host.
        host: String,
        /// The token, the link, the URI or the id.
        #[arg(allow_hyphen_values = true)]
        token: String,
    },
    /// Say what came of an attempt if the XMPP server cannot: `invited doctor` names such attempts.
    Settle {
        /// The XMPP host.
        host: String,
        /// The token, the link, the URI or the id.
        #[arg(allow_hyphen_values = true)]
        token: String,
        /// The account exists (or has its new password): the use stays taken.
        #[arg(long, required_unless_present = "not_made")]
        made: bool,
        /// The account does not exist: the use is free again.
        #[arg(long, conflicts_with = "made")]
        not_made: bool,
        /// Which attempt, if there are several.
        #[arg(long, value_name = "NAME")]
        username: Option<String>,
    },
    /// Show an invite and what it gave.
    Show {
        /// The XMPP host.
        host: String,
        /// The token, the link, the URI or the id.
        #[arg(allow_hyphen_values = true)]
        token: String,
        /// One JSON object with all fields.
        #[arg(long)]
        json: bool,
        /// Draw the link as a QR code, too.
        #[arg(long, conflicts_with = "json")]
        qr: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Uses {
    /// How many accounts it gives.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    max_uses: i64,
    /// No limit to the accounts that it gives.
    #[arg(long, conflicts_with = "max_uses")]
    unlimited: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Terms {
    /// How long it is good from now on: 12h, 7d, or never (accounts only).
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    expires_in: Option<String>,
    /// How many accounts it gives in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    max_uses: Option<i64>,
    /// No limit to the accounts that it gives.
    #[arg(long, conflicts_with = "max_uses")]
    unlimited: bool,
    /// A remark for yourself; an empty one takes it away.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// How long it is good: 12h, 7d, or never (accounts only).
    #[arg(long, value_name = "SPAN", allow_hyphen_values = true)]
    expires_in: Option<String>,
    /// A remark for yourself; the invitee does not see it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Draw the link as a QR code, too.
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// One JSON object with all fields.
    #[arg(long)]
    json: bool,
    /// Make it although the chat server says that there is such an account already, or none, or no such
    /// role or group.
    #[arg(long)]
    force: bool,
}

fn lifetime(expires_in: Option<&str>) -> Result<Lifetime, Failure> {
    match expires_in {
        None => Ok(Lifetime::Default),
        Some("never") => Ok(Lifetime::Never),
        Some(text) => span(text)
            .map(Lifetime::Seconds)
            .map_err(|why| Failure::Usage(format!("--expires-in: {why}"))),
    }
}

pub(super) async fn run(command: Command, app: App) -> Outcome {
    match command {
        Command::Change { host, token, terms } => alter(&app, &host, &token, terms).await,
        Command::Contact {
            inviter,
            allow_registration,
            common,
        } => {
            let (host, jid) = account(&app, &inviter)?;
            let mut new = new_invite(Kind::Contact, &common)?;
            new.localpart = Some(jid.localpart);
            new.allow_registration = allow_registration;
            create(&app, host, new, &common).await
        }
        Command::Create {
            host,
            username,
            role,
            group,
            uses,
            token,
            common,
        } => {
            let host = app.config.host(&host)?;
            let mut new = new_invite(Kind::Account, &common)?;
            new.localpart = match username {
                Some(name) => Some(
                    Localpart::at(&host.domain, &name)
                        .map_err(|why| Failure::Usage(format!("--username: {name:?} {why}")))?,
                ),
                None => None,
            };
            new.max_uses = (!uses.unlimited).then_some(uses.max_uses);
            new.details.roles = role;
            new.details.groups = group;
            new.token = token
                .map(|text| text.parse())
                .transpose()
                .map_err(|why| Failure::Usage(format!("--token: {why}")))?;
            create(&app, host, new, &common).await
        }
        Command::List { host, state, json } => list(&app, &host, state, json).await,
        Command::Reset {
            account: of,
            common,
        } => {
            let (host, jid) = account(&app, &of)?;
            let mut new = new_invite(Kind::Reset, &common)?;
            new.localpart = Some(jid.localpart);
            create(&app, host, new, &common).await
        }
        Command::Restore { host, token } => {
            let host = app.config.host(&host)?;
            let (invite, _) = app.find_invite_by(host, &token.parse::<FindBy>()?).await?;
            Ok(app.restore_invite(host, &invite).await?)
        }
        Command::Revoke { host, token } => revoke(&app, &host, &token).await,
        Command::Settle {
            host,
            token,
            made,
            not_made: _,
            username,
        } => settle(&app, &host, &token, made, username.as_deref()).await,
        Command::Show {
            host,
            token,
            json,
            qr,
        } => show(&app, &host, &token, json, qr).await,
    }
}

fn new_invite(kind: Kind, common: &Common) -> Result<NewInvite, Failure> {
    let mut new = NewInvite::account();
    new.kind = kind;
    new.lifetime = lifetime(common.expires_in.as_deref())?;
    new.details.note.clone_from(&common.note);
    new.details.source = Some("command line".to_owned());
    Ok(new)
}

async fn create(app: &App, host: &Host, new: NewInvite, common: &Common) -> Outcome {
    known::check(app, host, &new, common.force).await?;
    let created = app.create_invite(host, new, By::Operator).await?;
    if common.json {
        return print_json(&view(app, host, &created.invite, Some(&created.token)));
    }
    let url = app.landing_url(host, &created.invite, &created.token);
    print(&url)?;
    if common.qr {
        draw(&url)?;
    }
    Ok(())
}

async fn list(app: &App, host: &str, state: Option<State>, as_json: bool) -> Outcome {
    let host = app.config.host(host)?;
    let mut which = ListInvites {
        state,
        limit: 1_000,
        ..ListInvites::default()
    };
    let mut invites = Vec::new();
    loop {
        let page = app.list_invites(host, &which).await?;
        invites.extend(page.invites);
        match page.next {
            Some(next) => which.after = Some(next),
            None => break,
        }
    }
    if as_json {
        let views: Vec<_> = invites
            .iter()
            .map(|invite| view(app, host, invite, app.token_of(invite).as_ref()))
            .collect();
        return print_json(&json!(views));
    }
    let now = app.clock.now();
    let rows: Vec<_> = invites.iter().map(|invite| row(invite, now)).collect();
    print_table(
        &[
            "ID",
            "KIND",
            "NAME",
            "STATE",
            "USES",
            "EXPIRES (UTC)",
            "NOTE",
        ],
        &rows,
    )
}

fn row(invite: &Invite, now: Timestamp) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        invite.id.to_string(),
        invite.kind.as_str().to_owned(),
        or_dash(invite.localpart.as_ref().map(ToString::to_string)),
        invite.state(now).as_str().to_owned(),
        uses(invite),
        invite
            .expires_at
            .map_or_else(|| "never".to_owned(), Timestamp::short_text),
        or_dash(invite.details.note.clone()),
    ]
}

fn uses(invite: &Invite) -> String {
    match invite.max_uses {
        Some(max) => format!("{}/{max}", invite.uses),
        None => format!("{}/∞", invite.uses),
    }
}

async fn revoke(app: &App, host: &str, token: &str) -> Outcome {
    let host = app.config.host(host)?;
    let (invite, _) = app.find_invite_by(host, &token.parse::<FindBy>()?).await?;
    if app.revoke_invite(host, &invite).await? {
        Ok(())
    } else {
        Err(Failure::Failed("this invite was revoked before".to_owned()))
    }
}

async fn alter(app: &App, host: &str, token: &str, terms: Terms) -> Outcome {
    let host = app.config.host(host)?;
    let (invite, _) = app.find_invite_by(host, &token.parse::<FindBy>()?).await?;
    let alteration = Alteration {
        lifetime: match terms.expires_in.as_deref() {
            None => None,
            some => Some(lifetime(some)?),
        },
        max_uses: match terms.max_uses {
            None if terms.unlimited => Some(None),
            None => None,
            some => Some(some),
        },
        note: terms.note,
    };
    app.alter_invite(host, &invite, alteration).await?;
    Ok(())
}

async fn settle(app: &App, host: &str, token: &str, made: bool, username: Option<&str>) -> Outcome {
    let host = app.config.host(host)?;
    let (invite, _) = app.find_invite_by(host, &token.parse::<FindBy>()?).await?;
    let registrations = app.store.list_registrations(&host.domain, invite.id).await;
    let mut open = registrations.map_err(Error::from)?;
    open.retain(|attempt| attempt.confirmed_at.is_none());
    if let Some(name) = username {
        open.retain(|attempt| attempt.localpart.as_str() == name);
    }
    let attempt = match open.as_slice() {
        [] => return Err(Failure::Failed("no attempt with it is unfinished".into())),
        [attempt] => attempt,
        several => {
            let names: Vec<_> = several.iter().map(|one| one.localpart.as_str()).collect();
            let why = format!(
                "several attempts are unfinished; say which with --username: {}",
                names.join(", ")
            );
            return Err(Failure::Failed(why));
        }
    };
    let age = app.clock.now().0 - attempt.reserved_at.0;
    if age < OVERDUE {
        return Err(Failure::Failed(format!(
            "the attempt is {age} s old and may still be going on; wait until it is {OVERDUE} s old"
        )));
    }
    if made {
        app.confirm(host, attempt.id).await?;
    } else {
        app.release(host, attempt.id).await?;
    }
    Ok(())
}

async fn show(app: &App, host: &str, token: &str, as_json: bool, qr: bool) -> Outcome {
    let host = app.config.host(host)?;
    let (invite, token) = app.find_invite_by(host, &token.parse::<FindBy>()?).await?;
    let registrations = app
        .store
        .list_registrations(&host.domain, invite.id)
        .await
        .map_err(Error::from)?;
    if as_json {
        let mut shown = view(app, host, &invite, token.as_ref());
        let registrations: Vec<_> = registrations.iter().map(RegistrationView::from).collect();
        shown["registrations"] = json!(registrations);
        return print_json(&shown);
    }
    let url = token
        .as_ref()
        .map(|token| app.landing_url(host, &invite, token));
    let mut lines = vec![
        ("invite", invite.id.to_string()),
        ("kind", invite.kind.as_str().to_owned()),
        ("state", invite.state(app.clock.now()).as_str().to_owned()),
        ("uses", uses(&invite)),
        ("made", invite.created_at.zoned_text()),
        (
            "expires",
            invite
                .expires_at
                .map_or_else(|| "never".to_owned(), Timestamp::zoned_text),
        ),
    ];
    let optional = [
        ("name", invite.fixed_name().map(ToString::to_string)),
        ("inviter", invite.inviter().map(ToString::to_string)),
        ("link", url.clone()),
        ("uri", token.as_ref().map(|token| app.uri(&invite, token))),
        ("source", invite.details.source.clone()),
        ("note", invite.details.note.clone()),
        (
            "roles",
            Some(invite.details.roles.join(", ")).filter(|roles| !roles.is_empty()),
        ),
        (
            "groups",
            Some(invite.details.groups.join(", ")).filter(|groups| !groups.is_empty()),
        ),
    ];
    lines.extend(
        optional
            .into_iter()
            .filter_map(|(label, value)| Some((label, value?))),
    );
    for made in &registrations {
        let age = app.clock.now().0 - made.reserved_at.0;
        let when = match made.confirmed_at {
            Some(moment) => moment.zoned_text(),
            None if age < OVERDUE => "not finished".to_owned(),
            None => format!(
                "not finished for {}; if the chat server cannot say whether it was made: \
                 invited invite settle {} {} --made or --not-made",
                span_text(age),
                host.domain,
                invite.id
            ),
        };
        lines.push((
            "gave",
            format!("{}@{} ({when})", made.localpart, host.domain),
        ));
    }
    for (label, value) in lines {
        print(&format!("{label:<8} {}", visible(&value)))?;
    }
    match url {
        Some(url) if qr => draw(&url),
        _ => Ok(()),
    }
}

fn view(app: &App, host: &Host, invite: &Invite, token: Option<&InviteToken>) -> Value {
    json!(InviteView::new(app, host, invite, token))
}

fn draw(url: &str) -> Outcome {
    match qr::terminal(url) {
        Some(code) => print_as_it_is(&code),
        None => Err(Failure::Failed(
            "the link is too long for a QR code".to_owned(),
        )),
    }
}
