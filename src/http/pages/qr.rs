//! QR codes: pictures for pages, and blocks for terminals.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};

/// White modules around the code (ISO/IEC 18004 §9.1).
const QUIET: usize = 4;

/// What the largest code holds (ISO/IEC 18004 Table 7: version 40, level M, bytes).
const MOST_BYTES: usize = 2_331;

/// Whether there is a code for `text`: it is short enough.
pub fn fits(text: &str) -> bool {
    text.len() <= MOST_BYTES
}

/// The code of `text`; `None` if it is too long for one.
pub fn code(text: &str) -> Option<QRCode> {
    QRBuilder::new(text).ecl(ECL::M).build().ok()
}

/// `text` as a file of SVG with one path: black modules on white, without any style.
pub fn svg(text: &str) -> Option<String> {
    let code = code(text)?;
    let side = code.size + 2 * QUIET;
    // One line through the middle of each row, a unit wide; each run but the first begins where the
    // gap after the one before ends.
    let mut path = String::with_capacity(code.size * code.size * 2);
    for y in 0..code.size {
        let mut x = 0;
        let mut end = None;
        while x < code.size {
            let run = (x..code.size).take_while(|&x| code[y][x].value()).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = match end {
                    None => write!(path, "M{} {}.5h{run}", x + QUIET, y + QUIET),
                    Some(end) => write!(path, "m{} 0h{run}", x - end),
                };
                end = Some(x + run);
            }
            x += run.max(1);
        }
    }
    Some(format!(
        "<svg viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\" \
         xmlns=\"http://www.w3.org/2000/svg\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" stroke=\"#000\"/></svg>"
    ))
}

/// `text` for a terminal, two modules to a character cell. Colours are set, so that it can be read
/// on dark and light terminals alike.
pub fn terminal(text: &str) -> Option<String> {
    let code = code(text)?;
    let size = code.size + 2 * QUIET;
    let dark = |x: usize, y: usize| {
        let inside = |v: usize| (QUIET..QUIET + code.size).contains(&v);
        inside(x) && inside(y) && code[y - QUIET][x - QUIET].value()
    };
    let mut drawn = String::new();
    for y in (0..size).step_by(2) {
        drawn.push_str("\x1b[47;30m");
        for x in 0..size {
            drawn.push(match (dark(x, y), dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        drawn.push_str("\x1b[0m");
        if y + 2 < size {
            drawn.push('\n');
        }
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once_and_where_it_belongs() {
        let text = "https://example.com/invite?7Hq2mZc4XwTn9BvKd1Ry5LpA";
        let code = code(text).expect("it fits");
        let svg = svg(text).expect("it fits");
        let (_, path) = svg.split_once(" d=\"").expect("there is a path");
        let (path, _) = path.split_once('"').expect("the path ends");
        let mut drawn = vec![vec![0; code.size]; code.size];
        let (mut x, mut y) = (0, 0);
        for (at, command) in path.match_indices(char::is_alphabetic) {
            let rest = &path[at + 1..];
            let end = rest.find(char::is_alphabetic).unwrap_or(rest.len());
            let numbers = rest[..end].split(' ').map(|number| {
                let number = number.trim_end_matches(".5").parse::<usize>();
                number.expect("a number")
            });
            let numbers: Vec<_> = numbers.collect();
            match command {
                "M" => (x, y) = (numbers[0] - QUIET, numbers[1] - QUIET),
                "m" => x += numbers[0],
                _ => {
                    drawn[y][x..x + numbers[0]].iter_mut().for_each(|n| *n += 1);
                    x += numbers[0];
                }
            }
        }
        for (y, row) in drawn.iter().enumerate() {
            for (x, times) in row.iter().enumerate() {
                assert_eq!(*times, usize::from(code[y][x].value()), "{x} {y}");
            }
        }
    }

    #[test]
    fn a_text_has_a_code_until_it_is_too_long() {
        for (length, expected) in [(MOST_BYTES, true), (MOST_BYTES + 1, false)] {
            // Not digits alone, of which more would fit.
            let text = "a".repeat(length);
            assert_eq!(fits(&text), expected);
            assert_eq!(code(&text).is_some(), expected);
        }
    }
}
