//! What the server's errors mean, and what an operator can do about them.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::Error;

/// Whether an error does not say what became of the transaction. While it shuts down, a server may
/// end the session at any point of the flight (class 57), and so may a pooler whose own connection
/// broke (class 08); a distributed engine may lose sight of its own commit (40003).
pub(super) fn leaves_open(told: &DbError) -> bool {
    let ends_session = told.parsed_severity().map_or_else(
        || matches!(told.severity(), "FATAL" | "PANIC"),
        |severity| matches!(severity, Severity::Fatal | Severity::Panic),
    );
    ends_session
        || told.code().code().starts_with("08")
        || *told.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

/// Whether an error may be gone once the statement is not a prepared one: another session's
/// (`26000`), or one whose table has changed (`0A000`).
pub(super) fn is_of_preparing(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::FEATURE_NOT_SUPPORTED)
    )
}

pub(super) fn classify(error: &tokio_postgres::Error) -> Error {
    match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => Error::Conflict,
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            Error::Crossed
        }
        _ => Error::Unavailable(chain(error).into()),
    }
}

/// The error, its causes and what can be done about it: tokio-postgres says no more than "db error"
/// by itself. The server's details are left out, since they quote values.
pub(in crate::store) fn chain(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let told = match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    match advice(error.code(), &told) {
        Some(advice) => format!("{told}; {advice}"),
        None => told,
    }
}

/// What an operator can do; rustls and tokio-postgres have no codes, only words.
fn advice(code: Option<&SqlState>, told: &str) -> Option<&'static str> {
    match code {
        Some(&SqlState::INVALID_PASSWORD) => return Some("look at INVITED_DATABASE_PASSWORD"),
        Some(&SqlState::INVALID_CATALOG_NAME) => return Some("make it first: createdb"),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Some("the tables must belong to this user, who must be allowed to make them");
        }
        Some(&SqlState::TOO_MANY_CONNECTIONS) => {
            return Some(
                "each node takes up to 9: raise the limit there, or put PgBouncer before it",
            );
        }
        _ => {}
    }
    let by_words = [
        ("password missing", "set INVITED_DATABASE_PASSWORD"),
        (
            "server does not support TLS",
            "switch TLS on there; sslmode=disable in the address does without, and shows the password to whoever is \
             in between",
        ),
        ("certificate expired", "renew it there"),
        ("peer certificate: Expired", "renew it there"),
        ("not valid for name", "connect by a name that is in it"),
        (
            "no encryption",
            "if it asks for TLS, write sslmode=require in the address",
        ),
        ("database does not allow writes", "name the primary"),
        ("UnknownIssuer", UNKNOWN_AUTHORITY),
        ("BadSignature", UNKNOWN_AUTHORITY),
        ("CaUsedAsEndEntity", UNKNOWN_AUTHORITY),
    ];
    let fitting = by_words.iter().find(|(words, _)| told.contains(words));
    fitting.map(|(_, advice)| *advice)
}

const UNKNOWN_AUTHORITY: &str = "name the authority that signed it in database_ca_file";
