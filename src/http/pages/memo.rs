//! Pages that were rendered lately: what many people open is rendered once, and so are the links
//! that differ in nothing but a few texts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;

/// Pages that are remembered at a time; about 10 KiB each.
const MOST_PAGES: usize = 200;

/// Pages by all that they were made from but the texts of their blanks, so that none can be out of
/// date.
#[derive(Default)]
pub(in crate::http) struct Memo(Mutex<HashMap<Vec<u8>, Arc<Form>>>);

impl Memo {
    /// The page made from `parts` and `blanks`: as it was rendered before, or as `render` does now,
    /// which puts the stand-in of each blank where its text belongs.
    ///
    /// `parts` must name everything else that can differ from one page to another.
    pub(super) fn page<E>(
        &self,
        parts: Vec<u8>,
        blanks: &[Blank<'_>],
        render: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&parts).cloned();
        if let Some(form) = known {
            return Ok(form.fill(blanks));
        }
        let form = Arc::new(Form::new(render()?, blanks));
        let page = form.fill(blanks);
        let mut pages = lock();
        if pages.len() >= MOST_PAGES {
            pages.clear();
        }
        pages.insert(parts, form);
        Ok(page)
    }
}

/// Without the pages, which hold tokens.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(…)")
    }
}

/// A text that differs from page to page, and what stands for it in the rendered one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blank<'a> {
    stand_in: &'a str,
    text: &'a str,
}

impl<'a> Blank<'a> {
    /// `None` if the text means something in HTML or in addresses: it would look different
    /// wherever a template puts it.
    pub(super) fn new(stand_in: &'a str, text: &'a str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b" ,:-_".contains(&b);
        text.bytes().all(plain).then_some(Self { stand_in, text })
    }
}

/// A rendered page, cut at its blanks.
struct Form {
    text: Bytes,
    /// Where each stretch of text ends, and which blank comes then.
    cuts: Vec<(usize, usize)>,
    /// The page that was filled in last, by its texts: one link may be opened by many in a row.
    last: Mutex<(String, Bytes)>,
}

impl Form {
    fn new(rendered: String, blanks: &[Blank<'_>]) -> Self {
        let mut found: Vec<_> = blanks
            .iter()
            .enumerate()
            .flat_map(|(which, blank)| {
                let places = rendered.match_indices(blank.stand_in);
                places.map(move |(place, _)| (place, which))
            })
            .collect();
        if found.is_empty() {
            return Self {
                text: rendered.into(),
                cuts: found,
                last: Mutex::default(),
            };
        }
        found.sort_unstable();
        let mut text = String::with_capacity(rendered.len());
        let mut cuts = Vec::with_capacity(found.len());
        let mut from = 0;
        for (place, which) in found {
            text.push_str(&rendered[from..place]);
            cuts.push((text.len(), which));
            from = place + blanks[which].stand_in.len();
        }
        text.push_str(&rendered[from..]);
        Self {
            text: text.into(),
            cuts,
            last: Mutex::default(),
        }
    }

    fn fill(&self, blanks: &[Blank<'_>]) -> Bytes {
        if self.cuts.is_empty() {
            return self.text.clone();
        }
        let lock = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut texts = String::with_capacity(128);
        for blank in blanks {
            texts.push_str(blank.text);
            // No text has one.
            texts.push('\n');
        }
        if let (last, page) = &*lock()
            && *last == texts
        {
            return page.clone();
        }
        let more: usize = self.cuts.iter().map(|&(_, n)| blanks[n].text.len()).sum();
        let mut page = Vec::with_capacity(self.text.len() + more);
        let mut from = 0;
        for &(end, which) in &self.cuts {
            page.extend_from_slice(&self.text[from..end]);
            page.extend_from_slice(blanks[which].text.as_bytes());
            from = end;
        }
        page.extend_from_slice(&self.text[from..]);
        let page = Bytes::from(page);
        *lock() = (texts, page.clone());
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(memo: &Memo, parts: &str, rendered: Result<&str, ()>) -> Result<Bytes, ()> {
        memo.page(parts.into(), &[], || rendered.map(Into::into))
    }

    #[test]
    fn a_page_is_rendered_once_for_the_same_parts() {
        let memo = Memo::default();
        assert_eq!(page(&memo, "a", Ok("one")), Ok("one".into()));
        assert_eq!(page(&memo, "a", Ok("two")), Ok("one".into()));
        assert_eq!(page(&memo, "b", Ok("two")), Ok("two".into()));
    }

    #[test]
    fn a_page_that_failed_is_tried_again() {
        let memo = Memo::default();
        assert_eq!(page(&memo, "a", Err(())), Err(()));
        assert_eq!(page(&memo, "a", Ok("one")), Ok("one".into()));
    }

    #[test]
    fn what_differs_is_filled_in_wherever_it_stands() {
        let memo = Memo::default();
        let fill = |token, until, rendered: &str| {
            let blanks = [Blank::new("TTT", token), Blank::new("UUU", until)];
            let blanks = blanks.map(|blank| blank.expect("plain texts"));
            memo.page(b"a".into(), &blanks, || Ok::<_, ()>(rendered.into()))
        };
        let rendered = "TTT <a href=\"?TTT&UUU\">é</a> TTTUUU";
        let first = fill("one", "1:00", rendered);
        assert_eq!(first, Ok("one <a href=\"?one&1:00\">é</a> one1:00".into()));
        assert_eq!(fill("one", "1:00", "never rendered"), first);
        let second = fill("second", "", "never rendered");
        assert_eq!(
            second,
            Ok("second <a href=\"?second&\">é</a> second".into())
        );
    }

    #[test]
    fn texts_that_mean_something_in_a_page_are_not_filled_in() {
        for text in ["<b>", "a&b", "a\"", "a'", "a%20", "a/b", "é", "a\n"] {
            assert!(Blank::new("TTT", text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_memory_of_pages_is_bounded_and_debug_output_shows_none() {
        let memo = Memo::default();
        for n in 0..MOST_PAGES * 3 {
            page(&memo, &n.to_string(), Ok("page")).expect("rendered");
        }
        assert!(memo.0.lock().expect("nobody panicked").len() <= MOST_PAGES);
        assert_eq!(format!("{memo:?}"), "Memo(…)");
    }
}
