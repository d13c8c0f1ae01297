//! What is logged and where: to standard error, ours at the chosen level, others' at `warn`.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Config;
use crate::config::file::{LogFormat, LogLevel};

/// Starts logging. `RUST_LOG` wins over the file, but it moves our own messages only: what
/// libraries say below `warn` may hold stanzas, addresses with tokens, or statement parameters.
pub(super) fn start(config: &Config) {
    let own = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| own_level(&text))
        .unwrap_or(match config.log_level {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Error => Level::ERROR,
            LogLevel::Info => Level::INFO,
            LogLevel::Trace => Level::TRACE,
            LogLevel::Warn => Level::WARN,
        });
    let filter = filter_fn(move |metadata| {
        let ours = metadata.target().split("::").next() == Some("invited");
        *metadata.level() <= if ours { own } else { Level::WARN.min(own) }
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let layer = match config.log_format {
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
        LogFormat::Text => layer.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(layer).init();
}

/// The level of `trace`, `invited=debug`, or a list of such.
fn own_level(text: &str) -> Option<Level> {
    text.split(',')
        .rev()
        .find_map(|directive| match directive.trim().split_once('=') {
            Some(("invited", level)) => level.parse().ok(),
            Some(_) => None,
            None => directive.trim().parse().ok(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_moves_our_own_level() {
        assert_eq!(own_level("trace"), Some(Level::TRACE));
        assert_eq!(own_level("hyper=trace,invited=debug"), Some(Level::DEBUG));
        assert_eq!(own_level("hyper=trace"), None);
    }
}
