//! Registrations: one use of an invite, bound to an attempt, and what came of it.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::invite::{InviteId, Kind};
use crate::jid::Localpart;

/// Names one reservation; random, since whoever knows it may confirm or release it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationId(pub [u8; 16]);

impl RegistrationId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).simple().fmt(f)
    }
}

impl FromStr for RegistrationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(Uuid::try_parse(text)?.into_bytes()))
    }
}

/// What the store did when it was asked to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// The same attempt had a use already and keeps it, perhaps under a new name.
    Kept(RegistrationId),
    /// One more use is taken.
    New(RegistrationId),
    /// The invite gave nothing.
    Refused,
}

/// Seconds after which an attempt that the XMPP server has neither confirmed nor released is told to
/// the operator: the module says within a minute what came of it, if it can.
pub const OVERDUE: i64 = 60;

/// A reservation that nobody has confirmed or released yet.
#[derive(Debug, Clone)]
pub struct OpenReservation {
    pub id: RegistrationId,
    pub invite_id: InviteId,
    pub localpart: Localpart,
    pub kind: Kind,
    /// Seconds since it was made.
    pub age: i64,
}

/// What an invite gave, kept after the invite itself is gone.
#[derive(Debug, Clone)]
pub struct PastRegistration {
    pub id: RegistrationId,
    pub invite_id: InviteId,
    pub kind: Kind,
    /// The new account, the one that was reset, or the inviter of a contact.
    pub localpart: Localpart,
    pub confirmed_at: Timestamp,
    /// Who made the invite, as it was written down then.
    pub source: Option<String>,
    /// The local user who made the invite.
    pub creator: Option<Localpart>,
}

impl PastRegistration {
    /// Whether a new account came of it.
    pub fn is_account(&self) -> bool {
        self.kind == Kind::Account
    }
}

/// An account (or a reset, or a contact) that an invite gave.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: RegistrationId,
    pub invite_id: InviteId,
    pub localpart: Localpart,
    /// When the attempt began.
    pub reserved_at: Timestamp,
    /// Absent as long as the attempt is not finished.
    pub confirmed_at: Option<Timestamp>,
}
