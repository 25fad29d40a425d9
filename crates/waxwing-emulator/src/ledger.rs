//! What the emulator accepted and what it delivered, for tests that compare both sides.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::provider::Provider;
use crate::state::lock;

/// One accepted send.
#[derive(Debug, Clone)]
pub struct SendRecord {
    /// Provider of the number.
    pub provider: Provider,
    /// Number that sent it, by its id in the emulator.
    pub phone_number_id: Arc<str>,
    /// Message id, in the form of the provider.
    pub wamid: Arc<str>,
    /// Recipient: digits of the phone, business-scoped user id or group id.
    pub to: Box<str>,
    /// Message type, in the words of Meta's API for every provider.
    pub kind: &'static str,
    /// Visible text.
    pub body: Box<str>,
    /// What the sender asked to get back in statuses: Meta's `biz_opaque_callback_data`, Twilio's `StatusCallback`.
    pub callback_data: Option<Box<str>>,
    /// Whether a complete answer with the message id was handed to the connection.
    pub answered: bool,
    /// Moment of acceptance.
    pub at: Instant,
    /// Statuses emitted so far, in order of emission.
    pub statuses: Vec<&'static str>,
}

/// What a webhook carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// Messages of users.
    Message,
    /// Statuses.
    Status,
    /// Everything else.
    Other,
}

/// One webhook request with all its attempts.
#[derive(Debug, Clone)]
pub struct WebhookRecord {
    /// Provider of the number.
    pub provider: Provider,
    /// Number it belongs to, by its id in the emulator.
    pub phone_number_id: Arc<str>,
    /// What it carries.
    pub kind: WebhookKind,
    /// Message ids of the items in it.
    pub ids: Box<[Arc<str>]>,
    /// Attempts made.
    pub attempts: u32,
    /// Whether an answer came that the provider takes for success; with Meta only 200.
    pub delivered: bool,
    /// Whether the emulator stopped trying.
    pub given_up: bool,
    /// Last HTTP status; `None` when there was no answer.
    pub last_status: Option<u16>,
    /// Moment of the first attempt.
    pub at: Instant,
}

/// What came of an attempt to deliver a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Delivered,
    /// It is tried again.
    Failed,
    GivenUp,
}

/// Totals that are kept even without records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sends accepted.
    pub accepted: u64,
    /// Sends refused with an error of validation or limits.
    pub refused: u64,
    /// Accepted sends whose answer was written.
    pub answered: u64,
    /// Webhook requests answered with 200.
    pub delivered: u64,
    /// Webhook attempts that failed.
    pub failed_attempts: u64,
    /// Webhooks given up, the ones that found the queue full included.
    pub given_up: u64,
    /// Statuses emitted.
    pub statuses: u64,
    /// Records forgotten because the ledger was full.
    pub forgotten: u64,
}

#[derive(Debug, Default)]
struct Records {
    sends: VecDeque<SendRecord>,
    first_send: u64,
    by_id: HashMap<Arc<str>, u64>,
    webhooks: VecDeque<WebhookRecord>,
    first_webhook: u64,
}

/// Ledger of an emulator; clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keep: bool,
    capacity: usize,
    records: Mutex<Records>,
    accepted: AtomicU64,
    refused: AtomicU64,
    answered: AtomicU64,
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    given_up: AtomicU64,
    statuses: AtomicU64,
    forgotten: AtomicU64,
    changed: Notify,
    waiters: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new(keep: bool, capacity: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                keep,
                capacity: capacity.max(1),
                records: Mutex::default(),
                accepted: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                answered: AtomicU64::new(0),
                delivered: AtomicU64::new(0),
                failed_attempts: AtomicU64::new(0),
                given_up: AtomicU64::new(0),
                statuses: AtomicU64::new(0),
                forgotten: AtomicU64::new(0),
                changed: Notify::new(),
                waiters: AtomicUsize::new(0),
            }),
        }
    }

    pub(crate) fn keeps(&self) -> bool {
        self.inner.keep
    }

    fn wake(&self) {
        if self.inner.waiters.load(Ordering::Acquire) > 0 {
            self.inner.changed.notify_waiters();
        }
    }

    /// Records an accepted send; the closure runs only when records are kept.
    pub(crate) fn accept(&self, record: impl FnOnce() -> SendRecord) {
        self.inner.accepted.fetch_add(1, Ordering::Relaxed);
        if self.inner.keep {
            let record = record();
            let mut records = lock(&self.inner.records);
            if records.sends.len() >= self.inner.capacity
                && let Some(old) = records.sends.pop_front()
            {
                records.by_id.remove(&old.wamid);
                records.first_send += 1;
                self.inner.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            let index = records.first_send + records.sends.len() as u64;
            records.by_id.insert(Arc::clone(&record.wamid), index);
            records.sends.push_back(record);
        }
        self.wake();
    }

    fn change(&self, wamid: &str, change: impl FnOnce(&mut SendRecord)) {
        if self.inner.keep {
            let mut records = lock(&self.inner.records);
            if let Some(index) = records.by_id.get(wamid).copied() {
                let position = usize::try_from(index - records.first_send).unwrap_or(usize::MAX);
                if let Some(record) = records.sends.get_mut(position) {
                    change(record);
                }
            }
        }
        self.wake();
    }

    pub(crate) fn refuse(&self) {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn answer(&self, wamid: &str) {
        self.inner.answered.fetch_add(1, Ordering::Relaxed);
        self.change(wamid, |record| record.answered = true);
    }

    pub(crate) fn status(&self, wamid: &str, status: &'static str) {
        self.inner.statuses.fetch_add(1, Ordering::Relaxed);
        self.change(wamid, |record| record.statuses.push(status));
    }

    /// Opens the record of a webhook; the number comes back in [`Ledger::attempt`].
    pub(crate) fn webhook(&self, record: impl FnOnce() -> WebhookRecord) -> u64 {
        if !self.inner.keep {
            return u64::MAX;
        }
        let record = record();
        let mut records = lock(&self.inner.records);
        if records.webhooks.len() >= self.inner.capacity && records.webhooks.pop_front().is_some() {
            records.first_webhook += 1;
            self.inner.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        let index = records.first_webhook + records.webhooks.len() as u64;
        records.webhooks.push_back(record);
        index
    }

    /// Notes an attempt: the HTTP status, and what came of it.
    pub(crate) fn attempt(&self, index: u64, status: Option<u16>, result: Attempt) {
        let delivered = result == Attempt::Delivered;
        let given_up = result == Attempt::GivenUp;
        if delivered {
            self.inner.delivered.fetch_add(1, Ordering::Relaxed);
        } else {
            self.inner.failed_attempts.fetch_add(1, Ordering::Relaxed);
        }
        if given_up {
            self.inner.given_up.fetch_add(1, Ordering::Relaxed);
        }
        if self.inner.keep {
            let mut records = lock(&self.inner.records);
            if let Some(position) = index.checked_sub(records.first_webhook)
                && let Some(record) = usize::try_from(position)
                    .ok()
                    .and_then(|p| records.webhooks.get_mut(p))
            {
                record.attempts += 1;
                record.delivered |= delivered;
                record.given_up |= given_up;
                record.last_status = status;
            }
        }
        self.wake();
    }

    /// Counts a webhook that was never tried because the queue was full.
    pub(crate) fn overflow(&self) {
        self.inner.given_up.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// The totals.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
        Counts {
            accepted: get(&self.inner.accepted),
            refused: get(&self.inner.refused),
            answered: get(&self.inner.answered),
            delivered: get(&self.inner.delivered),
            failed_attempts: get(&self.inner.failed_attempts),
            given_up: get(&self.inner.given_up),
            statuses: get(&self.inner.statuses),
            forgotten: get(&self.inner.forgotten),
        }
    }

    /// All recorded sends, oldest first.
    #[must_use]
    pub fn sends(&self) -> Vec<SendRecord> {
        lock(&self.inner.records).sends.iter().cloned().collect()
    }

    /// Recorded sends to one recipient, oldest first.
    #[must_use]
    pub fn sends_to(&self, to: &str) -> Vec<SendRecord> {
        lock(&self.inner.records)
            .sends
            .iter()
            .filter(|s| &*s.to == to)
            .cloned()
            .collect()
    }

    /// The first recorded send that fulfils a condition, without copying the others.
    #[must_use]
    pub fn find(&self, mut condition: impl FnMut(&SendRecord) -> bool) -> Option<SendRecord> {
        lock(&self.inner.records)
            .sends
            .iter()
            .find(|send| condition(send))
            .cloned()
    }

    /// How many recorded sends fulfil a condition, without copying them.
    #[must_use]
    pub fn count(&self, mut condition: impl FnMut(&SendRecord) -> bool) -> usize {
        lock(&self.inner.records)
            .sends
            .iter()
            .filter(|send| condition(send))
            .count()
    }

    /// The send with this message id.
    #[must_use]
    pub fn send(&self, wamid: &str) -> Option<SendRecord> {
        let records = lock(&self.inner.records);
        let index = *records.by_id.get(wamid)?;
        records
            .sends
            .get(usize::try_from(index - records.first_send).ok()?)
            .cloned()
    }

    /// All recorded webhooks, oldest first.
    #[must_use]
    pub fn webhooks(&self) -> Vec<WebhookRecord> {
        lock(&self.inner.records).webhooks.iter().cloned().collect()
    }

    /// Forgets all records; the counts go on.
    pub fn clear(&self) {
        let mut records = lock(&self.inner.records);
        records.first_send += records.sends.len() as u64;
        records.first_webhook += records.webhooks.len() as u64;
        records.sends.clear();
        records.by_id.clear();
        records.webhooks.clear();
    }

    /// Waits until the predicate holds or the deadline passes; tells which. The predicate runs again after every change.
    pub async fn wait_for(
        &self,
        mut predicate: impl FnMut(&Self) -> bool,
        deadline: Duration,
    ) -> bool {
        self.inner.waiters.fetch_add(1, Ordering::AcqRel);
        let _guard = WaiterGuard(&self.inner.waiters);
        let wait = async {
            loop {
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if predicate(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(deadline, wait).await.is_ok()
    }
}

struct WaiterGuard<'a>(&'a AtomicUsize);

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
