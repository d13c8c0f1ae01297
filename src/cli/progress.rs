//! Progress of long work, drawn on a terminal and nowhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; silent if nobody looks.
pub(super) fn bar(label: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")
        .expect("the template is well formed");
    let bar = ProgressBar::no_length()
        .with_style(style)
        .with_message(label);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
