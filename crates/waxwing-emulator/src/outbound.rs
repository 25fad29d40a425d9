//! Messages of businesses, in the words of all providers: fate, acceptance, and the wait before the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::answer::{Abort, Answer};
use crate::config::SendSeen;
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::Way;
use crate::ledger::SendRecord;
use crate::provider::Doom;
use crate::shown::ShownMessage;
use crate::state::{Number, Reach, UserState, lock, read};
use crate::status::OutMessage;

/// Whom a request addresses.
pub(crate) struct Recipient<'a> {
    /// As given.
    pub(crate) input: &'a str,
    /// Digits of the phone.
    pub(crate) wa_id: Option<String>,
    /// Business-scoped user id.
    pub(crate) user_id: Option<String>,
    pub(crate) group: bool,
    /// Accepted and dropped without a status.
    pub(crate) swallowed: bool,
}

impl Recipient<'_> {
    /// The names that rules of a fault script may use.
    pub(crate) fn keys(&self) -> [&str; 2] {
        [
            self.wa_id.as_deref().unwrap_or(self.input),
            self.user_id.as_deref().unwrap_or(""),
        ]
    }
}

/// A send that passed the provider's checks.
pub(crate) struct Draft<'a> {
    pub(crate) to: &'a Recipient<'a>,
    pub(crate) user: Option<Arc<UserState>>,
    /// Kind of message, in the words of Meta's API: `text`, `image`, `interactive`, `template`, ….
    pub(crate) kind: &'static str,
    /// Visible text, for ledgers and observers.
    pub(crate) text: &'a str,
    /// What the sender wants back in statuses.
    pub(crate) callback_data: Option<&'a str>,
    /// Address of this message's statuses.
    pub(crate) status_url: Option<&'a str>,
    /// Category of the price: `service`, `utility`, `marketing`, `authentication`, ….
    pub(crate) category: &'static str,
    /// Whether it needs an open customer service window.
    pub(crate) free_form: bool,
    pub(crate) voice: bool,
    /// No stage follows `sent`.
    pub(crate) sent_only: bool,
    /// `queued` is told before `sent`.
    pub(crate) queued_first: bool,
    /// How long the provider keeps it back.
    pub(crate) later: Duration,
}

impl Hub {
    /// The fault for an event, if the script has one.
    pub(crate) fn fault(
        &self,
        on: FaultPoint,
        number: &Number,
        users: &[&str],
        kind: &str,
    ) -> Option<Fault> {
        let faults = self.faults();
        if faults.is_empty() {
            return None;
        }
        faults.pick(on, number.provider(), users, kind).cloned()
    }

    /// Why an accepted message will fail, if the emulator knows a reason.
    fn doom(&self, draft: &Draft<'_>) -> Option<Doom> {
        let window = self.config.checks.window && draft.free_form;
        let Some(user) = draft.user.as_deref() else {
            return window.then_some(Doom::WindowClosed);
        };
        let inner = lock(&user.inner);
        if inner.reach == Reach::NotOnWhatsApp {
            return Some(Doom::NotOnWhatsApp);
        }
        if draft.category == "marketing" && inner.opted_out {
            return Some(Doom::OptedOut);
        }
        (window && inner.window_until < self.now_ms()).then_some(Doom::WindowClosed)
    }

    /// The accepted message with all that its statuses will need.
    pub(crate) fn out_message(
        &self,
        number: &Arc<Number>,
        draft: &Draft<'_>,
        fault: Option<&Fault>,
    ) -> Arc<OutMessage> {
        let to = draft.to;
        let known = draft.user.as_ref().map(|u| read(&u.user).clone());
        let user_id = to.user_id.clone().or_else(|| known.and_then(|u| u.user_id));
        let wire = number.wire();
        let key = to
            .wa_id
            .as_deref()
            .or(to.user_id.as_deref())
            .unwrap_or_else(|| wire.display());
        let fail = match fault {
            Some(Fault::Fail { code }) => Some(*code),
            _ => self.doom(draft).map(|doom| wire.fail_code(doom)),
        };
        let window_open = draft
            .user
            .as_ref()
            .is_some_and(|u| lock(&u.inner).window_until >= self.now_ms());
        let free = draft.category == "service" || (draft.category == "utility" && window_open);
        Arc::new(OutMessage {
            wamid: wire.message_id(self, key, Way::Outbound, draft.kind).into(),
            number: Arc::clone(number),
            recipient_id: to
                .wa_id
                .as_deref()
                .or(to.group.then_some(to.input))
                .map(Into::into),
            recipient_user_id: user_id.as_deref().map(Into::into),
            group: to.group,
            user: draft.user.clone(),
            callback_data: draft.callback_data.map(Into::into),
            status_url: draft.status_url.map(Into::into),
            category: draft.category,
            pricing: if free {
                "free_customer_service"
            } else {
                "regular"
            },
            voice: draft.voice,
            sent_only: draft.sent_only,
            queued_first: draft.queued_first,
            fail,
            first_status: matches!(fault, Some(Fault::StatusFirst)).then(Notify::new),
        })
    }

    /// Accepts a message: ledger, thread, statuses. `show` fills the bubble, for users who have a phone.
    pub(crate) fn accept(
        &self,
        message: &Arc<OutMessage>,
        draft: &Draft<'_>,
        fault: Option<&Fault>,
        show: impl FnOnce(&mut ShownMessage),
    ) {
        self.record(message, draft);
        if let Some(user) = &draft.user {
            let mut shown =
                ShownMessage::new(&message.wamid, true, draft.kind, self.now_ms() / 1000);
            show(&mut shown);
            user.show(shown, self.config.thread_length);
        }
        let delay = match fault {
            Some(Fault::StatusFirst) => Duration::ZERO,
            Some(Fault::Held { ms }) => Duration::from_millis(*ms),
            _ => self.config.answer_delay,
        };
        if !draft.to.swallowed && !matches!(fault, Some(Fault::Swallow)) {
            self.start_statuses(message, delay + draft.later);
        }
    }

    fn record(&self, message: &OutMessage, draft: &Draft<'_>) {
        let to = message
            .recipient_id
            .as_deref()
            .or(message.recipient_user_id.as_deref())
            .unwrap_or(draft.to.input);
        let at = std::time::Instant::now();
        if let Some(observer) = &self.config.observer {
            observer(&SendSeen {
                provider: message.number.provider(),
                phone_number_id: message.number.id(),
                wamid: &message.wamid,
                to,
                kind: draft.kind,
                text: draft.text,
                callback_data: message.callback_data.as_deref(),
                at,
            });
        }
        self.ledger.accept(|| SendRecord {
            provider: message.number.provider(),
            phone_number_id: Arc::clone(&message.number.shared_id),
            wamid: Arc::clone(&message.wamid),
            to: to.into(),
            kind: draft.kind,
            body: draft.text.into(),
            callback_data: message.callback_data.clone(),
            answered: false,
            at,
            statuses: Vec::new(),
        });
    }

    /// Waits as long as the answer has to, then makes it: `body` is what a complete answer says, `plain` wraps it.
    pub(crate) async fn answer(
        &self,
        message: &OutMessage,
        fault: Option<&Fault>,
        body: Vec<u8>,
        plain: impl Fn(Vec<u8>) -> Answer,
    ) -> Result<Answer, Abort> {
        let delay = match fault {
            Some(Fault::Delay { ms }) => Duration::from_millis(*ms),
            _ => self.config.answer_delay,
        };
        if let Some(first) = &message.first_status {
            // Capped so that a receiver that is down cannot block its own sends for ever.
            let _ = tokio::time::timeout(Duration::from_secs(5), first.notified()).await;
        } else if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = crate::answer::accepted(body, fault, plain);
        // Whether the bytes arrive is out of our hands; every fault that keeps the id from the sender counts as unanswered.
        if fault.is_none_or(Fault::answers) && answer.is_ok() {
            self.ledger.answer(&message.wamid);
        }
        answer
    }
}
