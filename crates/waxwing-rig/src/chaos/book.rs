//! The clients' side of the ledger: what they sent, what they were promised, and what their phones showed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use waxwing_emulator::SendSeen;

use crate::meta::{self, Item};
use crate::world;

/// A message that a user wrote.
#[derive(Debug, Clone)]
pub struct Written {
    /// The message.
    pub item: Item,
    /// The step of the menu that must answer it; `None` when nothing answers.
    pub step: Option<usize>,
    /// A webhook with it was answered with 200.
    pub acknowledged: bool,
}

/// A message that a program asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The tenant's number.
    pub number: usize,
    /// The idempotency key.
    pub key: String,
    /// The recipient's digits.
    pub to: String,
    /// The text.
    pub text: String,
    /// The ids of the message in all answers.
    pub ids: Vec<String>,
    /// How many answers were 202.
    pub accepted: u32,
    /// At least one caller was answered.
    pub answered: bool,
}

/// A message that a phone showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The provider's id.
    pub wamid: String,
    /// The text.
    pub text: String,
}

#[derive(Debug, Default)]
struct Phone {
    shown: Mutex<VecDeque<Shown>>,
    arrived: Notify,
}

/// Most messages that a phone keeps for a user who does not look.
const SHOWN_MAX: usize = 64;

/// Counts of one run.
#[derive(Debug, Default)]
pub struct Tally {
    /// Webhook requests posted, every try counted.
    pub posts: AtomicU64,
    /// Tries that got no answer.
    pub unanswered: AtomicU64,
    /// Tries that were answered with 503.
    pub unavailable: AtomicU64,
    /// Copies posted beside the original.
    pub copies: AtomicU64,
    /// Copies that came in another envelope.
    pub other_envelopes: AtomicU64,
    /// Calls to send, every try counted.
    pub calls: AtomicU64,
    /// Answers that named the message of an earlier call.
    pub repeated: AtomicU64,
}

impl Tally {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The book.
#[derive(Debug)]
pub struct Book {
    written: Mutex<Vec<Written>>,
    asked: Mutex<Vec<Asked>>,
    complaints: Mutex<Vec<String>>,
    phones: Vec<Vec<Phone>>,
    /// Counts for the report.
    pub tally: Tally,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    /// An empty book for `numbers` numbers with `users` users each.
    #[must_use]
    pub fn new(numbers: usize, users: usize) -> Self {
        let phones = (0..numbers)
            .map(|_| (0..users).map(|_| Phone::default()).collect())
            .collect();
        Self {
            written: Mutex::default(),
            asked: Mutex::default(),
            complaints: Mutex::default(),
            phones,
            tally: Tally::default(),
        }
    }

    /// Notes messages before they are sent; gives the place of the first.
    pub fn write(&self, messages: impl IntoIterator<Item = (Item, Option<usize>)>) -> usize {
        let mut written = lock(&self.written);
        let first = written.len();
        written.extend(messages.into_iter().map(|(item, step)| Written {
            item,
            step,
            acknowledged: false,
        }));
        first
    }

    /// Notes that a webhook with these messages was answered with 200.
    pub fn acknowledge(&self, places: std::ops::Range<usize>) {
        for written in &mut lock(&self.written)[places] {
            written.acknowledged = true;
        }
    }

    /// A message that was acknowledged before, for a copy.
    pub fn any_acknowledged(&self, dice: &mut crate::stats::Dice) -> Option<Item> {
        let written = lock(&self.written);
        let recent = written.len().saturating_sub(200);
        let place = recent + dice.place(written.len() - recent);
        written
            .get(place)
            .filter(|written| written.acknowledged)
            .map(|written| written.item.clone())
    }

    /// Notes a send before it is asked for; gives its place.
    pub fn ask(&self, number: usize, key: &str, to: &str, text: &str) -> usize {
        let mut asked = lock(&self.asked);
        asked.push(Asked {
            number,
            key: key.to_owned(),
            to: to.to_owned(),
            text: text.to_owned(),
            ids: Vec::new(),
            accepted: 0,
            answered: false,
        });
        asked.len() - 1
    }

    /// Notes the answer to a send: a new message (202) or the one of an earlier call (409).
    pub fn answer(&self, place: usize, id: &str, new: bool) {
        if !new {
            Tally::add(&self.tally.repeated);
        }
        let asked = &mut lock(&self.asked)[place];
        asked.answered = true;
        asked.accepted += u32::from(new);
        if !asked.ids.iter().any(|known| known == id) {
            asked.ids.push(id.to_owned());
        }
    }

    /// Notes something that must not have happened.
    pub fn complain(&self, text: String) {
        let mut complaints = lock(&self.complaints);
        if complaints.len() < 1_000 {
            complaints.push(text);
        }
    }

    /// What must not have happened.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.complaints).clone()
    }

    /// All that was written.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        lock(&self.written).clone()
    }

    /// All that was asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    fn phone(&self, number: usize, user: u64) -> Option<&Phone> {
        self.phones.get(number)?.get(usize::try_from(user).ok()?)
    }

    /// Shows a message that the provider has accepted on the phone of its recipient.
    pub fn show(&self, seen: &SendSeen<'_>) {
        let user = seen
            .to
            .parse::<u64>()
            .ok()
            .and_then(|digits| digits.checked_sub(world::USERS));
        let phone = meta::number_of(seen.phone_number_id)
            .zip(user)
            .and_then(|(number, user)| self.phone(number, user));
        if let Some(phone) = phone {
            let mut shown = lock(&phone.shown);
            if shown.len() >= SHOWN_MAX {
                shown.pop_front();
            }
            shown.push_back(Shown {
                wamid: seen.wamid.to_owned(),
                text: seen.text.to_owned(),
            });
            drop(shown);
            phone.arrived.notify_one();
        }
    }

    /// Waits until a phone shows a text, and takes it and all that came before.
    pub async fn await_text(
        &self,
        number: usize,
        user: u64,
        text: &str,
        patience: Duration,
    ) -> Option<Shown> {
        let phone = self.phone(number, user)?;
        let wait = async {
            loop {
                let found = {
                    let mut shown = lock(&phone.shown);
                    let place = shown.iter().position(|shown| shown.text == text);
                    place.and_then(|place| shown.drain(..=place).next_back())
                };
                if let Some(found) = found {
                    return found;
                }
                phone.arrived.notified().await;
            }
        };
        tokio::time::timeout(patience, wait).await.ok()
    }
}
