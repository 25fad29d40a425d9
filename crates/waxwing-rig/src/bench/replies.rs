//! The highest number of replies a second that the whole loop sustains: users who write again as soon as they are
//! answered, the provider taking the replies and telling `sent` and `delivered` by webhook.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use waxwing_emulator::EmulatorConfig;

use super::stage::Stage;
use super::{Figure, Run};
use crate::api::Api;
use crate::http::Conn;
use crate::meta::{self, Does, Item};
use crate::server::Engine;
use crate::stats::now_seconds;
use crate::world::{self, Menu};
use crate::{Outcome, say};

const NUMBERS: usize = 8;
const WARM_UP: usize = 3;
/// How long a user waits for an answer before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct User {
    answers: AtomicU64,
    answered: Notify,
}

#[derive(Debug)]
struct Crowd {
    users: Vec<User>,
    stop: AtomicBool,
    zero: Instant,
    /// Replies in each second.
    seconds: Vec<AtomicU64>,
    strangers: AtomicU64,
}

impl Crowd {
    fn answered(&self, to: &str, at: Instant) {
        let user = to
            .parse::<u64>()
            .ok()
            .and_then(|digits| digits.checked_sub(world::USERS))
            .and_then(|user| self.users.get(usize::try_from(user).ok()?));
        let Some(user) = user else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let second = at.saturating_duration_since(self.zero).as_secs();
        if let Some(count) = self
            .seconds
            .get(usize::try_from(second).unwrap_or(usize::MAX))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        user.answers.fetch_add(1, Ordering::AcqRel);
        user.answered.notify_one();
    }
}

/// Measures once: `outstanding` users for `seconds`.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine, outstanding: usize, seconds: usize) -> Outcome<Run> {
    let crowd = Arc::new(Crowd {
        users: (0..outstanding).map(|_| User::default()).collect(),
        stop: AtomicBool::new(false),
        zero: Instant::now(),
        seconds: (0..600).map(|_| AtomicU64::new(0)).collect(),
        strangers: AtomicU64::new(0),
    });
    let seen = Arc::clone(&crowd);
    let config = EmulatorConfig {
        observer: Some(Arc::new(move |send| seen.answered(send.to, send.at))),
        ..EmulatorConfig::bench()
    };
    let stage = Stage::set(program, engine, config, NUMBERS, Menu::Answer)?;
    let mut run = Run::default();
    let broken = stage.runtime.block_on(async {
        let started = crowd.zero.elapsed();
        let mut users = JoinSet::new();
        for user in 0..outstanding {
            users.spawn(talk(Arc::clone(&crowd), stage.ready.api, user));
        }
        let whole = Duration::from_secs(u64::try_from(WARM_UP + seconds).unwrap_or(15));
        tokio::time::sleep(whole).await;
        crowd.stop.store(true, Ordering::Release);
        let (mut written, mut broken) = (0, Vec::new());
        while let Some(joined) = users.join_next().await {
            match joined.map_err(|error| error.to_string())? {
                Ok(count) => written += count,
                Err(problem) => broken.push(problem),
            }
        }
        let first = usize::try_from(started.as_secs()).unwrap_or(0) + 1 + WARM_UP;
        steady(&crowd, first, seconds, &mut run);
        broken.extend(all_there(&stage, &crowd, written).await?);
        Ok::<_, String>(broken)
    })?;
    run.broken = broken;
    stage.end()?;
    Ok(run)
}

/// The rate over the whole seconds of the window, and that of the worst of them.
fn steady(crowd: &Crowd, first: usize, seconds: usize, run: &mut Run) {
    let window = &crowd.seconds[first..first + seconds - 1];
    let counts: Vec<u32> = window
        .iter()
        .map(|count| u32::try_from(count.load(Ordering::Relaxed)).unwrap_or(u32::MAX))
        .collect();
    let sum: f64 = counts.iter().copied().map(f64::from).sum();
    let lasted = u32::try_from(counts.len()).unwrap_or(1);
    run.add(Figure::Replies, sum / f64::from(lasted));
    let worst = counts.iter().min().copied().unwrap_or(0);
    run.add(Figure::WorstSecond, f64::from(worst));
}

async fn talk(crowd: Arc<Crowd>, address: std::net::SocketAddr, user: usize) -> Outcome<u64> {
    let signer = meta::Signer::new(meta::PLATFORM_SECRET);
    let broke = |error| format!("user {user}: the connection broke: {error}");
    let mut conn = Conn::open(address).await.map_err(broke)?;
    let place = u64::try_from(user).unwrap_or(0);
    let mut item = Item {
        number: user % NUMBERS,
        wamid: String::new(),
        from: (world::USERS + place).to_string(),
        name: format!("Person {user}"),
        does: Does::Says("hi there".to_owned()),
        at: 0,
    };
    let me = &crowd.users[user];
    let mut written = 0;
    while !crowd.stop.load(Ordering::Acquire) {
        item.wamid = format!("wamid.R{user:06}x{written:08}");
        item.at = now_seconds();
        let request = signer.request(&meta::body(std::slice::from_ref(&item)));
        let status = conn.call(&request).await.map_err(broke)?.status;
        if status == 503 {
            // Asked to come again: the same message.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        if status != 200 {
            return Err(format!("user {user}: a webhook was answered with {status}"));
        }
        written += 1;
        let wait = async {
            while me.answers.load(Ordering::Acquire) < written {
                me.answered.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            return Err(format!("user {user}: message {written} was not answered"));
        }
        if me.answers.load(Ordering::Acquire) > written {
            return Err(format!("user {user}: message {written} was answered twice"));
        }
    }
    Ok(written)
}

/// None lost, none doubled, all delivered.
async fn all_there(stage: &Stage, crowd: &Crowd, written: u64) -> Outcome<Vec<String>> {
    let emulator = stage.provider.get();
    let mut broken = Vec::new();
    if !emulator.webhooks_idle(Duration::from_secs(60)).await {
        broken.push("statuses are still on their way after a minute".to_owned());
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut api = Api::new(stage.ready.api);
    let (received, delivered, others) = loop {
        let (mut received, mut delivered, mut others) = (0_u64, 0_u64, 0_u64);
        for tenant in &stage.tenants {
            for row in api.messages(&tenant.id, "").await? {
                match (row.direction.as_str(), row.status.as_str()) {
                    ("IN", _) => received += 1,
                    (_, "delivered") => delivered += 1,
                    _ => others += 1,
                }
            }
        }
        if others == 0 || Instant::now() > deadline {
            break (received, delivered, others);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let accepted = emulator.ledger().counts().accepted;
    if received != written || delivered != written || accepted != written || others > 0 {
        broken.push(format!(
            "{written} messages were acknowledged, {received} are shown, {accepted} replies were accepted, {delivered} are shown as delivered, {others} as something else"
        ));
    }
    let strangers = crowd.strangers.load(Ordering::Relaxed);
    if strangers > 0 {
        broken.push(format!("{strangers} replies went to nobody"));
    }
    say::progress(&format!(
        "  {written} messages, {delivered} replies delivered"
    ));
    Ok(broken)
}
