//! Spans of time as Prosody writes them, and what we take them for.

use serde_json::{Value, json};

use crate::config::file::Period;

/// A span that both take for the same, and a word about it where it is written differently.
///
/// COMPAT: Prosody 13 takes the first number and the beginning of the word after it
/// (`util.human.io`); 0.12 takes numbers only.
pub(super) fn period(value: &Value) -> Result<(Value, String), String> {
    let Some(text) = value.as_str() else {
        let forever = value.as_f64().is_some_and(|seconds| seconds < 0.0);
        return if forever || *value == Value::Bool(false) {
            Err("here invites expire; one that does not can be made by its own".to_owned())
        } else {
            Ok((value.clone(), String::new()))
        };
    };
    let ours = text.parse::<Period>().ok().map(|period| period.0);
    match prosodys_period(text) {
        Theirs::Ambiguous => Err(format!(
            "{text:?} may be months or minutes; write for instance \"1 month\" or \"1 min\""
        )),
        Theirs::Seconds(seconds) if ours != Some(seconds) => Ok((
            json!(seconds),
            format!("; Prosody takes {text:?} for {seconds} seconds"),
        )),
        _ => Ok((json!(text), String::new())),
    }
}

/// What Prosody takes a text for.
enum Theirs {
    Ambiguous,
    Seconds(i64),
    Unknown,
}

fn prosodys_period(text: &str) -> Theirs {
    let text = text.to_lowercase();
    let Some(start) = text.find(|c: char| c.is_ascii_digit()) else {
        return Theirs::Unknown;
    };
    let rest = text[start..].trim_start_matches(|c: char| c.is_ascii_digit());
    let Ok(number) = text[start..text.len() - rest.len()].parse::<i64>() else {
        return Theirs::Unknown;
    };
    let word = rest.trim_start();
    let unit = match word.as_bytes() {
        [b's', ..] | [] => 1,
        [b'm', b'i', b'n', ..] => 60,
        [b'm', b'o', b'n', ..] => 31 * 86_400,
        [b'm', ..] => return Theirs::Ambiguous,
        [b'h', ..] => 3600,
        [b'd', ..] => 86_400,
        [b'w', ..] => 7 * 86_400,
        [b'y', ..] => 31_556_952,
        _ => return Theirs::Unknown,
    };
    number
        .checked_mul(unit)
        .map_or(Theirs::Unknown, Theirs::Seconds)
}
