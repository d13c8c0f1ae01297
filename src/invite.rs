//! Invites: their kinds, their states, and what one needs to be made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::jid::{Domain, Localpart};
use crate::token::InviteToken;

/// Names an invite without being a secret; sorts by time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InviteId(pub [u8; 16]);

impl InviteId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().into_bytes())
    }

    /// A new id that sorts among those that were made at `moment`.
    pub fn generate_at(moment: Timestamp) -> Self {
        let mut id = Self::generate();
        // RFC 9562 §5.7: the first 48 bits are milliseconds.
        let milliseconds = moment.0.max(0).saturating_mul(1_000).to_be_bytes();
        id.0[..6].copy_from_slice(&milliseconds[2..]);
        id
    }
}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl FromStr for InviteId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(Uuid::try_parse(text)?.into_bytes()))
    }
}

/// What an invite is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A new account, perhaps with a fixed name (XEP-0445).
    Account,
    /// A contact of a local user (XEP-0379), perhaps with a new account.
    Contact,
    /// A new password for one account.
    Reset,
}

impl Kind {
    /// The word in commands, answers and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Contact => "contact",
            Self::Reset => "reset",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "account" => Ok(Self::Account),
            "contact" => Ok(Self::Contact),
            "reset" => Ok(Self::Reset),
            _ => Err(()),
        }
    }
}

/// Whether an invite can still be used, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Expired,
    Open,
    Revoked,
    #[serde(rename = "used")]
    UsedUp,
}

impl State {
    /// The word in commands and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Open => "open",
            Self::Revoked => "revoked",
            Self::UsedUp => "used",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Expired, Self::Open, Self::Revoked, Self::UsedUp]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                format!("unknown state {text:?}; there are: open, used, expired, revoked")
            })
    }
}

/// What goes along with an invite and is handed to whoever the account is made by.
///
/// This is Prosody's `additional_data` without `allow_reset`, which is a kind here; keys that we
/// do not know survive in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Who made it: `api/token/KEYID`, an address, `command line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For the operator's memory; never shown to the invitee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Roles of the new account, primary first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Groups that the new account joins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Details {
    /// Whether a chat server or one of its modules acts on this member of `additional_data`: ours,
    /// `mod_invites_register` (`allow_reset`, `roles`), `mod_invites_groups` (`groups`),
    /// `mod_invites_tracking` (`source`), `mod_http_admin_api` (`note`, and those before).
    pub fn means_something(member: &str) -> bool {
        const MEMBERS: [&str; 6] = [
            "allow_reset",
            "groups",
            "note",
            "roles",
            "roster_subscription",
            "source",
        ];
        MEMBERS.contains(&member)
    }
}

/// An invite as the store knows it.
#[derive(Debug, Clone)]
pub struct Invite {
    pub id: InviteId,
    pub host: Domain,
    pub kind: Kind,
    /// The fixed name, the inviter (contact) or the account to reset.
    pub localpart: Option<Localpart>,
    /// Whether it gives an account (always, but for contact-only invites).
    pub allow_registration: bool,
    /// How many accounts or contacts it gives; no limit if absent.
    pub max_uses: Option<i64>,
    /// Uses taken, those of unfinished attempts included.
    pub uses: i64,
    /// Uses taken by attempts that are not finished.
    pub unfinished: i64,
    pub created_at: Timestamp,
    /// Last moment at which it is good; never expires if absent.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Set if something other than our own page is the invite's page.
    pub landing_url: Option<String>,
    /// The local user who made it, if one did.
    pub creator: Option<Localpart>,
    pub details: Details,
    pub token_hash: [u8; 32],
    /// The token, sealed under a key outside the database.
    pub token_sealed: Vec<u8>,
}

impl Invite {
    /// Whether it can be used at `now`. A use that an unfinished attempt has taken may come
    /// back, so it does not count as used up here; the reservation decides.
    pub fn state(&self, now: Timestamp) -> State {
        if self.revoked_at.is_some() {
            State::Revoked
        } else if self
            .max_uses
            .is_some_and(|max| self.uses - self.unfinished >= max)
        {
            State::UsedUp
        } else if self.expires_at.is_some_and(|end| now > end) {
            State::Expired
        } else {
            State::Open
        }
    }

    /// The only name that it gives.
    pub fn fixed_name(&self) -> Option<&Localpart> {
        self.localpart
            .as_ref()
            .filter(|_| self.kind != Kind::Contact)
    }

    /// The name that it keeps free for its invitee.
    pub fn held_name(&self) -> Option<&Localpart> {
        self.localpart
            .as_ref()
            .filter(|_| self.kind == Kind::Account)
    }

    /// The local user whose contact it makes.
    pub fn inviter(&self) -> Option<&Localpart> {
        self.localpart
            .as_ref()
            .filter(|_| self.kind == Kind::Contact)
    }

    /// Uses left, if they are limited.
    pub fn uses_left(&self) -> Option<i64> {
        self.max_uses
            .map(|max| (max - self.uses + self.unfinished).max(0))
    }

    #[cfg(test)]
    pub(crate) fn sample(kind: Kind) -> Self {
        Self {
            id: InviteId([1; 16]),
            host: "chat.example".parse().expect("a domain"),
            kind,
            localpart: None,
            allow_registration: true,
            max_uses: Some(1),
            uses: 0,
            unfinished: 0,
            created_at: Timestamp(1_000),
            expires_at: Some(Timestamp(2_000)),
            revoked_at: None,
            landing_url: None,
            creator: None,
            details: Details::default(),
            token_hash: [0; 32],
            token_sealed: Vec::new(),
        }
    }
}

/// How long an invite is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As the host's configuration says for the kind.
    Default,
    Never,
    Seconds(i64),
}

/// What an invite is made from.
#[derive(Debug, Clone)]
pub struct NewInvite {
    pub kind: Kind,
    pub localpart: Option<Localpart>,
    pub allow_registration: bool,
    pub max_uses: Option<i64>,
    pub lifetime: Lifetime,
    pub landing_url: Option<String>,
    /// A token of the caller's choice, for invites with several uses; a random one if absent.
    pub token: Option<InviteToken>,
    pub details: Details,
}

impl NewInvite {
    /// One account with a name of the invitee's choice.
    pub fn account() -> Self {
        Self {
            kind: Kind::Account,
            localpart: None,
            allow_registration: true,
            max_uses: Some(1),
            lifetime: Lifetime::Default,
            landing_url: None,
            token: None,
            details: Details::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_good_up_to_its_last_second() {
        let invite = Invite::sample(Kind::Account);
        assert_eq!(invite.state(Timestamp(2_000)), State::Open);
        assert_eq!(invite.state(Timestamp(2_001)), State::Expired);
    }

    #[test]
    fn a_use_by_an_unfinished_attempt_may_come_back() {
        let mut invite = Invite::sample(Kind::Account);
        (invite.uses, invite.unfinished) = (1, 1);
        assert_eq!(invite.state(Timestamp(0)), State::Open);
        invite.unfinished = 0;
        assert_eq!(invite.state(Timestamp(0)), State::UsedUp);
        invite.max_uses = None;
        assert_eq!(invite.state(Timestamp(0)), State::Open);
    }

    #[test]
    fn unknown_details_survive() {
        let text = r#"{"source":"a","my.key":{"x":[1]},"roles":["r"]}"#;
        let details: Details = serde_json::from_str(text).expect("it reads");
        assert_eq!(details.extra["my.key"]["x"][0], 1);
        let again: Details =
            serde_json::from_str(&serde_json::to_string(&details).expect("it writes"))
                .expect("it reads again");
        assert_eq!(again, details);
    }

    #[test]
    fn the_localpart_means_what_the_kind_says() {
        let mut invite = Invite::sample(Kind::Contact);
        invite.localpart = Some("nora".parse().expect("a localpart"));
        assert!(invite.fixed_name().is_none() && invite.inviter().is_some());
        invite.kind = Kind::Reset;
        assert!(invite.fixed_name().is_some() && invite.inviter().is_none());
    }
}
