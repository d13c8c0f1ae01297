//! Texts that others wrote: what a file holds, if that is text, and how a text is shown.

use std::fmt;

/// What bytes are instead of UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotUtf8 {
    /// Some older encoding.
    Line(usize),
    Utf16,
}

impl NotUtf8 {
    /// Where it was noticed, from 1.
    pub fn line(self) -> usize {
        match self {
            Self::Line(line) => line,
            Self::Utf16 => 1,
        }
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line(_) => {
                "a letter here is not in UTF-8 but in an older encoding, such as Latin-1 or Windows-1252; \
                 save the file as UTF-8"
            }
            Self::Utf16 => "this is UTF-16, which some programs call Unicode; save the file as UTF-8",
        })
    }
}

/// The text that `bytes` are, without the mark that some editors and spreadsheets put in front.
pub fn utf8(bytes: &[u8]) -> Result<&str, NotUtf8> {
    // The mark of either order, or a first letter of ASCII without one.
    let is_utf16 = matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes, [a, b, ..] if (*a == 0) != (*b == 0));
    if is_utf16 {
        return Err(NotUtf8::Utf16);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            Err(NotUtf8::Line(before.split(|byte| *byte == b'\n').count()))
        }
    }
}

/// `text` in one line, without what a terminal would obey: control characters, and those that turn the
/// direction of what follows, stand there as `\u{1b}` instead.
pub fn visible(text: &str) -> String {
    escaped(text, "", |c| c.escape_unicode().to_string())
}

/// The same for lines and columns that are ours.
pub fn visible_lines(text: &str) -> String {
    escaped(text, "\n\t", |c| c.escape_unicode().to_string())
}

/// The same for JSON, which means what it meant before.
pub fn visible_json(json: &str) -> String {
    escaped(json, "\n", |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, ours: &str, escape: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if !ours.contains(c) && (c.is_control() || turns(c)) {
            shown.push_str(&escape(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Unicode's controls of direction (UAX #9 §2).
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_told_apart_and_its_line_named() {
        for (bytes, expected) in [
            (&b"one\ntwo"[..], Ok("one\ntwo")),
            ("\u{feff}bücher".as_bytes(), Ok("bücher")),
            (b"", Ok("")),
            (b"x", Ok("x")),
            (b"one\ntwo\nb\xfccher\n", Err(NotUtf8::Line(3))),
            (b"\xe9t\xe9", Err(NotUtf8::Line(1))),
            (b"one\ncut \xc3", Err(NotUtf8::Line(2))),
            (b"\xff\xfeo\0n\0", Err(NotUtf8::Utf16)),
            (b"\xfe\xff\0o\0n", Err(NotUtf8::Utf16)),
            (b"o\0n\0e\0", Err(NotUtf8::Utf16)),
            (b"\0o\0n\0e", Err(NotUtf8::Utf16)),
        ] {
            assert_eq!(utf8(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, shown) in [
            ("for \"Theo\"", "for \"Theo\""),
            ("two\nlines", "two\\u{a}lines"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}2J\x07\x7f\r", "\\u{9b}2J\\u{7}\\u{7f}\\u{d}"),
            ("tab\there", "tab\\u{9}here"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("Zoë, عمر, 👩\u{200d}👧", "Zoë, عمر, 👩\u{200d}👧"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\tb\n\x1b"), "a\tb\n\\u{1b}");
        let json = serde_json::json!({"note": "\u{9b}2J\u{202e}\x1b[2J"});
        let shown = visible_json(&json.to_string());
        assert_eq!(shown, r#"{"note":"\u009b2J\u202e\u001b[2J"}"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).ok(),
            Some(json)
        );
    }
}
