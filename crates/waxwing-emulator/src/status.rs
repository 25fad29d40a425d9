//! The life of an accepted message: sent, delivered, read, or failed, and the webhooks that tell it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ledger::WebhookKind;
use crate::shown::Tick;
use crate::state::{Number, Reach, UserState, lock};
use crate::timer::{Busy, Due};
use crate::webhook::About;

/// One step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Told only by providers that first accept and then queue.
    Queued,
    Sent,
    Delivered,
    Read,
    Played,
    Failed(i64),
    /// Taken back before it was sent.
    Canceled,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed(_) => "failed",
            Self::Canceled => "canceled",
        }
    }

    const fn tick(self) -> (Tick, Option<i64>) {
        match self {
            Self::Queued => (Tick::Accepted, None),
            Self::Sent => (Tick::Sent, None),
            Self::Delivered => (Tick::Delivered, None),
            Self::Read => (Tick::Read, None),
            Self::Played => (Tick::Played, None),
            Self::Failed(code) => (Tick::Failed, Some(code)),
            Self::Canceled => (Tick::Failed, None),
        }
    }
}

/// An accepted message.
#[derive(Debug)]
pub(crate) struct OutMessage {
    pub(crate) wamid: Arc<str>,
    pub(crate) number: Arc<Number>,
    /// Digits of the phone, or the group id.
    pub(crate) recipient_id: Option<Box<str>>,
    pub(crate) recipient_user_id: Option<Box<str>>,
    pub(crate) group: bool,
    pub(crate) user: Option<Arc<UserState>>,
    pub(crate) callback_data: Option<Box<str>>,
    /// Address of this message's statuses, with providers that have one for each message.
    pub(crate) status_url: Option<Box<str>>,
    pub(crate) category: &'static str,
    /// `regular` or `free_customer_service`.
    pub(crate) pricing: &'static str,
    pub(crate) voice: bool,
    /// No stage follows `sent`.
    pub(crate) sent_only: bool,
    /// `queued` is told before `sent`.
    pub(crate) queued_first: bool,
    pub(crate) fail: Option<i64>,
    /// Set when the HTTP answer waits for the first status.
    pub(crate) first_status: Option<Notify>,
}

impl OutMessage {
    pub(crate) fn first_status_arrived(&self) {
        if let Some(notify) = &self.first_status {
            notify.notify_one();
        }
    }

    fn user_keys(&self) -> [&str; 2] {
        [
            self.recipient_id.as_deref().unwrap_or(""),
            self.recipient_user_id.as_deref().unwrap_or(""),
        ]
    }
}

/// Statuses that wait for company.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    items: Vec<Item>,
    busy: Option<Busy>,
}

/// One status.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) message: Arc<OutMessage>,
    pub(crate) stage: Stage,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

impl Hub {
    /// Sets the statuses of an accepted message going, `delay` after now.
    pub(crate) fn start_statuses(&self, message: &Arc<OutMessage>, delay: std::time::Duration) {
        let Some(sent) = self.config.timing.sent else {
            return;
        };
        if self.idle.len() > self.config.webhooks.queue.saturating_mul(2) {
            self.ledger.overflow();
            return;
        }
        let stage = if message.queued_first {
            Stage::Queued
        } else {
            message.fail.map_or(Stage::Sent, Stage::Failed)
        };
        let delay = delay + sent.draw(self.rng.share());
        self.timer.after(
            delay,
            Due::Status(Arc::clone(message), stage, self.idle.busy()),
        );
    }

    /// A stage is due: emits it, as disturbed by the faults, and schedules the next one.
    pub(crate) fn stage_due(&self, message: Arc<OutMessage>, stage: Stage, busy: Busy) {
        if stage == Stage::Delivered
            && let Some(user) = &message.user
        {
            let mut inner = lock(&user.inner);
            if inner.reach == Reach::Offline {
                inner.held.push(Arc::clone(&message));
                return;
            }
        }
        let number = &message.number;
        let fault = self.fault(
            FaultPoint::Status,
            number,
            &message.user_keys(),
            stage.name(),
        );
        let reached = match fault {
            Some(Fault::Fail { code }) => Stage::Failed(code),
            _ => stage,
        };
        if !number.wire().reached(&message, reached, self.now_ms()) {
            return;
        }
        match fault {
            Some(Fault::Drop) => {}
            Some(Fault::Delay { ms }) => {
                let delay = std::time::Duration::from_millis(ms);
                self.timer.after(
                    delay,
                    Due::Emit(Arc::clone(&message), stage, self.idle.busy()),
                );
            }
            Some(Fault::Duplicate {
                times, after_ms, ..
            }) => {
                self.emit(&message, stage);
                for n in 1..=times {
                    let delay =
                        std::time::Duration::from_millis(after_ms.saturating_mul(u64::from(n)));
                    self.timer.after(
                        delay,
                        Due::Emit(Arc::clone(&message), stage, self.idle.busy()),
                    );
                }
            }
            Some(Fault::Fail { code }) => {
                self.emit(&message, Stage::Failed(code));
                return;
            }
            _ => self.emit(&message, stage),
        }
        let timing = &self.config.timing;
        let (next, delay) = match stage {
            Stage::Queued => (
                message.fail.map_or(Stage::Sent, Stage::Failed),
                timing.sent.unwrap_or(timing.delivered),
            ),
            Stage::Sent if !message.sent_only => (Stage::Delivered, timing.delivered),
            Stage::Delivered if timing.read.is_some() => {
                (Stage::Read, timing.read.unwrap_or(timing.delivered))
            }
            Stage::Read if message.voice => {
                (Stage::Played, timing.read.unwrap_or(timing.delivered))
            }
            _ => return,
        };
        self.timer.after(
            delay.draw(self.rng.share()),
            Due::Status(message, next, busy),
        );
    }

    /// Emits one status into the number's batch.
    pub(crate) fn emit(&self, message: &Arc<OutMessage>, stage: Stage) {
        self.ledger.status(&message.wamid, stage.name());
        if let Some(user) = &message.user {
            let (tick, error) = stage.tick();
            user.tick(&message.wamid, tick, error);
        }
        let config = &self.config.webhooks;
        let number = &message.number;
        let mut batch = lock(&number.batch);
        batch.items.push(Item {
            message: Arc::clone(message),
            stage,
            at: self.now_ms() / 1000,
        });
        if batch.items.len() >= number.wire().batch(config.batch_size) {
            drop(batch);
            self.flush(number);
        } else if batch.busy.is_none() {
            batch.busy = Some(self.idle.busy());
            drop(batch);
            self.timer
                .after(config.batch_delay, Due::Flush(Arc::clone(number)));
        }
    }

    /// Sends the statuses gathered for a number.
    pub(crate) fn flush(&self, number: &Arc<Number>) {
        let (items, busy) = {
            let mut batch = lock(&number.batch);
            (std::mem::take(&mut batch.items), batch.busy.take())
        };
        if items.is_empty() {
            return;
        }
        for items in items.chunks(number.wire().batch(self.config.webhooks.batch_size)) {
            self.send_statuses(number, items);
        }
        drop(busy);
    }

    fn send_statuses(&self, number: &Arc<Number>, items: &[Item]) {
        let Some(parcel) = number.wire().statuses(self, number, items) else {
            return;
        };
        let acks = items
            .iter()
            .filter(|i| i.message.first_status.is_some())
            .map(|i| Arc::clone(&i.message))
            .collect();
        let ids = if self.ledger.keeps() {
            items.iter().map(|i| Arc::clone(&i.message.wamid)).collect()
        } else {
            Vec::new()
        };
        let about = About {
            kind: Some(WebhookKind::Status),
            ids,
            acks,
        };
        self.send_webhook(number, parcel, about, std::time::Duration::ZERO);
    }
}
