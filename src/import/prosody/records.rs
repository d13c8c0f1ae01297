//! What Prosody's invite modules keep, as what we keep.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::lua;
use crate::api_key::PresentedKey;
use crate::app::{OldInvite, OldKey, OldRegistration};
use crate::clock::Timestamp;
use crate::import::{FoundHost, hint, plural};
use crate::invite::{Details, Kind};
use crate::jid::Localpart;
use crate::secret::Secret;
use crate::token::InviteToken;

/// One of Prosody's stores at a host: the host's own entries, and those of each user.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) host: Map<String, Value>,
    pub(super) users: BTreeMap<String, UserEntries>,
}

/// What a store has for one user.
#[derive(Debug, Default)]
pub(super) struct UserEntries {
    pub(super) entries: Map<String, Value>,
    /// When it was written last, if that is known.
    pub(super) written_at: Option<Timestamp>,
}

/// The page that Prosody serves itself.
#[derive(Debug)]
pub(super) struct OwnPage {
    /// Where it is mounted.
    pub(super) path: String,
    /// Whether the operator has another page instead (`invites_page_external`).
    pub(super) external: bool,
}

const USUAL_LIFE: i64 = 7 * 86_400;
const LONGEST_NAME: usize = 200;

/// `mod_invites_api`: id to record.
pub(super) fn keys(store: &Stored, found: &mut FoundHost) {
    for (id, record) in &store.host {
        let full = record["token"]
            .as_str()
            .map(|token| Secret::new(format!("{id}/{token}")));
        let key = full.and_then(|full| full.expose().parse::<PresentedKey>().ok());
        // An id with a slash never got past Prosody's own check either.
        let Some(key) = key.filter(|key| key.id == *id) else {
            found
                .problems
                .push(format!("key {id}: it has no secret that can be used"));
            continue;
        };
        if let Some(methods) = record["allowed_methods"].as_object()
            && methods.get("GET") != Some(&Value::Bool(true))
        {
            found.problems.push(format!(
                "key {id}: allowed_methods had no GET, which is not kept; delete the key if it was meant to be off"
            ));
        }
        found.keys.push(OldKey {
            key,
            name: record["name"].as_str().map(one_line),
            created_at: seconds(&record["created_at"]).map(Timestamp),
        });
    }
}

fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    while line.len() > LONGEST_NAME {
        line.pop();
    }
    line
}

/// `mod_invites`: token to record at the host, token to expiry at the inviters.
pub(super) fn invites(store: Stored, page: &OwnPage, now: Timestamp, found: &mut FoundHost) {
    let mut names: HashMap<Localpart, usize> = HashMap::new();
    let mut texts = 0;
    for (token, record) in &store.host {
        match invite(token, record, page, now) {
            Ok(invite) => {
                texts += usize::from(record["allow_registration"] == "false");
                if invite.kind == Kind::Account
                    && invite.expires_at >= now
                    && let Some(name) = &invite.localpart
                {
                    *names.entry(name.clone()).or_default() += 1;
                }
                found.invites.push(invite);
            }
            Err(why) => found
                .problems
                .push(format!("invite {}: {why}", hint(token))),
        }
    }
    // COMPAT: Prosody 0.12's shell stores `create_contact JID false` as the text "false", which
    // is as good as true to it.
    if texts > 0 {
        found.problems.push(format!(
            "{texts} contact {} made with the word \"false\" for registration, which Prosody takes for yes; it stays yes (`invited invite revoke` takes such an invite back)",
            if texts == 1 { "invite was" } else { "invites were" }
        ));
    }
    for (name, count) in names {
        if count > 1 {
            found.problems.push(format!(
                "{count} invites have the fixed name {name}; the one that expires last holds it, the others work after that only"
            ));
        }
    }
    // An invite with a record at the host has its expiry at the inviter as well.
    for (user, stored) in store.users {
        for (token, expiry) in &stored.entries {
            if store.host.contains_key(token) {
                continue;
            }
            match contact_only(&user, token, expiry, now) {
                Ok(invite) => found.invites.push(invite),
                Err(why) => found
                    .problems
                    .push(format!("contact invite {}: {why}", hint(token))),
            }
        }
    }
}

fn invite(
    token: &str,
    record: &Value,
    page: &OwnPage,
    now: Timestamp,
) -> Result<OldInvite, String> {
    let jid = record["jid"].as_str().unwrap_or_default();
    let name = match jid.split_once('@') {
        Some((name, _)) => Some(localpart(name)?),
        None => None,
    };
    let mut details = match &record["additional_data"] {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    let reset = match details.remove("allow_reset") {
        Some(Value::String(name)) => Some(localpart(&name)?),
        Some(Value::Bool(true)) => name.clone(),
        _ => None,
    };
    let (kind, localpart) = match (record["type"].as_str(), reset, name) {
        (_, Some(account), _) => (Kind::Reset, Some(account)),
        (Some("register"), None, name) => (Kind::Account, name),
        (Some("roster"), None, Some(inviter)) => (Kind::Contact, Some(inviter)),
        (Some("roster"), None, None) => return Err("it names no inviter".to_owned()),
        (other, ..) => return Err(format!("it is of an unknown type ({other:?})")),
    };
    let expires_at =
        seconds(&record["expires"]).ok_or_else(|| "it does not say when it expires".to_owned())?;
    // A fixed name and a password are given once, whatever the record says.
    let many = is_true(&record["reusable"])
        && (kind == Kind::Contact || kind == Kind::Account && localpart.is_none());
    let landing_url = record["landing_page"]
        .as_str()
        .filter(|url| page.external || !is_own_page(url, token, page))
        .map(str::to_owned);
    let invite = OldInvite {
        token: parse_token(token)?,
        kind,
        localpart,
        allow_registration: kind != Kind::Contact || is_true(&record["allow_registration"]),
        max_uses: if many { None } else { Some(1) },
        uses: 0,
        created_at: Timestamp(
            seconds(&record["created_at"]).unwrap_or_else(|| (expires_at - USUAL_LIFE).min(now.0)),
        ),
        expires_at: Timestamp(expires_at),
        landing_url,
        details: details_of(details),
    };
    invite.check().map_err(|e| e.to_string())?;
    Ok(invite)
}

/// A contact invite without registration leaves nothing but this at the inviter.
fn contact_only(
    user: &str,
    token: &str,
    expiry: &Value,
    now: Timestamp,
) -> Result<OldInvite, String> {
    let expires_at = seconds(expiry).ok_or_else(|| "it does not say when it expires".to_owned())?;
    Ok(OldInvite {
        token: parse_token(token)?,
        kind: Kind::Contact,
        localpart: Some(localpart(user)?),
        allow_registration: false,
        max_uses: Some(1),
        uses: 0,
        created_at: Timestamp((expires_at - USUAL_LIFE).min(now.0)),
        expires_at: Timestamp(expires_at),
        landing_url: None,
        details: Details::default(),
    })
}

/// `mod_invites_tracking`: which invite an account came of.
pub(super) fn tracking(store: Stored, found: &mut FoundHost) {
    let mut undated = 0;
    let mut uses: HashMap<String, i64> = HashMap::new();
    for (user, stored) in store.users {
        // COMPAT: the module keeps its own version under a name that no account can have.
        if user == " " {
            continue;
        }
        let localpart = match localpart(&user) {
            Ok(localpart) => localpart,
            Err(why) => {
                found.problems.push(format!("who invited {user:?}: {why}"));
                continue;
            }
        };
        let token = stored.entries.get("invite_id").and_then(Value::as_str);
        if let Some(token) = token {
            *uses.entry(token.to_owned()).or_default() += 1;
        }
        undated += usize::from(stored.written_at.is_none());
        found.registrations.push(OldRegistration {
            token: token.and_then(|token| token.parse().ok()),
            kind: Kind::Account,
            localpart,
            at: stored.written_at,
            source: stored
                .entries
                .get("invite_source")
                .and_then(Value::as_str)
                .map(str::to_owned),
        });
    }
    for invite in &mut found.invites {
        if invite.max_uses.is_none()
            && let Some(uses) = uses.get(invite.token.expose())
        {
            invite.uses = *uses;
        }
    }
    if undated > 0 {
        found.problems.push(format!(
            "{undated} {} came of an invite on a day that nobody wrote down; the day of the import stands for it",
            plural(undated, "account")
        ));
    }
}

/// Prosody's `additional_data`, whose lists and maps take more than one form.
fn details_of(mut data: Map<String, Value>) -> Details {
    let mut text = |name: &str| match data.remove(name) {
        Some(Value::String(text)) => Some(text),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let (source, note) = (text("source"), text("note"));
    let mut list = |name: &str| {
        data.remove(name)
            .map_or_else(Vec::new, |value| words(&value))
    };
    let (roles, groups) = (list("roles"), list("groups"));
    Details {
        source,
        note,
        roles,
        groups,
        extra: data,
    }
}

/// COMPAT: Prosody 0.12 keeps roles as a map to true, 13 as a list; an empty list comes back from
/// its SQL storage as an empty object.
fn words(value: &Value) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut words = super::config::texts(value);
    words.retain(|word| seen.insert(word.clone()));
    words
}

/// COMPAT: what is not false or nil is true in Lua, even the text "false".
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// COMPAT: `landing_page` is attached when an invite is made, from `http_external_url` at that
/// time, so only its path and its end tell whether it is Prosody's own page.
fn is_own_page(url: &str, token: &str, page: &OwnPage) -> bool {
    url.strip_suffix(token)
        .and_then(|rest| rest.strip_suffix('?'))
        .is_some_and(|rest| rest.ends_with(&page.path) || rest.ends_with("/invites_page"))
}

fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => lua::number(number.as_f64()?).as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn parse_token(text: &str) -> Result<InviteToken, String> {
    text.parse()
        .map_err(|why| format!("its token cannot be used: {why}"))
}

fn localpart(text: &str) -> Result<Localpart, String> {
    text.parse()
        .map_err(|why| format!("the name {text:?} {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "-MHhM3R1pUuQ6zq_wY8XsQ";
    const NOW: Timestamp = Timestamp(1_796_061_600);

    fn page() -> OwnPage {
        OwnPage {
            path: "/invites_page".to_owned(),
            external: false,
        }
    }

    fn found() -> FoundHost {
        FoundHost::new("chat.example".parse().expect("a domain"))
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<OldInvite, String> {
        let mut record = json!({
            "type": "register", "jid": "chat.example", "token": TOKEN, "allow_registration": true,
            "uri": format!("xmpp:chat.example?register;preauth={TOKEN}"),
            "created_at": 1_796_061_540.0, "expires": NOW.0 + 60,
        });
        change(&mut record);
        invite(TOKEN, &record, &page(), NOW)
    }

    #[test]
    fn an_account_invite_stays_what_it_is() {
        let invite = read(|_| ()).expect("it reads");
        assert_eq!((invite.kind, invite.max_uses), (Kind::Account, Some(1)));
        assert_eq!(invite.token.expose(), TOKEN);
        assert_eq!(invite.expires_at.0 - invite.created_at.0, 120);
        assert!(invite.localpart.is_none() && invite.landing_url.is_none());
    }

    #[test]
    fn roles_come_as_a_map_or_as_a_list() {
        for (roles, expected) in [
            (json!({"prosody:admin": true}), vec!["prosody:admin"]),
            (json!(["b", "a", "b"]), vec!["b", "a"]),
            (json!({}), vec![]),
            (json!("prosody:guest"), vec!["prosody:guest"]),
            (json!({"on": true, "off": false}), vec!["on"]),
        ] {
            let invite = read(|record| {
                record["additional_data"] =
                    json!({"roles": roles, "groups": {}, "note": "n", "source": "s", "x.y": [1]});
            })
            .expect("it reads");
            assert_eq!(invite.details.roles, expected);
            assert!(invite.details.groups.is_empty());
            assert_eq!(invite.details.note.as_deref(), Some("n"));
            assert_eq!(invite.details.extra["x.y"][0], 1);
        }
    }

    #[test]
    fn a_reset_is_a_kind_of_its_own() {
        let invite = read(|record| {
            record["jid"] = "Theo@chat.example".into();
            record["additional_data"] = json!({"allow_reset": "theo"});
            record["reusable"] = true.into();
        })
        .expect("it reads");
        assert_eq!((invite.kind, invite.max_uses), (Kind::Reset, Some(1)));
        assert_eq!(invite.localpart.expect("an account").as_str(), "theo");
        assert!(invite.details.extra.is_empty());
    }

    #[test]
    fn whatever_lua_takes_for_true_allows_registration() {
        for (flag, allowed) in [
            (json!(true), true),
            (json!("true"), true),
            (json!("false"), true),
            (json!(false), false),
            (Value::Null, false),
        ] {
            let invite = read(|record| {
                record["type"] = "roster".into();
                record["jid"] = "nora@chat.example".into();
                record["allow_registration"] = flag.clone();
            })
            .expect("it reads");
            assert_eq!(invite.allow_registration, allowed, "{flag}");
            assert_eq!(invite.kind, Kind::Contact);
        }
    }

    #[test]
    fn only_pages_of_others_are_kept() {
        for (url, kept) in [
            (format!("https://chat.example/invites_page?{TOKEN}"), false),
            (
                format!("http://chat.example:5280/x/invites_page?{TOKEN}"),
                false,
            ),
            (format!("https://elsewhere.example/#{TOKEN}"), true),
            ("https://elsewhere.example/invites_page".to_owned(), true),
        ] {
            let invite = read(|record| record["landing_page"] = url.clone().into());
            assert_eq!(
                invite.expect("it reads").landing_url.is_some(),
                kept,
                "{url}"
            );
        }
    }

    #[test]
    fn a_reusable_invite_has_no_limit_unless_it_has_a_name() {
        let many = read(|record| record["reusable"] = true.into()).expect("it reads");
        assert_eq!(many.max_uses, None);
        let named = read(|record| {
            record["reusable"] = true.into();
            record["jid"] = "theo@chat.example".into();
        })
        .expect("it reads");
        assert_eq!(named.max_uses, Some(1));
    }

    #[test]
    fn a_record_that_makes_no_sense_is_named_without_its_token() {
        let mut store = Stored::default();
        store.host.insert(
            "short".into(),
            json!({"type": "register", "jid": "x", "expires": 1}),
        );
        store
            .host
            .insert(TOKEN.into(), json!({"type": "register", "jid": "x"}));
        let mut found = found();
        invites(store, &page(), NOW, &mut found);
        assert_eq!(found.problems.len(), 2);
        assert!(found.invites.is_empty());
        assert!(
            !found.problems.join(" ").contains(TOKEN),
            "{:?}",
            found.problems
        );
    }

    #[test]
    fn contact_only_invites_are_found_at_their_inviters_and_others_are_not_doubled() {
        let mut store = Stored::default();
        let other = "cccccccccccccccccccccc";
        store.host.insert(
            TOKEN.into(),
            json!({"type": "roster", "jid": "nora@chat.example", "expires": NOW.0, "allow_registration": true}),
        );
        let entries = [(TOKEN, NOW.0), (other, NOW.0)];
        let entries = entries.map(|(token, end)| (token.to_owned(), json!(end)));
        store.users.insert(
            "nora".into(),
            UserEntries {
                entries: Map::from_iter(entries),
                written_at: None,
            },
        );
        let mut found = found();
        invites(store, &page(), NOW, &mut found);
        let contacts: Vec<_> = found
            .invites
            .iter()
            .map(|invite| (invite.token.expose(), invite.allow_registration))
            .collect();
        assert_eq!(contacts, [(TOKEN, true), (other, false)]);
    }

    #[test]
    fn keys_of_any_length_are_taken_and_their_names_are_one_line() {
        let mut store = Stored::default();
        store.host.insert(
            "-HTwALnKL_aa".into(),
            json!({"id": "-HTwALnKL_aa", "token": "z".repeat(36), "name": "My\ntest key", "created_at": 1.0}),
        );
        store.host.insert(
            "a".into(),
            json!({"id": "a", "token": "b", "allowed_methods": {"POST": true}}),
        );
        store.host.insert("broken".into(), json!({"id": "broken"}));
        let mut found = found();
        keys(&store, &mut found);
        assert_eq!(found.keys.len(), 2);
        assert_eq!(found.keys[0].name.as_deref(), Some("My test key"));
        assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    }

    #[test]
    fn uses_of_a_reusable_invite_are_counted_from_the_history() {
        let mut store = Stored::default();
        for user in ["anna", "ben", " "] {
            let entries = [("invite_id".to_owned(), json!(TOKEN))];
            let entries = UserEntries {
                entries: Map::from_iter(entries),
                written_at: Some(NOW),
            };
            store.users.insert(user.into(), entries);
        }
        let mut found = found();
        found.invites = vec![read(|record| record["reusable"] = true.into()).expect("it reads")];
        tracking(store, &mut found);
        assert_eq!((found.invites[0].uses, found.registrations.len()), (2, 2));
    }
}
