//! Whether a channel sends as fast as it may and no faster, whether tenants that share a worker get equal parts, and
//! how long a reply takes that comes after ten thousand others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use waxwing_emulator::EmulatorConfig;

use super::stage::Stage;
use super::{Figure, Run};
use crate::api::{self, Api};
use crate::http::{Client, Conn};
use crate::meta::{self, Does, Item};
use crate::server::Engine;
use crate::stats::{now_micros, now_seconds, quantile, rfc3339};
use crate::world::{self, Menu};
use crate::{Outcome, say};

/// What Meta lets a number send in a second.
const RATE: f64 = 80.0;
const PACED: u64 = 1_600;
/// Sends of each of the two tenants that share the worker.
const SHARED: u64 = 4_000;
const BEHIND: u64 = 10_000;
const REPLIES: u64 = 200;
const CALLERS: u64 = 32;
/// The provider's answer takes this long.
const ANSWER: Duration = Duration::from_millis(20);

/// When the provider got what, and when users wrote.
#[derive(Debug, Default)]
struct Seen {
    /// By number.
    sends: [Vec<Instant>; 3],
    wrote: Vec<Option<Instant>>,
    answers: Vec<f64>,
}

type Watch = Arc<Mutex<Seen>>;

fn look(watch: &Watch) -> MutexGuard<'_, Seen> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn saw(watch: &Watch, number: usize, to: &str, at: Instant) {
    let mut seen = look(watch);
    let user = to
        .parse::<u64>()
        .ok()
        .and_then(|phone| phone.checked_sub(world::USERS))
        .and_then(|user| usize::try_from(user).ok());
    match user.and_then(|user| seen.wrote.get_mut(user)?.take()) {
        Some(wrote) => {
            let took = at.saturating_duration_since(wrote);
            seen.answers.push(took.as_secs_f64() * 1e3);
        }
        None => seen.sends[number].push(at),
    }
}

/// Measures once.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine) -> Outcome<Run> {
    let watch = Watch::default();
    let observed = Arc::clone(&watch);
    let numbers: Vec<String> = (0..3).map(meta::phone_number_id).collect();
    let config = EmulatorConfig {
        answer_delay: ANSWER,
        observer: Some(Arc::new(move |send| {
            let place = numbers.iter().position(|id| *id == send.phone_number_id);
            saw(&observed, place.unwrap_or(0), send.to, send.at);
        })),
        ..EmulatorConfig::bench()
    };
    let stage = Stage::set(program, engine, config, 3, Menu::Answer)?;
    let mut run = Run::default();
    stage.runtime.block_on(async {
        let mut api = Api::new(stage.ready.api);
        api.pace(&stage.tenants[0].id, None).await?;
        paced(&stage, &watch, &mut run).await?;
        shared(&stage, &watch, &mut run).await?;
        overtaken(&stage, &watch, &mut run).await
    })?;
    stage.end()?;
    Ok(run)
}

/// A number with the usual rate, and more to send than it may.
async fn paced(stage: &Stage, watch: &Watch, run: &mut Run) -> Outcome<()> {
    queue(stage, &[0], PACED, 0, false).await?;
    let deadline = Instant::now() + Duration::from_secs(40);
    until(deadline, || look(watch).sends[0].len() as u64 >= PACED).await?;
    let seen = look(watch);
    let (first, last) = (seen.sends[0].first(), seen.sends[0].last());
    let took = first.zip(last).map(|(first, last)| *last - *first);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = (seen.sends[0].len() - 1) as f64 / took.unwrap_or_default().as_secs_f64();
    run.add(Figure::PacedRate, rate);
    run.add(Figure::PacedShare, 100.0 * rate / RATE);
    if seen.sends[0].len() as u64 != PACED {
        let text = format!("{PACED} sends became {}", seen.sends[0].len());
        run.broken.push(text);
    }
    Ok(())
}

/// Two tenants whose numbers may send faster than the worker: the smaller part at half time, in hundredths of the
/// larger one.
async fn shared(stage: &Stage, watch: &Watch, run: &mut Run) -> Outcome<()> {
    queue(stage, &[1, 2], 2 * SHARED, 1_000_000, true).await?;
    let deadline = Instant::now() + Duration::from_secs(60);
    until(deadline, || {
        let seen = look(watch);
        (seen.sends[1].len() + seen.sends[2].len()) as u64 >= 2 * SHARED
    })
    .await?;
    let seen = look(watch);
    let mut all: Vec<(Instant, usize)> = [1, 2]
        .into_iter()
        .flat_map(|number| seen.sends[number].iter().map(move |at| (*at, number)))
        .collect();
    all.sort_unstable();
    all.truncate(usize::try_from(SHARED).unwrap_or(usize::MAX));
    let first = all.iter().filter(|(_, number)| *number == 1).count();
    let (less, more) = (first.min(all.len() - first), first.max(all.len() - first));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    run.add(Figure::EqualParts, 100.0 * less as f64 / more.max(1) as f64);
    Ok(())
}

/// Replies of the number that has ten thousand sends to go, at its usual rate.
async fn overtaken(stage: &Stage, watch: &Watch, run: &mut Run) -> Outcome<()> {
    queue(stage, &[0], BEHIND, 2_000_000, false).await?;
    let users = usize::try_from(REPLIES).unwrap_or(0);
    look(watch).wrote = vec![None; users];
    let signer = meta::Signer::new(meta::PLATFORM_SECRET);
    let mut conn = Conn::open(stage.ready.api)
        .await
        .map_err(|error| error.to_string())?;
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    for user in 0..REPLIES {
        let item = Item {
            number: 0,
            wamid: format!("wamid.PACING{user:08}"),
            from: (world::USERS + user).to_string(),
            name: format!("Person {user}"),
            does: Does::Says("hi there".to_owned()),
            at: now_seconds(),
        };
        let request = signer.request(&meta::body(&[item]));
        beat.tick().await;
        let place = usize::try_from(user).unwrap_or(0);
        look(watch).wrote[place] = Some(Instant::now());
        conn.call(&request)
            .await
            .map_err(|error| error.to_string())?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let all = until(deadline, || look(watch).answers.len() >= users).await;
    let mut seen = look(watch);
    if all.is_err() {
        let text = format!("{} of {users} replies overtook", seen.answers.len());
        run.broken.push(text);
    }
    run.add(Figure::OvertakeMedian, quantile(&mut seen.answers, 0.5));
    run.add(Figure::OvertakeTail, quantile(&mut seen.answers, 0.99));
    let left = BEHIND + PACED - seen.sends[0].len() as u64;
    say::progress(&format!("  {left} of {BEHIND} sends still wait"));
    Ok(())
}

async fn until(deadline: Instant, mut done: impl FnMut() -> bool) -> Outcome<()> {
    while !done() {
        if Instant::now() > deadline {
            return Err("the sends did not go out in time".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Queues sends of message templates, for the numbers in turn; to be sent all at one moment, when `together`.
async fn queue(
    stage: &Stage,
    numbers: &[usize],
    count: u64,
    first: u64,
    together: bool,
) -> Outcome<()> {
    let due = together.then(|| rfc3339(now_micros() + 6_000_000));
    let tenants: Vec<String> = numbers
        .iter()
        .map(|number| stage.tenants[*number].id.clone())
        .collect();
    let (tenants, next) = (Arc::new(tenants), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (tenants, next) = (Arc::clone(&tenants), Arc::clone(&next));
        let bulk = Bulk {
            count,
            first,
            due: due.clone(),
        };
        callers.spawn(call(stage.ready.api, tenants, next, bulk));
    }
    while let Some(joined) = callers.join_next().await {
        joined.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Which sends, and when.
struct Bulk {
    count: u64,
    first: u64,
    due: Option<String>,
}

async fn call(
    address: SocketAddr,
    tenants: Arc<Vec<String>>,
    next: Arc<AtomicU64>,
    bulk: Bulk,
) -> Outcome<()> {
    let mut client = Client::new(address, Duration::from_secs(30));
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        if place >= bulk.count {
            return Ok(());
        }
        let mut body = json!({
            "to": format!("+{}", world::SENT_TO + bulk.first + place),
            "priority": "bulk",
            "messageTemplate": {"name": "news", "language": "en"},
        });
        if let Some(due) = &bulk.due {
            body["sendAt"] = json!(due);
        }
        let tenant = &tenants[usize::try_from(place).unwrap_or(0) % tenants.len()];
        let path = format!("/api/tenants/{tenant}/send/template");
        let request = api::request("POST", &path, Some(&body));
        let answer = client
            .call(&request)
            .await
            .map_err(|error| format!("POST {path}: {error}"))?;
        if answer.status != 202 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("POST {path} answered {}: {said}", answer.status));
        }
    }
}
