//! The one error: every code, its status, its sentence.

use std::error::Error as StdError;

/// Something that went wrong below, for the log; never shown to a client.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Everything that can go wrong, as the outside world sees it.
///
/// Each variant is one stable code, one status, one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("Something went wrong on our side.")]
    Internal(#[source] Cause),
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's name on the wire.
        field: &'static str,
        reason: String,
    },
    #[error("Another attempt is using this invite right now. Try again in a minute.")]
    InviteBusy,
    #[error("This invite has expired.")]
    InviteExpired,
    #[error("Item {index} of the list: {problem}")]
    Item {
        /// Its place in the list, from 1.
        index: usize,
        problem: Box<Error>,
    },
    #[error("This invite is not for that.")]
    InviteNotForThis,
    #[error("This invite has been withdrawn.")]
    InviteRevoked,
    #[error("There is no such invite.")]
    InviteUnknown,
    #[error("This invite has been used up.")]
    InviteUsedUp,
    #[error("This key has made as many invites today as it may.")]
    KeyLimit {
        /// Seconds until it may make more.
        retry_after: i64,
    },
    #[error("A valid API key is needed, as `Authorization: Bearer KEY`.")]
    KeyNeeded,
    #[error("A valid API key is needed.")]
    KeyRefused,
    #[error("There is no such key.")]
    KeyUnknown,
    #[error("This address does not take that method.")]
    MethodNotAllowed,
    #[error("This name is set aside for somebody else.")]
    NameHeld,
    #[error("This invite is for another name.")]
    NameMismatch,
    #[error("This name is taken.")]
    NameTaken,
    #[error("There is no such host here.")]
    NoSuchHost,
    #[error("This invite is not revoked.")]
    NotRevoked,
    #[error("There is nothing here.")]
    NotFound,
    #[error("The database was lost while answering, so the outcome is not known.")]
    OutcomeUnknown,
    #[error("This is a look ahead, which makes no invite.")]
    Prefetch,
    #[error("The connection to the chat server broke before it said whether it worked.")]
    RegistrationUnknown(#[source] Cause),
    #[error("{0}")]
    RegistrationRefused(String),
    #[error("Another request came with this Idempotency-Key.")]
    RequestKeyReused,
    #[error("{}", match .field {
        Some(field) => format!("{field}: only a key of scope `admin` may set it to that"),
        None => "This key or token may not do that.".to_owned(),
    })]
    ScopeTooSmall {
        /// The field that asks for too much, if it is not all of the request.
        field: Option<&'static str>,
    },
    #[error("Too much is going on. Try again in a moment.")]
    StoreBusy,
    #[error("The database cannot be used now.")]
    StoreUnavailable(#[source] Cause),
    #[error("Another invite has this token.")]
    TokenTaken,
    #[error("The request is too large.")]
    TooLarge,
    #[error("The request did not arrive in time.")]
    TooSlow,
    #[error("Too many attempts with unknown invites or keys. Wait a minute.")]
    TooManyFailures {
        /// Seconds until the next attempt is looked at.
        retry_after: i64,
    },
    #[error("{}", .0.as_deref().unwrap_or("The chat server asks to try again later."))]
    TryLater(Option<String>),
    #[error("The bridge secret is missing or wrong.")]
    Unauthorized,
    /// A field that is unknown, or of the wrong type.
    #[error("{field}: {reason}")]
    Unreadable { field: String, reason: String },
    #[error("There is no host {asked:?}; there {}: {known}", if known.contains(',') { "are" } else { "is" })]
    UnknownHost { asked: String, known: String },
    #[error("The body must be {0}, as Content-Type says.")]
    UnsupportedMediaType(&'static str),
    #[error("We could not reach the chat server. Nothing was used up.")]
    XmppUnavailable(#[source] Cause),
}

impl Error {
    /// A field that was refused.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }

    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Internal(_) => "internal",
            Self::Invalid { .. } | Self::Unreadable { .. } => "invalid",
            Self::InviteBusy => "invite_busy",
            Self::InviteExpired => "invite_expired",
            Self::InviteNotForThis => "invite_not_for_this",
            Self::InviteRevoked => "invite_revoked",
            Self::InviteUnknown => "invite_unknown",
            Self::InviteUsedUp => "invite_used_up",
            Self::Item { problem, .. } => problem.code(),
            Self::KeyLimit { .. } => "key_limit",
            Self::KeyNeeded => "key_needed",
            Self::KeyRefused => "key_refused",
            Self::KeyUnknown => "key_unknown",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NameHeld => "name_held",
            Self::NameMismatch => "name_mismatch",
            Self::NameTaken => "name_taken",
            Self::NotFound => "not_found",
            Self::NotRevoked => "not_revoked",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Prefetch => "prefetch",
            Self::RegistrationRefused(_) => "registration_refused",
            Self::RegistrationUnknown(_) => "registration_unknown",
            Self::RequestKeyReused => "request_key_reused",
            Self::ScopeTooSmall { .. } => "scope_too_small",
            Self::StoreBusy => "store_busy",
            Self::StoreUnavailable(_) => "store_unavailable",
            Self::TokenTaken => "token_taken",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::TooManyFailures { .. } => "too_many_failures",
            Self::TryLater(_) => "try_later",
            Self::Unauthorized => "unauthorized",
            Self::NoSuchHost | Self::UnknownHost { .. } => "unknown_host",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::XmppUnavailable(_) => "xmpp_unavailable",
        }
    }

    /// The field that was refused, by its name on the wire.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } | Self::ScopeTooSmall { field: Some(field) } => Some(field),
            Self::Item { problem, .. } => problem.field(),
            Self::NameTaken => Some("username"),
            Self::Unreadable { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::Internal(_) => 500,
            Self::Invalid { .. }
            | Self::RegistrationRefused(_)
            | Self::RequestKeyReused
            | Self::Unreadable { .. } => 422,
            Self::InviteBusy
            | Self::NameHeld
            | Self::NameTaken
            | Self::NotRevoked
            | Self::TokenTaken => 409,
            Self::InviteExpired | Self::InviteRevoked | Self::InviteUsedUp => 410,
            Self::InviteNotForThis
            | Self::KeyRefused
            | Self::NameMismatch
            | Self::Prefetch
            | Self::ScopeTooSmall { .. } => 403,
            Self::InviteUnknown
            | Self::KeyUnknown
            | Self::NoSuchHost
            | Self::NotFound
            | Self::UnknownHost { .. } => 404,
            Self::Item { problem, .. } => problem.status(),
            Self::KeyLimit { .. } | Self::TooManyFailures { .. } => 429,
            Self::KeyNeeded | Self::Unauthorized => 401,
            Self::MethodNotAllowed => 405,
            Self::OutcomeUnknown
            | Self::StoreBusy
            | Self::StoreUnavailable(_)
            | Self::RegistrationUnknown(_)
            | Self::TryLater(_)
            | Self::XmppUnavailable(_) => 503,
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::UnsupportedMediaType(_) => 415,
        }
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after(&self) -> Option<i64> {
        match self {
            Self::Item { problem, .. } => problem.retry_after(),
            Self::KeyLimit { retry_after } | Self::TooManyFailures { retry_after } => {
                Some(*retry_after)
            }
            Self::StoreBusy => Some(1),
            Self::OutcomeUnknown
            | Self::StoreUnavailable(_)
            | Self::RegistrationUnknown(_)
            | Self::XmppUnavailable(_) => Some(10),
            Self::InviteBusy | Self::TryLater(_) => Some(60),
            _ => None,
        }
    }

    /// Whether this is a fault on our side, to be logged where the request ends.
    pub fn is_fault(&self) -> bool {
        self.status() >= 500
    }

    /// The sentence and all causes below it, for the log and the command line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// What an error says, and all causes below it, as one sentence.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // The sentence goes on.
        text.truncate(text.trim_end_matches('.').len());
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
