//! QR codes as inline SVG that a strict CSP and a screen reader are content with.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};

/// White modules around the code (ISO/IEC 18004 §9.1).
const QUIET: usize = 4;

/// The code of `text`; `None` if it is too long for one.
pub fn code(text: &str) -> Option<QRCode> {
    QRBuilder::new(text).ecl(ECL::M).build().ok()
}

/// `text` as an `<svg>` with one path: black modules on white, without any style.
pub fn svg(text: &str, title: &str) -> Option<String> {
    let code = code(text)?;
    let side = code.size + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size {
        let mut x = 0;
        while x < code.size {
            let run = (x..code.size).take_while(|&x| code[y][x].value()).count();
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{title}\" \
         shape-rendering=\"crispEdges\" xmlns=\"http://www.w3.org/2000/svg\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
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
    fn every_dark_module_is_drawn_once() {
        let text = "https://example.com/invite?7Hq2mZc4XwTn9BvKd1Ry5LpA";
        let drawn = svg(text, "QR code").expect("it fits");
        let area: usize = drawn
            .split('h')
            .skip(1)
            .filter_map(|part| {
                part.split_once("v1")
                    .and_then(|(run, _)| run.parse::<usize>().ok())
            })
            .sum();
        let code = code(text).expect("it fits");
        let dark = (0..code.size)
            .flat_map(|y| (0..code.size).map(move |x| (x, y)))
            .filter(|&(x, y)| code[y][x].value())
            .count();
        assert_eq!(area, dark);
    }
}
