//! Pages that were rendered lately: a link that many people open is rendered once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;

/// Pages that are remembered at a time; about 20 KiB each.
const MOST_PAGES: usize = 200;

/// Pages by all that they were made from, so that none can be out of date.
#[derive(Default)]
pub(in crate::http) struct Memo(Mutex<HashMap<String, Bytes>>);

impl Memo {
    /// The page made from `parts`: as it was rendered before, or as `render` does now.
    ///
    /// `parts` must name everything that can differ from one page to another.
    pub(super) fn page<E>(
        &self,
        parts: String,
        render: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = lock().get(&parts) {
            return Ok(page.clone());
        }
        let page = Bytes::from(render()?);
        let mut pages = lock();
        if pages.len() >= MOST_PAGES {
            pages.clear();
        }
        pages.insert(parts, page.clone());
        Ok(page)
    }
}

/// Without the pages, which hold tokens.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_rendered_once_for_the_same_parts() {
        let memo = Memo::default();
        assert_eq!(
            memo.page("a".into(), || Ok::<_, ()>("one".into())),
            Ok("one".into())
        );
        assert_eq!(
            memo.page("a".into(), || Ok::<_, ()>("two".into())),
            Ok("one".into())
        );
        assert_eq!(
            memo.page("b".into(), || Ok::<_, ()>("two".into())),
            Ok("two".into())
        );
    }

    #[test]
    fn a_page_that_failed_is_tried_again() {
        let memo = Memo::default();
        assert_eq!(memo.page("a".into(), || Err(())), Err(()));
        assert_eq!(
            memo.page("a".into(), || Ok::<_, ()>("one".into())),
            Ok("one".into())
        );
    }

    #[test]
    fn the_memory_of_pages_is_bounded_and_debug_output_shows_none() {
        let memo = Memo::default();
        for n in 0..MOST_PAGES * 3 {
            memo.page(n.to_string(), || Ok::<_, ()>("page".into()))
                .expect("rendered");
        }
        assert!(memo.0.lock().expect("nobody panicked").len() <= MOST_PAGES);
        assert_eq!(format!("{memo:?}"), "Memo(…)");
    }
}
