//! Durable signed webhooks a second, and how long the acknowledgement takes, with many connections at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waxwing_emulator::EmulatorConfig;

use super::stage::{Stage, metric};
use super::{Figure, Run};
use crate::api::Api;
use crate::http::Conn;
use crate::meta::{self, Does, Item};
use crate::server::Engine;
use crate::stats::{now_seconds, quantile};
use crate::world::{self, Menu};
use crate::{Outcome, say};

const CONNECTIONS: usize = 256;
const NUMBERS: usize = 32;
/// People who write; most of the messages come from somebody who wrote before.
const USERS: u64 = 20_000;
/// Requests before the measured ones, which fill caches and compile what is compiled late.
const WARM_UP: usize = 5_000;
/// How long the server may take to handle all that it has acknowledged.
const HANDLED: Duration = Duration::from_secs(180);

/// Signed requests, built before the clock starts so that the generator costs little.
struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    fn build(count: usize) -> Self {
        let signer = meta::Signer::new(meta::PLATFORM_SECRET);
        let (mut bytes, mut ends) = (Vec::with_capacity(count * 800), Vec::with_capacity(count));
        let at = now_seconds();
        for index in 0..count {
            let place = u64::try_from(index).unwrap_or(0);
            // Coprime to the number of users: each comes up equally often, in no simple order.
            let user = place.wrapping_mul(7_919) % USERS;
            let item = Item {
                number: usize::try_from(user).unwrap_or(0) % NUMBERS,
                wamid: wamid(index),
                from: (world::USERS + user).to_string(),
                name: format!("Person {user}"),
                does: Does::Says(format!("message {index} of the benchmark")),
                at,
            };
            bytes.extend_from_slice(&signer.request(&meta::body(&[item])));
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }
}

fn wamid(index: usize) -> String {
    format!("wamid.HBgNNDkxNTcwMDAwMDAwMBUCABIYFD{index:08}")
}

fn index_of(wamid: &str) -> Option<usize> {
    wamid
        .strip_prefix("wamid.HBgNNDkxNTcwMDAwMDAwMBUCABIYFD")?
        .parse()
        .ok()
}

/// Measures once.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine, count: usize) -> Outcome<Run> {
    let stage = Stage::set(
        program,
        engine,
        EmulatorConfig::bench(),
        NUMBERS,
        Menu::Silent,
    )?;
    let total = WARM_UP + count;
    let requests = Arc::new(Requests::build(total));
    let address = stage.ready.api;
    let mut run = Run::default();
    let broken = stage.runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        post(address, &requests, &next, WARM_UP).await?;
        let began = Instant::now();
        let (mut latencies, refused) = post(address, &requests, &next, total).await?;
        let took = began.elapsed();
        let acknowledged = Instant::now();
        handled(&stage, total).await?;
        let backlog = acknowledged.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = count as f64 / took.as_secs_f64();
        run.add(Figure::Webhooks, rate);
        run.add(Figure::AckMedian, quantile(&mut latencies, 0.5));
        run.add(Figure::AckTail, quantile(&mut latencies, 0.99));
        run.add(Figure::Backlog, backlog.as_secs_f64());
        if refused > 0 {
            say::progress(&format!(
                "  {refused} webhooks were refused with 503 and posted again"
            ));
        }
        exactly_once(&stage, total).await
    })?;
    run.broken = broken;
    stage.end()?;
    Ok(run)
}

/// Posts the requests up to `end` over all connections; gives the milliseconds of each and how many had to be posted
/// again.
async fn post(
    address: SocketAddr,
    requests: &Arc<Requests>,
    next: &Arc<AtomicUsize>,
    end: usize,
) -> Outcome<(Vec<f64>, usize)> {
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (requests, next) = (Arc::clone(requests), Arc::clone(next));
        connections.spawn(async move {
            let mut latencies = Vec::with_capacity(1_024);
            let mut refused = 0;
            let mut conn = Conn::open(address).await?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    return Ok((latencies, refused));
                }
                let request = requests.get(index).unwrap_or_default();
                let sent = Instant::now();
                while conn.call(request).await?.status != 200 {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                latencies.push(sent.elapsed().as_secs_f64() * 1e3);
            }
        });
    }
    let (mut all, mut refused) = (Vec::with_capacity(end), 0);
    while let Some(joined) = connections.join_next().await {
        let joined: std::io::Result<_> = joined.map_err(|error| error.to_string())?;
        let (latencies, again) =
            joined.map_err(|error| format!("a connection of the load broke: {error}"))?;
        all.extend(latencies);
        refused += again;
    }
    // It has passed the end by one for each connection; the next round begins at the end.
    next.store(end, Ordering::Relaxed);
    Ok((all, refused))
}

/// Waits until the server has handled as many messages as it has acknowledged.
async fn handled(stage: &Stage, total: usize) -> Outcome<()> {
    let deadline = Instant::now() + HANDLED;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let wanted = total as f64;
    loop {
        let applied = metric(&stage.ready, "whatsapp_webhook_items_total", "applied").await?;
        if applied >= wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{applied} of {total} webhooks are handled after {HANDLED:?}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every acknowledged message is there, once, under its own tenant.
async fn exactly_once(stage: &Stage, total: usize) -> Outcome<Vec<String>> {
    let mut api = Api::new(stage.ready.api);
    let mut seen = vec![0_u8; total];
    let mut broken = Vec::new();
    for tenant in &stage.tenants {
        for row in api.messages(&tenant.id, "").await? {
            let index = row.provider_message_id.as_deref().and_then(index_of);
            let Some(index) = index.filter(|index| *index < total) else {
                broken.push(format!("{} is a message that nobody wrote", row.id));
                continue;
            };
            seen[index] = seen[index].saturating_add(1);
            let user = u64::try_from(index).unwrap_or(0).wrapping_mul(7_919) % USERS;
            let from = format!("+{}", world::USERS + user);
            let own = usize::try_from(user).unwrap_or(0) % NUMBERS == tenant.number;
            if !own || row.from.as_deref() != Some(from.as_str()) {
                broken.push(format!(
                    "message {index} stands under the wrong person or tenant"
                ));
            }
        }
    }
    let (lost, doubled) = (
        seen.iter().filter(|count| **count == 0).count(),
        seen.iter().filter(|count| **count > 1).count(),
    );
    if lost + doubled > 0 {
        broken.push(format!(
            "of {total} acknowledged webhooks {lost} are lost and {doubled} are doubled"
        ));
    }
    Ok(broken)
}
