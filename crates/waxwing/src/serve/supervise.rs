//! Workers of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio::task::JoinSet;
use waxwing_app::converse;

/// Runs a worker. A process whose worker ended before its time is of no use, and only its successor knows how to deal
/// with what was in hand: it ends at once, without taking its leave.
pub fn supervise(
    name: &'static str,
    work: impl Future<Output = ()> + std::marker::Send + 'static,
    stop: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> (&'static str, Arc<AtomicBool>) {
    let running = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&running);
    tasks.spawn(async move {
        let ended = tokio::spawn(work).await;
        seen.store(false, Ordering::Relaxed);
        if ended.is_err() || !*stop.borrow() {
            tracing::error!(
                worker = name,
                "a worker ended before its time; the process ends and has to be started again"
            );
            std::process::exit(1);
        }
    });
    (name, running)
}

/// This program itself reads what another process of it may have died of.
pub fn probe() -> converse::Probe {
    let program = std::env::current_exe().map(Into::into);
    let command = program.map_or_else(|_| Vec::new(), |program| vec![program, "read".into()]);
    converse::Probe { command }
}
