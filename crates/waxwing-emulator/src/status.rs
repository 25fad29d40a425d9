//! The life of an accepted message: sent, delivered, read, or failed, and the webhooks that tell it.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Notify;

use crate::errors::WebhookError;
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ledger::WebhookKind;
use crate::shown::Tick;
use crate::state::{Number, Reach, UserState, lock, read};
use crate::timer::{Busy, Due};
use crate::webhook::{About, job};

/// One step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Sent,
    Delivered,
    Read,
    Played,
    Failed(i64),
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed(_) => "failed",
        }
    }

    const fn tick(self) -> (Tick, Option<i64>) {
        match self {
            Self::Sent => (Tick::Sent, None),
            Self::Delivered => (Tick::Delivered, None),
            Self::Read => (Tick::Read, None),
            Self::Played => (Tick::Played, None),
            Self::Failed(code) => (Tick::Failed, Some(code)),
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
    pub(crate) category: &'static str,
    /// `regular` or `free_customer_service`.
    pub(crate) pricing: &'static str,
    pub(crate) voice: bool,
    /// Reactions produce `sent` only (meta.md section 6).
    pub(crate) sent_only: bool,
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

#[derive(Debug)]
struct Item {
    message: Arc<OutMessage>,
    stage: Stage,
    at: u64,
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
        let stage = message.fail.map_or(Stage::Sent, Stage::Failed);
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
        let faults = self.faults();
        let fault = if faults.is_empty() {
            None
        } else {
            faults.pick(FaultPoint::Status, &message.user_keys(), stage.name())
        };
        match fault {
            Some(Fault::Drop) => {}
            Some(Fault::Delay { ms }) => {
                let delay = std::time::Duration::from_millis(*ms);
                self.timer.after(
                    delay,
                    Due::Emit(Arc::clone(&message), stage, self.idle.busy()),
                );
            }
            Some(Fault::Duplicate {
                times, after_ms, ..
            }) => {
                self.emit(&message, stage);
                for n in 1..=*times {
                    let delay =
                        std::time::Duration::from_millis(after_ms.saturating_mul(u64::from(n)));
                    self.timer.after(
                        delay,
                        Due::Emit(Arc::clone(&message), stage, self.idle.busy()),
                    );
                }
            }
            Some(Fault::Fail { code }) => {
                self.emit(&message, Stage::Failed(*code));
                return;
            }
            _ => self.emit(&message, stage),
        }
        let timing = &self.config.timing;
        let (next, delay) = match stage {
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
        if batch.items.len() >= config.batch_size.clamp(1, 1000) {
            drop(batch);
            self.flush(number);
        } else if batch.busy.is_none() {
            batch.busy = Some(self.idle.busy());
            drop(batch);
            self.timer
                .after(config.batch_delay, Due::Flush(Arc::clone(number)));
        }
    }

    /// Sends the statuses gathered for a number as one webhook.
    pub(crate) fn flush(&self, number: &Arc<Number>) {
        let (items, busy) = {
            let mut batch = lock(&number.batch);
            (std::mem::take(&mut batch.items), batch.busy.take())
        };
        if items.is_empty() {
            return;
        }
        let body = body(number, &items);
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
            ..About::default()
        };
        if let Some(job) = job(self, number, body, about) {
            self.delivery.push(job, &self.ledger);
        }
        drop(busy);
    }
}

fn body(number: &Number, items: &[Item]) -> Vec<u8> {
    // Statuses of known users carry a contact since the business-scoped ids came; it is left out of batches, whose items
    // have to be joined by id anyway.
    let contact = match items {
        [Item { message, .. }] => message.user.as_ref().map(|user| read(&user.user).clone()),
        _ => None,
    };
    let contact = contact.filter(|user| user.user_id.is_some());
    let errors: Vec<Option<[WebhookError; 1]>> = items
        .iter()
        .map(|item| match item.stage {
            Stage::Failed(code) => Some([WebhookError::of(code)]),
            _ => None,
        })
        .collect();
    let times: Vec<String> = items.iter().map(|item| item.at.to_string()).collect();
    let statuses = items
        .iter()
        .zip(&errors)
        .zip(&times)
        .map(|((item, errors), at)| {
            let message = &item.message;
            let priced = matches!(item.stage, Stage::Sent | Stage::Delivered);
            WireStatus {
                id: &message.wamid,
                status: item.stage.name(),
                timestamp: at,
                recipient_id: message.recipient_id.as_deref(),
                recipient_type: message.group.then_some("group"),
                recipient_user_id: message.recipient_user_id.as_deref(),
                pricing: priced.then_some(WirePricing {
                    billable: message.pricing == "regular",
                    pricing_model: "PMP",
                    kind: message.pricing,
                    category: message.category,
                }),
                errors: errors.as_ref(),
                biz_opaque_callback_data: message.callback_data.as_deref(),
            }
        });
    let contacts = contact.as_ref().map(|user| {
        [WireContact {
            profile: WireProfile {
                name: &user.name,
                username: user.username.as_deref(),
            },
            wa_id: user.wa_id.as_deref(),
            user_id: user.user_id.as_deref(),
        }]
    });
    crate::json::escaped(&Envelope::new(
        number,
        "messages",
        Value {
            messaging_product: "whatsapp",
            metadata: Metadata::of(number),
            contacts,
            statuses: statuses.collect(),
        },
    ))
}

/// The outer form of every webhook (meta.md section 3).
#[derive(Serialize)]
pub(crate) struct Envelope<'a, V> {
    object: &'static str,
    entry: [Entry<'a, V>; 1],
}

#[derive(Serialize)]
struct Entry<'a, V> {
    id: &'a str,
    changes: [Change<'a, V>; 1],
}

#[derive(Serialize)]
struct Change<'a, V> {
    value: V,
    field: &'a str,
}

impl<'a, V> Envelope<'a, V> {
    pub(crate) fn new(number: &'a Number, field: &'a str, value: V) -> Self {
        Self {
            object: "whatsapp_business_account",
            entry: [Entry {
                id: &number.config.waba_id,
                changes: [Change { value, field }],
            }],
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Metadata<'a> {
    display_phone_number: &'a str,
    phone_number_id: &'a str,
}

impl<'a> Metadata<'a> {
    pub(crate) fn of(number: &'a Number) -> Self {
        Self {
            display_phone_number: &number.config.display_phone_number,
            phone_number_id: number.id(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WireContact<'a> {
    pub(crate) profile: WireProfile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct WireProfile<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<&'a str>,
}

#[derive(Serialize)]
struct Value<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[WireContact<'a>; 1]>,
    statuses: Vec<WireStatus<'a>>,
}

#[derive(Serialize)]
struct WireStatus<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<WirePricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [WebhookError; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
}

#[derive(Serialize)]
struct WirePricing {
    billable: bool,
    pricing_model: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'static str,
}
