use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a progress bar, which is shown if standard error is a terminal.
pub(crate) fn bar(steps: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect("a template");
    let bar = ProgressBar::new(steps as u64).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
