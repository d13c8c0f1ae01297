//! Moves in from ejabberd's `mod_invites`, if it keeps its invites in `SQLite` or `PostgreSQL`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Found, FoundHost, hint};
use crate::app::{OldInvite, OldRegistration};
use crate::clock::Timestamp;
use crate::invite::{Details, Kind};
use crate::jid::{Domain, Localpart};
use crate::secret::Secret;
use crate::store::foreign::{EjabberdRow, Foreign};

/// Reads all invites of the database at `url` (`sqlite:FILE` or `postgres://…`); only those of
/// `hosts`, if any are named. A database of a single host needs its name.
pub async fn find(url: &Secret, hosts: &[String]) -> Result<Found, String> {
    let database = Foreign::open(url).await.map_err(|e| e.to_string())?;
    let rows = database.ejabberd_rows().await.map_err(|e| e.to_string())?;
    sort(rows, hosts)
}

fn sort(rows: Vec<EjabberdRow>, hosts: &[String]) -> Result<Found, String> {
    let asked: Vec<Domain> = hosts
        .iter()
        .map(|host| {
            host.parse()
                .map_err(|why| format!("the host {host:?} {why}"))
        })
        .collect::<Result<_, _>>()?;
    let mut found = Found::default();
    for row in rows {
        let domain = match &row.server_host {
            Some(host) => match host.parse::<Domain>() {
                Ok(domain) => domain,
                Err(why) => {
                    let problem = format!("invite {}: its host {host:?} {why}", hint(&row.token));
                    found.problems.push(problem);
                    continue;
                }
            },
            None => match asked.as_slice() {
                [only] => only.clone(),
                _ => return Err("this database is of one host; name it with --host".to_owned()),
            },
        };
        if !asked.is_empty() && !asked.contains(&domain) {
            continue;
        }
        let place = found.hosts.iter().position(|host| host.domain == domain);
        let place = place.unwrap_or_else(|| {
            found.hosts.push(FoundHost::new(domain));
            found.hosts.len() - 1
        });
        let host = &mut found.hosts[place];
        if let Err(why) = invite(&row, host) {
            host.problems
                .push(format!("invite {}: {why}", hint(&row.token)));
        }
    }
    Ok(found)
}

fn invite(row: &EjabberdRow, host: &mut FoundHost) -> Result<(), String> {
    let name = |text: &str| match text {
        "" => Ok(None),
        text => text
            .parse::<Localpart>()
            .map(Some)
            .map_err(|why| format!("the name {text:?} {why}")),
    };
    let inviter = name(&row.username)?;
    let account = name(&row.account_name)?;
    let used = !row.invitee.is_empty();
    let (kind, localpart) = match row.kind.trim() {
        "A" => (Kind::Account, account.clone().filter(|_| !used)),
        "R" | "S" => (Kind::Contact, inviter.clone()),
        "T" => (Kind::Reset, account.clone()),
        other => return Err(format!("it is of an unknown type ({other:?})")),
    };
    if localpart.is_none() && kind != Kind::Account {
        return Err("it names no account".to_owned());
    }
    if row.kind.trim() == "S" && account.is_some() && !used {
        host.problems.push(format!(
            "invite {}: it is for a contact and a fixed name; the name is free now",
            hint(&row.token)
        ));
    }
    let created_at = moment(&row.created_at)?;
    let token = row
        .token
        .parse()
        .map_err(|why| format!("its token cannot be used: {why}"))?;
    let source = inviter.map(|name| format!("{name}@{}", host.domain));
    let invite = OldInvite {
        token,
        kind,
        localpart,
        allow_registration: row.kind.trim() != "R",
        max_uses: Some(1),
        uses: i64::from(used),
        created_at,
        expires_at: moment(&row.expires)?,
        landing_url: None,
        details: Details {
            source: source.clone(),
            ..Details::default()
        },
    };
    if used {
        host.registrations
            .extend(registration(row, &invite, account)?);
    }
    host.invites.push(invite);
    Ok(())
}

/// What came of a used invite: `invitee` is the address of who used it, `account_name` the account
/// that was made of it.
fn registration(
    row: &EjabberdRow,
    invite: &OldInvite,
    account: Option<Localpart>,
) -> Result<Option<OldRegistration>, String> {
    let invitee = row.invitee.split('@').next().unwrap_or_default();
    let (kind, localpart) = match (row.kind.trim(), account) {
        ("T", Some(account)) => (Kind::Reset, account),
        // A contact invite that nobody made an account of made a contact of the inviter.
        ("R", None) => match &invite.localpart {
            Some(name) => (Kind::Contact, name.clone()),
            None => return Ok(None),
        },
        (_, Some(account)) => (Kind::Account, account),
        (_, None) => {
            let name = invitee
                .parse()
                .map_err(|why| format!("the name {invitee:?} {why}"))?;
            (Kind::Account, name)
        }
    };
    Ok(Some(OldRegistration {
        token: Some(invite.token.clone()),
        kind,
        localpart,
        // Nobody wrote down when; it was not before this.
        at: Some(invite.created_at),
        source: invite.details.source.clone(),
    }))
}

/// `2026-01-31 12:00:00`, which is UTC, perhaps with a fraction.
fn moment(text: &str) -> Result<Timestamp, String> {
    let civil: DateTime = text
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no moment"))?;
    let moment = TimeZone::UTC
        .to_timestamp(civil)
        .map_err(|e| format!("{text:?}: {e}"))?;
    Ok(Timestamp(moment.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, change: impl FnOnce(&mut EjabberdRow)) -> EjabberdRow {
        let mut row = EjabberdRow {
            token: format!("token-of-kind-{kind}"),
            username: "nora".to_owned(),
            server_host: Some("chat.example".to_owned()),
            invitee: String::new(),
            created_at: "2026-11-25 18:00:00".to_owned(),
            expires: "2026-11-30 18:00:00.5".to_owned(),
            kind: kind.to_owned(),
            account_name: String::new(),
        };
        change(&mut row);
        row
    }

    #[test]
    fn the_four_types_become_our_kinds() {
        let rows = vec![
            row("A", |row| row.account_name = "theo".to_owned()),
            row("R", |_| ()),
            row("S", |_| ()),
            row("T", |row| row.account_name = "nora".to_owned()),
        ];
        let found = sort(rows, &[]).expect("it reads");
        let kinds: Vec<_> = found.hosts[0]
            .invites
            .iter()
            .map(|invite| {
                let name = invite.localpart.as_ref().map(Localpart::as_str);
                (invite.kind, name, invite.allow_registration)
            })
            .collect();
        assert_eq!(
            kinds,
            [
                (Kind::Account, Some("theo"), true),
                (Kind::Contact, Some("nora"), false),
                (Kind::Contact, Some("nora"), true),
                (Kind::Reset, Some("nora"), true),
            ]
        );
        let invite = &found.hosts[0].invites[0];
        assert_eq!(invite.expires_at, Timestamp(1_796_061_600));
        assert_eq!(invite.details.source.as_deref(), Some("nora@chat.example"));
        assert!(found.hosts[0].problems.is_empty());
    }

    #[test]
    fn used_invites_become_history() {
        let rows = vec![
            row("A", |row| row.invitee = "theo@chat.example".to_owned()),
            row("R", |row| row.invitee = "far@else.example".to_owned()),
        ];
        let found = sort(rows, &[]).expect("it reads");
        let history: Vec<_> = found.hosts[0]
            .registrations
            .iter()
            .map(|past| (past.kind, past.localpart.as_str()))
            .collect();
        assert_eq!(history, [(Kind::Account, "theo"), (Kind::Contact, "nora")]);
        assert!(found.hosts[0].invites.iter().all(|invite| invite.uses == 1));
    }

    #[test]
    fn a_database_of_one_host_needs_its_name() {
        let rows = || vec![row("A", |row| row.server_host = None)];
        assert!(sort(rows(), &[]).is_err());
        let found = sort(rows(), &["chat.example".to_owned()]).expect("it reads");
        assert_eq!(found.hosts[0].invites.len(), 1);
        let found = sort(vec![row("A", |_| ())], &["other.example".to_owned()]).expect("it reads");
        assert!(found.hosts.is_empty());
    }

    #[test]
    fn a_row_that_makes_no_sense_is_a_problem() {
        let rows = vec![
            row("X", |_| ()),
            row("A", |row| row.expires = "soon".to_owned()),
            row("T", |_| ()),
        ];
        let found = sort(rows, &[]).expect("it reads");
        assert_eq!(found.hosts[0].problems.len(), 3);
        assert!(found.hosts[0].invites.is_empty());
    }
}
