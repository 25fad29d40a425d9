//! From the moment a user's message is posted to the moment the provider has the reply, at a calm pace.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use waxwing_emulator::EmulatorConfig;

use super::stage::Stage;
use super::{Figure, Run};
use crate::Outcome;
use crate::http::Conn;
use crate::meta::{self, Does, Item};
use crate::server::Engine;
use crate::stats::{now_seconds, quantile};
use crate::world::{self, Menu};

const A_SECOND: u64 = 20;
const NUMBERS: usize = 4;
const USERS: u64 = 60;
/// Messages before the measured ones: each user has written once.
const WARM_UP: u64 = USERS;

/// When each user wrote last, and how long each answer took.
#[derive(Debug)]
struct Watch {
    zero: Instant,
    wrote: Vec<AtomicU64>,
    answers: Mutex<Vec<f64>>,
    strangers: AtomicU64,
}

impl Watch {
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.zero).as_nanos()).unwrap_or(0)
    }

    fn answered(&self, to: &str, at: Instant) {
        let user = to
            .parse::<u64>()
            .ok()
            .and_then(|digits| digits.checked_sub(world::USERS))
            .and_then(|user| self.wrote.get(usize::try_from(user).ok()?));
        let wrote = user.map_or(0, |wrote| wrote.swap(0, Ordering::AcqRel));
        if wrote == 0 {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let took = Duration::from_nanos(self.nanos(at).saturating_sub(wrote));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push(took.as_secs_f64() * 1e3);
    }
}

/// Measures once, over `samples` messages.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine, samples: u64) -> Outcome<Run> {
    let watch = Arc::new(Watch {
        zero: Instant::now(),
        wrote: (0..USERS).map(|_| AtomicU64::new(0)).collect(),
        answers: Mutex::default(),
        strangers: AtomicU64::new(0),
    });
    let seen = Arc::clone(&watch);
    let config = EmulatorConfig {
        observer: Some(Arc::new(move |send| seen.answered(send.to, send.at))),
        ..EmulatorConfig::bench()
    };
    let stage = Stage::set(program, engine, config, NUMBERS, Menu::Answer)?;
    let total = WARM_UP + samples;
    stage
        .runtime
        .block_on(post(&stage, &watch, total))
        .map_err(|error| format!("a webhook could not be posted: {error}"))?;

    let deadline = Instant::now() + Duration::from_secs(10);
    let wanted = usize::try_from(total).unwrap_or(usize::MAX);
    let answers = loop {
        let answers = watch
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if answers.len() >= wanted || Instant::now() > deadline {
            break answers;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut run = Run::default();
    let strangers = watch.strangers.load(Ordering::Relaxed);
    if answers.len() != wanted || strangers > 0 {
        run.broken.push(format!(
            "{wanted} messages were acknowledged, {} were answered, {strangers} answers belong to no message",
            answers.len()
        ));
    }
    let warm = usize::try_from(WARM_UP).unwrap_or(0).min(answers.len());
    let mut measured = answers[warm..].to_vec();
    run.add(Figure::ReplyMedian, quantile(&mut measured, 0.5));
    run.add(Figure::ReplyTail, quantile(&mut measured, 0.99));
    stage.end()?;
    Ok(run)
}

async fn post(stage: &Stage, watch: &Watch, total: u64) -> std::io::Result<()> {
    let signer = meta::Signer::new(meta::PLATFORM_SECRET);
    let mut conn = Conn::open(stage.ready.api).await?;
    let mut pace = tokio::time::interval(Duration::from_millis(1_000 / A_SECOND));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for count in 0..total {
        let user = count % USERS;
        let item = Item {
            number: usize::try_from(user).unwrap_or(0) % NUMBERS,
            wamid: format!("wamid.LATENCY{count:08}"),
            from: (world::USERS + user).to_string(),
            name: format!("Person {user}"),
            does: Does::Says("hi there".to_owned()),
            at: now_seconds(),
        };
        let request = signer.request(&meta::body(&[item]));
        pace.tick().await;
        let place = usize::try_from(user).unwrap_or(0);
        watch.wrote[place].store(watch.nanos(Instant::now()).max(1), Ordering::Release);
        let status = conn.call(&request).await?.status;
        if status != 200 {
            return Err(std::io::Error::other(format!(
                "it was answered with {status}"
            )));
        }
    }
    Ok(())
}
