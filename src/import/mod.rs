//! Moves in from other servers: a file here for each reads what that server keeps and turns it into
//! what [`App`] takes over. Nothing is ever written to the other server.
//!
//! * Whatever cannot be brought over is a problem in words, never dropped in silence. A problem
//!   names an invite by the beginning of its token, since the token is a secret.
//! * To add a server: a file that makes a [`Found`], a command in `cli/import.rs`, a page in `docs/`.

pub mod ejabberd;
pub mod prosody;

use std::collections::BTreeMap;

use crate::app::{App, OldInvite, OldKey, OldRegistration, TAKEN_AT_ONCE, TakenKey};
use crate::clock::Timestamp;
use crate::config::Host;
use crate::config::file::Usernames;
use crate::error::Error;
use crate::invite::{Kind, State};
use crate::jid::Domain;

/// Everything that another server has for us.
#[derive(Debug, Default)]
pub struct Found {
    pub hosts: Vec<FoundHost>,
    /// What belongs to no host that can be named.
    pub problems: Vec<String>,
}

/// What another server has for one of its hosts.
#[derive(Debug)]
pub struct FoundHost {
    pub domain: Domain,
    pub keys: Vec<OldKey>,
    pub invites: Vec<OldInvite>,
    pub registrations: Vec<OldRegistration>,
    /// What cannot be brought over, or changes on the way.
    pub problems: Vec<String>,
}

/// What is counted together: API keys, invites of a kind in a state, registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Keys,
    Accounts(Phase),
    ContactsOnly(Phase),
    ContactsWithAccounts(Phase),
    Resets(Phase),
    History,
}

/// Whether an invite can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    Expired,
    Used,
}

/// How many there were, and how many of them are new to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub found: usize,
    pub new: usize,
}

/// What came of one host.
#[derive(Debug)]
pub struct Report {
    pub domain: Domain,
    pub tallies: BTreeMap<Group, Tally>,
    pub problems: Vec<String>,
}

impl Group {
    /// Its name in tables.
    pub fn name(self) -> String {
        let (what, phase) = match self {
            Self::Keys => return "API keys".to_owned(),
            Self::History => return "accounts made by invites".to_owned(),
            Self::Accounts(phase) => ("account invites", phase),
            Self::ContactsOnly(phase) => ("contact invites", phase),
            Self::ContactsWithAccounts(phase) => ("contact invites with an account", phase),
            Self::Resets(phase) => ("password resets", phase),
        };
        format!("{what}, {}", phase.name())
    }

    fn of(invite: &OldInvite, now: Timestamp) -> Self {
        let phase = if invite.max_uses.is_some_and(|max| invite.uses >= max) {
            Phase::Used
        } else if now > invite.expires_at {
            Phase::Expired
        } else {
            Phase::Open
        };
        match (invite.kind, invite.allow_registration) {
            (Kind::Account, _) => Self::Accounts(phase),
            (Kind::Contact, false) => Self::ContactsOnly(phase),
            (Kind::Contact, true) => Self::ContactsWithAccounts(phase),
            (Kind::Reset, _) => Self::Resets(phase),
        }
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Open => State::Open.as_str(),
            Self::Expired => State::Expired.as_str(),
            Self::Used => State::UsedUp.as_str(),
        }
    }
}

impl FoundHost {
    /// Nothing yet.
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            keys: Vec::new(),
            invites: Vec::new(),
            registrations: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// How many steps bringing it over takes.
    pub fn len(&self) -> usize {
        self.keys.len() + self.invites.len() + self.registrations.len()
    }

    /// Whether there is nothing to bring over and nothing to say.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.problems.is_empty()
    }

    /// Leaves out what our own sweeping would delete at once, and says so.
    pub fn leave_out_what_is_long_over(&mut self, retention: i64, now: Timestamp) {
        let before = self.invites.len();
        self.invites
            .retain(|invite| invite.expires_at.plus(retention) >= now);
        let left_out = before - self.invites.len();
        if left_out > 0 {
            self.problems.push(format!(
                "{left_out} {} expired more than {} days ago and stayed behind (invite_retention)",
                plural(left_out, "invite"),
                retention / 86_400
            ));
        }
    }

    /// Says what our own configuration of the host makes of what was found.
    pub fn compare_with(&mut self, host: &Host) {
        let odd = self
            .invites
            .iter()
            .filter(|invite| invite.kind == Kind::Account)
            .filter_map(|invite| invite.localpart.as_ref())
            .filter(|name| !name.is_plain())
            .count();
        if odd > 0 && host.usernames == Usernames::Plain {
            self.problems.push(format!(
                "{odd} {} a fixed name with other characters than a-z 0-9 . _ -; set usernames = \"any\" for this host, or they will be refused",
                if odd == 1 { "invite has" } else { "invites have" }
            ));
        }
    }

    /// What would come.
    pub fn preview(self, now: Timestamp) -> Report {
        let mut report = Report::new(self.domain);
        report.count(Group::Keys, self.keys.len(), 0);
        for invite in &self.invites {
            report.count(Group::of(invite, now), 1, 0);
        }
        report.count(Group::History, self.registrations.len(), 0);
        report.problems = self.problems;
        report
    }
}

impl Report {
    fn new(domain: Domain) -> Self {
        Self {
            domain,
            tallies: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn count(&mut self, group: Group, found: usize, new: usize) {
        if found > 0 {
            let tally = self.tallies.entry(group).or_default();
            tally.found += found;
            tally.new += new;
        }
    }
}

/// Brings everything of one host over; `step` hears how many rows are done each time.
///
/// What is there already stays as it is, so that doing it again is safe.
pub async fn bring_over(
    app: &App,
    host: &Host,
    mut found: FoundHost,
    step: impl Fn(usize),
) -> Result<Report, Error> {
    let now = app.clock.now();
    // Invites with a later end come first, so that of two with the same fixed name the one that
    // lives longer holds it.
    found.invites.sort_by_key(|invite| -invite.expires_at.0);
    let mut report = Report::new(found.domain);
    report.problems = found.problems;

    let taken = app.take_over_keys(host, &found.keys).await?;
    for (key, taken) in found.keys.iter().zip(taken) {
        report.count(Group::Keys, 1, usize::from(taken == TakenKey::New));
        if taken == TakenKey::Differs {
            report.problems.push(format!(
                "key {}: there is another key with this id already, which stays",
                key.key.id
            ));
        }
    }
    step(found.keys.len());
    for invites in found.invites.chunks(TAKEN_AT_ONCE) {
        let taken = app.take_over_invites(host, invites).await?;
        for (invite, new) in invites.iter().zip(taken) {
            report.count(Group::of(invite, now), 1, usize::from(new));
        }
        step(invites.len());
    }
    for registrations in found.registrations.chunks(TAKEN_AT_ONCE) {
        let taken = app.take_over_registrations(host, registrations).await?;
        let new = taken.into_iter().filter(|new| *new).count();
        report.count(Group::History, registrations.len(), new);
        step(registrations.len());
    }
    Ok(report)
}

/// The beginning of a token, enough to find it and too little to use it.
fn hint(token: &str) -> String {
    let start: String = token.chars().take(4).collect();
    format!("{start}…")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        noun.to_owned()
    } else {
        format!("{noun}s")
    }
}
