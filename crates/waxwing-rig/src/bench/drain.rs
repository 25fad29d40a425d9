//! Ten thousand queued sends, released at one moment, with a provider that takes 50 ms to answer.
//!
//! They are queued through the API with a `sendAt` that lies in the near future, so that posting them costs nothing of
//! what is measured; the clock runs from that moment to the provider's last answer.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use waxwing_emulator::EmulatorConfig;

use super::stage::Stage;
use super::{Figure, Run};
use crate::api::{self, Api};
use crate::http::Client;
use crate::server::Engine;
use crate::stats::{now_micros, rfc3339};
use crate::world::{self, Menu};
use crate::{Outcome, say};

const ANSWER: Duration = Duration::from_millis(50);
const CALLERS: usize = 64;

/// Measures once.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine, sends: u64, tenants: usize) -> Outcome<Run> {
    let mut lead = Duration::from_secs(8);
    for _ in 0..3 {
        if let Some(run) = once(program, engine, sends, tenants, lead)? {
            return Ok(run);
        }
        lead *= 3;
        say::progress(&format!(
            "  queueing took too long; once more with {lead:?}"
        ));
    }
    Err("the sends could not be queued before they were due".to_owned())
}

fn once(
    program: &Path,
    engine: &Engine,
    sends: u64,
    tenants: usize,
    lead: Duration,
) -> Outcome<Option<Run>> {
    let config = EmulatorConfig {
        answer_delay: ANSWER,
        ..EmulatorConfig::bench()
    };
    let stage = Stage::set(program, engine, config, tenants, Menu::Silent)?;
    let due = now_micros() + u64::try_from(lead.as_micros()).unwrap_or(0);
    let ledger = stage.provider.get().ledger();
    let began = Instant::now();
    stage
        .runtime
        .block_on(queue(&stage, sends, &rfc3339(due)))?;
    let queued = began.elapsed();
    if now_micros() + 300_000 > due || ledger.counts().accepted > 0 {
        return Ok(None);
    }
    std::thread::sleep(Duration::from_micros(due - now_micros()));
    let released = Instant::now();
    let deadline = released + Duration::from_secs(120);
    while ledger.counts().answered < sends && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = released.elapsed();
    let mut run = Run::default();
    let counts = ledger.counts();
    if counts.answered != sends || counts.accepted != sends {
        run.broken.push(format!(
            "{sends} sends were queued, {} were accepted and {} answered",
            counts.accepted, counts.answered
        ));
    }
    run.add(Figure::Drain, took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = sends as f64 / queued.as_secs_f64();
    run.add(Figure::Queueing, rate);
    run.broken
        .extend(stage.runtime.block_on(all_sent(&stage, sends))?);
    stage.end()?;
    Ok(Some(run))
}

async fn queue(stage: &Stage, sends: u64, due: &str) -> Outcome<()> {
    let next = Arc::new(AtomicU64::new(0));
    let tenants: Arc<Vec<String>> = Arc::new(
        stage
            .tenants
            .iter()
            .map(|tenant| tenant.id.clone())
            .collect(),
    );
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let job = call(
            stage.ready.api,
            Arc::clone(&tenants),
            Arc::clone(&next),
            sends,
            due.to_owned(),
        );
        callers.spawn(job);
    }
    while let Some(joined) = callers.join_next().await {
        joined.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn call(
    address: SocketAddr,
    tenants: Arc<Vec<String>>,
    next: Arc<AtomicU64>,
    sends: u64,
    due: String,
) -> Outcome<()> {
    let mut client = Client::new(address, Duration::from_secs(30));
    loop {
        let count = next.fetch_add(1, Ordering::Relaxed);
        if count >= sends {
            return Ok(());
        }
        let body = json!({
            "to": format!("+{}", world::SENT_TO + count),
            "messageTemplate": {"name": "parcel", "language": "en", "components": [
                {"type": "body", "parameters": [{"type": "text", "text": format!("{count}")}]},
            ]},
            "idempotency_key": format!("drain-{count}"),
            "sendAt": due,
        });
        let tenant = &tenants[usize::try_from(count).unwrap_or(0) % tenants.len()];
        let path = format!("/api/tenants/{tenant}/send/template");
        let answer = client
            .call(&api::request("POST", &path, Some(&body)))
            .await
            .map_err(|error| format!("POST {path}: {error}"))?;
        if answer.status != 202 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("POST {path} answered {}: {said}", answer.status));
        }
    }
}

async fn all_sent(stage: &Stage, sends: u64) -> Outcome<Vec<String>> {
    let idle = stage
        .provider
        .get()
        .webhooks_idle(Duration::from_secs(60))
        .await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut api = Api::new(stage.ready.api);
    loop {
        let mut delivered = 0_u64;
        for tenant in &stage.tenants {
            let rows = api.messages(&tenant.id, "&status=delivered").await?;
            delivered += u64::try_from(rows.len()).unwrap_or(0);
        }
        if delivered == sends && idle {
            return Ok(Vec::new());
        }
        if Instant::now() > deadline {
            return Ok(vec![format!(
                "{delivered} of {sends} sends are shown as delivered"
            )]);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
