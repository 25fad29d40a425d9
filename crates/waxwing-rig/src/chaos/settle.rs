//! After the trouble: wait until everything has come to rest, read it all, judge.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use waxwing_emulator::Emulator;

use super::book::Book;
use super::check::{self, Facts, Findings};
use crate::Outcome;
use crate::api::Api;
use crate::world::Tenant;

/// What is wrong and does not change for so long stays wrong: everything that waits is tried again within seconds.
const STUCK: Duration = Duration::from_secs(15);

/// Reads everything that is known.
///
/// # Errors
/// When the server does not show its messages.
pub async fn gather(
    address: SocketAddr,
    tenants: &[Tenant],
    book: &Book,
    provider: &Emulator,
) -> Outcome<Facts> {
    let mut api = Api::new(address);
    let mut messages = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        messages.push(api.messages(&tenant.id, "").await?);
    }
    let events = api
        .expect("GET", "/api/webhook-events?limit=50", None, 200)
        .await?;
    let aside = events["webhookEvents"]
        .as_array()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    Ok(Facts {
        written: book.written(),
        asked: book.asked(),
        accepted: provider.ledger().sends(),
        messages,
        aside,
    })
}

/// Judges until nothing is wrong any more or the time is over: what is still on its way when the trouble ends may
/// arrive late, but it has to arrive.
pub async fn verdict(
    address: SocketAddr,
    tenants: &[Tenant],
    book: &Book,
    provider: &Emulator,
    wait: Duration,
) -> Findings {
    let deadline = Instant::now() + wait;
    let (mut last, mut since) = (Vec::new(), Instant::now());
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let silent = provider
            .webhooks_idle(rest.min(Duration::from_secs(20)))
            .await;
        let mut findings = match gather(address, tenants, book, provider).await {
            Ok(facts) => check::judge(&facts),
            // Also a way to break promises: what was stored cannot be read.
            Err(problem) => Findings {
                broken: vec![format!("messages cannot be read: {problem}")],
                ..Findings::default()
            },
        };
        if !silent {
            let text = "statuses of the provider are still not answered with 200".to_owned();
            findings.broken.push(text);
        }
        if findings.broken != last {
            (last, since) = (findings.broken.clone(), Instant::now());
        }
        let stuck = since.elapsed() > STUCK;
        if findings.broken.is_empty() || stuck || Instant::now() > deadline {
            findings.broken.extend(book.complaints());
            return findings;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
