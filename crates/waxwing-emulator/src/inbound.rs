//! Messages and events of users, in the words of all providers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::{Referral, User};
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::Way;
use crate::ledger::WebhookKind;
use crate::provider::{CallNews, Form, Parcel, Said};
use crate::shown::{ShownMedia, ShownMessage, Tick};
use crate::state::{Number, UserState, lock, read};
use crate::webhook::About;

/// What a user does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Text(String),
    /// A tap on a button; `template` for the quick reply of a template.
    Tap {
        id: String,
        title: String,
        template: bool,
    },
    /// A row of a list.
    Pick {
        id: String,
        title: String,
        description: Option<String>,
    },
    /// A file in the media store.
    Media {
        kind: String,
        id: String,
        mime: String,
        caption: Option<String>,
        /// Id and type of further files; only Twilio has room for them.
        more: Vec<(String, String)>,
    },
    Location {
        latitude: f64,
        longitude: f64,
        name: Option<String>,
        address: Option<String>,
    },
    /// An empty emoji takes the reaction back.
    Reaction {
        message: String,
        emoji: String,
    },
    /// Anything, in the provider's own words.
    Raw {
        kind: String,
        fields: Map<String, Value>,
        text: String,
    },
}

/// A message of a user, before it becomes a webhook.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    pub(crate) act: Act,
    /// Message that it answers.
    pub(crate) reply_to: Option<String>,
    /// The advertisement that it came from.
    pub(crate) referral: Option<Referral>,
}

impl Inbound {
    pub(crate) const fn new(act: Act) -> Self {
        Self {
            act,
            reply_to: None,
            referral: None,
        }
    }

    pub(crate) fn to(mut self, message: &str) -> Self {
        self.reply_to = Some(message.to_owned());
        self
    }

    /// Message type in the words of Meta's API, by which scripts pick messages of every provider.
    pub(crate) fn kind(&self) -> &str {
        match &self.act {
            Act::Text(_) => "text",
            Act::Tap { template: true, .. } => "button",
            Act::Tap { .. } | Act::Pick { .. } => "interactive",
            Act::Location { .. } => "location",
            Act::Reaction { .. } => "reaction",
            Act::Media { kind, .. } | Act::Raw { kind, .. } => kind,
        }
    }

    /// The file in the user's own bubble.
    fn media(&self) -> Option<ShownMedia> {
        match &self.act {
            Act::Media { kind, id, .. } => Some(ShownMedia {
                kind: kind.clone(),
                id: Some(id.clone()),
                link: None,
                filename: None,
            }),
            _ => None,
        }
    }

    /// Text for the user's own bubble.
    pub(crate) fn text(&self) -> String {
        match &self.act {
            Act::Text(text) | Act::Raw { text, .. } => text.clone(),
            Act::Tap { title, .. } | Act::Pick { title, .. } => title.clone(),
            Act::Media { caption, .. } => caption.clone().unwrap_or_default(),
            Act::Reaction { emoji, .. } => emoji.clone(),
            Act::Location {
                latitude,
                longitude,
                name,
                ..
            } => name
                .clone()
                .unwrap_or_else(|| format!("{latitude}, {longitude}")),
        }
    }
}

const DAY_MS: u64 = 86_400_000;

/// Which messages open the customer service window; the list is our reading of meta.md section 17.
fn opens_window(kind: &str) -> bool {
    !matches!(kind, "system" | "reaction" | "edit" | "revoke")
}

impl Hub {
    /// Posts a message of a user and shows it in the thread; returns its id.
    pub(crate) fn receive(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        inbound: Inbound,
    ) -> String {
        let mut user = read(&state.user).clone();
        let keys: Vec<&str> = [&user.wa_id, &user.user_id]
            .into_iter()
            .filter_map(|key| key.as_deref())
            .collect();
        let fault = self.fault(FaultPoint::Webhook, number, &keys, inbound.kind());
        match &fault {
            Some(Fault::NumberChange { to }) => {
                self.change_phone(number, state, to, None);
                user = read(&state.user).clone();
            }
            Some(Fault::WithoutPhone) if user.user_id.is_some() => user.wa_id = None,
            _ => {}
        }
        let now = self.now_ms();
        let key = user
            .wa_id
            .as_deref()
            .or(user.user_id.as_deref())
            .unwrap_or("");
        let id = number
            .wire()
            .message_id(self, key, Way::Inbound, inbound.kind());
        if opens_window(inbound.kind()) {
            lock(&state.inner).window_until = now + DAY_MS;
        }
        let mut shown = ShownMessage::new(&id, false, inbound.kind(), now / 1000);
        shown.text = inbound.text();
        shown.media = inbound.media();
        shown.reply_to.clone_from(&inbound.reply_to);
        shown.tick = Tick::Delivered;
        state.show(shown, self.config.thread_length);
        let said = Said {
            id: &id,
            user: &user,
            at: now / 1000,
            inbound: &inbound,
        };
        number.wire().said(self, &said);
        self.post_message(number, &said, fault.as_ref());
        id
    }

    fn post_message(&self, number: &Arc<Number>, said: &Said<'_>, fault: Option<&Fault>) {
        let post = |form: Form, delay: Duration, wrong: bool| {
            if let Some(mut parcel) = number.wire().message(self, number, said, form) {
                parcel.wrong_signature = wrong;
                let about = About {
                    kind: Some(WebhookKind::Message),
                    ids: vec![said.id.into()],
                    ..About::default()
                };
                self.send_webhook(number, parcel, about, delay);
            }
        };
        let mut delay = Duration::ZERO;
        match fault {
            Some(Fault::Drop) => return,
            Some(Fault::Delay { ms }) => delay = Duration::from_millis(*ms),
            Some(Fault::Ghost { after_ms }) => {
                post(Form::Ghost, Duration::ZERO, false);
                delay = Duration::from_millis(*after_ms);
            }
            Some(Fault::Duplicate {
                times,
                after_ms,
                other_envelope,
            }) => {
                for n in 1..=*times {
                    let form = if *other_envelope {
                        Form::Copy(n)
                    } else {
                        Form::Plain
                    };
                    let after = Duration::from_millis(after_ms.saturating_mul(u64::from(n)));
                    post(form, after, false);
                }
            }
            _ => {}
        }
        post(
            Form::Plain,
            delay,
            matches!(fault, Some(Fault::WrongSignature)),
        );
    }

    /// Moves a user to another number and tells the business, if the provider does.
    pub(crate) fn change_phone(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        new: &str,
        user_id: Option<&str>,
    ) {
        let old = number.change_phone(state, new).unwrap_or_default();
        if let Some(user_id) = user_id {
            number.change_user_id(state, user_id);
        }
        let user: User = read(&state.user).clone();
        let told = User {
            // Only a new id is told.
            user_id: user_id.map(str::to_owned),
            ..user
        };
        if let Some(parcel) = number.wire().number_changed(self, number, &old, &told) {
            let about = About {
                kind: Some(WebhookKind::Message),
                ..About::default()
            };
            self.send_webhook(number, parcel, about, Duration::ZERO);
        }
    }

    /// Tells the business of a call; false when the provider has none.
    pub(crate) fn call(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        news: &CallNews<'_>,
    ) -> bool {
        let user = read(&state.user).clone();
        if news.by_user {
            let until = self.now_ms() + 24 * 3_600_000;
            let mut inner = lock(&state.inner);
            inner.window_until = inner.window_until.max(until);
        }
        let Some(parcel) = number.wire().call(self, number, &user, news) else {
            return false;
        };
        self.send_webhook(number, parcel, About::default(), Duration::ZERO);
        true
    }

    /// A user wants no more marketing, or wants it again.
    pub(crate) fn marketing_preference(
        &self,
        number: &Arc<Number>,
        state: &Arc<UserState>,
        stop: bool,
    ) {
        lock(&state.inner).opted_out = stop;
        let user = read(&state.user).clone();
        let told: Option<Parcel> = number.wire().preference(self, number, &user, stop);
        if let Some(parcel) = told {
            self.send_webhook(number, parcel, About::default(), Duration::ZERO);
        }
    }
}
