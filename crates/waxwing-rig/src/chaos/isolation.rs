//! `chaos isolation`: many people write to many tenants at the same moment, all with the same phone numbers, buttons,
//! template keys and idempotency keys. Every reply must go to its own sender, every row must stand under its own
//! contact and tenant.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::book::Book;
use super::scene::{self, Scene};
use super::traffic::{Person, Traffic};
use super::verdict_lines;
use crate::emu::Provider;
use crate::http::Client;
use crate::meta::Does;
use crate::server::Engine;
use crate::stats::Dice;
use crate::{Outcome, Verdict, api, say, world};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Tenants.
    pub tenants: usize,
    /// People who write at once.
    pub senders: usize,
    /// People of each tenant.
    pub people: u64,
    /// The seed of the run.
    pub seed: u64,
}

/// Messages that each person writes: a text, then taps.
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

type Jobs = Arc<Mutex<VecDeque<Vec<Person>>>>;

/// Runs it.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine, plan: Plan) -> Outcome<Verdict> {
    let mut dice = Dice::new(plan.seed);
    let users = usize::try_from(plan.people).map_err(|_| "too many people")?;
    let book = Arc::new(Book::new(plan.tenants, users));
    let provider = Provider::start(scene::provider_config(&book))?;
    let site = scene::site(program, engine, &provider)?;
    let (server, ready) = site.start_ready(scene::READY)?;
    say::progress(&format!(
        "{}: making {} tenants",
        engine.name(),
        plan.tenants
    ));
    let scene = Scene::build(&server, &ready, provider, book, plan.tenants, dice.roll())?;
    scene.greeted(std::iter::once(world::SENT_TO))?;

    let jobs = Arc::new(Mutex::new(jobs(plan, &mut dice)));
    let began = Instant::now();
    scene.runtime.block_on(async {
        let mut senders = JoinSet::new();
        for _ in 0..plan.senders {
            let (traffic, jobs, dice) =
                (Arc::clone(&scene.traffic), Arc::clone(&jobs), dice.fork());
            senders.spawn(sender(traffic, jobs, dice));
        }
        while let Some(joined) = senders.join_next().await {
            joined.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    })?;
    let took = began.elapsed();
    let mut findings = scene.judge(Duration::from_secs(60));
    scene::end(server, &mut findings.broken);
    say::result(&format!(
        "{}: {} senders at once in {} tenants: {} messages, {} sends, {} accepted by the provider, in {:.1} s; seed {}",
        engine.name(),
        plan.senders,
        plan.tenants,
        scene.book.written().len(),
        scene.book.asked().len(),
        findings.sent,
        took.as_secs_f64(),
        plan.seed,
    ));
    let name = format!("isolation on {}", engine.name());
    Ok(verdict_lines(&name, &findings.broken))
}

/// Who writes, in random order; some write to two tenants in one request.
fn jobs(plan: Plan, dice: &mut Dice) -> VecDeque<Vec<Person>> {
    let mut jobs = Vec::new();
    for user in 0..plan.people {
        let mut numbers: Vec<usize> = (0..plan.tenants).collect();
        shuffle(&mut numbers, dice);
        let mut rest = numbers.as_slice();
        while !rest.is_empty() {
            let together = if dice.chance(20) { 2 } else { 1 };
            let (group, others) = rest.split_at(together.min(rest.len()));
            rest = others;
            jobs.push(
                group
                    .iter()
                    .map(|number| Person {
                        number: *number,
                        user,
                    })
                    .collect(),
            );
        }
    }
    shuffle(&mut jobs, dice);
    jobs.into()
}

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for place in (1..list.len()).rev() {
        list.swap(place, dice.place(place + 1));
    }
}

async fn sender(traffic: Arc<Traffic>, jobs: Jobs, mut dice: Dice) {
    let mut client = Client::new(traffic.address, Duration::from_secs(30));
    loop {
        let next = jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(people) = next else {
            return;
        };
        talk(&traffic, &mut client, &people, &mut dice).await;
        for person in &people {
            if person.user == 0 {
                send(&traffic, &mut client, person.number).await;
            }
        }
    }
}

/// Writes and taps, each time waiting for the answer.
async fn talk(traffic: &Traffic, client: &mut Client, people: &[Person], dice: &mut Dice) {
    let mut contexts: Vec<String> = vec![String::new(); people.len()];
    for step in 0..ROUNDS {
        let items: Vec<_> = people
            .iter()
            .zip(&contexts)
            .map(|(person, context)| {
                let does = if step == 0 {
                    Does::Says(world::START.to_owned())
                } else {
                    Does::Taps {
                        button: world::NEXT.to_owned(),
                        title: "Next".to_owned(),
                        context: context.clone(),
                    }
                };
                traffic.item(person, does)
            })
            .collect();
        let notes = items.iter().cloned().map(|item| (item, Some(step)));
        let first = traffic.book.write(notes);
        if !traffic
            .deliver(client, &traffic.request(&items), dice)
            .await
        {
            return;
        }
        traffic.book.acknowledge(first..first + items.len());
        for (person, context) in people.iter().zip(&mut contexts) {
            let text = world::chain_text(person.number, step, &person.name());
            let (number, user) = (person.number, person.user);
            match traffic.book.await_text(number, user, &text, PATIENCE).await {
                Some(shown) => *context = shown.wamid,
                None => {
                    let text = format!("user {user} of number {number} was not answered in time");
                    traffic.book.complain(text);
                    return;
                }
            }
        }
    }
}

/// A send with the key that every tenant uses.
async fn send(traffic: &Traffic, client: &mut Client, number: usize) {
    let (to, text) = (world::SENT_TO.to_string(), format!("n{number} send k-0"));
    let place = traffic.book.ask(number, "k-0", &to, &text);
    let body = json!({"to": format!("+{to}"), "text": text, "idempotency_key": "k-0"});
    let path = format!("/api/tenants/{}/send", traffic.tenants[number].id);
    match client.call(&api::request("POST", &path, Some(&body))).await {
        Ok(answer) if answer.status == 202 => {
            let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let id = value["message"]["id"].as_str().unwrap_or("none");
            traffic.book.answer(place, id, true);
        }
        Ok(answer) => {
            let text = format!(
                "the first send of number {number} was answered with {}",
                answer.status
            );
            traffic.book.complain(text);
        }
        Err(error) => traffic
            .book
            .complain(format!("a send got no answer: {error}")),
    }
}
