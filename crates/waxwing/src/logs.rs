//! Log lines on standard error, and panics that do not quote data.

use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging. Called once, before anything logs.
pub fn start(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    let started = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .try_init()
    } else {
        builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init()
    };
    // Only a second call fails, and then somebody logs already.
    drop(started);
    std::panic::set_hook(Box::new(panicked));
}

/// Formatted panic messages may quote data, so only fixed ones are written.
fn panicked(info: &PanicHookInfo<'_>) {
    let message = info
        .payload()
        .downcast_ref::<&str>()
        .copied()
        .unwrap_or("(text withheld, it may quote data)");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, message, "a panic");
}
