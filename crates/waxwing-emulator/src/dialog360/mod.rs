//! 360dialog, which resells Meta's Cloud API: another address, another key, its own errors, webhooks without Meta's
//! signature (360dialog.md). Message bodies, checks and statuses are Meta's.

pub(crate) mod config;
pub(crate) mod errors;
pub(crate) mod guard;
pub(crate) mod hook;
pub(crate) mod listing;
pub(crate) mod route;
pub(crate) mod serve;
pub(crate) mod setting;

use std::sync::{Mutex, RwLock};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::answer::Answer;
use crate::config::{NumberConfig, User};
use crate::hub::Hub;
use crate::ids::Way;
use crate::inbound::Act;
use crate::meta::MetaLine;
use crate::meta::json::escaped;
use crate::provider::{
    Attempts, CallNews, Doom, Form, Outcome, Parcel, Post, Provider, Said, Verdict, Wire,
};
use crate::state::{Number, read, write};
use crate::status::Item;
use config::Dialog360Config;
use errors::OwnError;
use guard::MediaGuard;
use setting::WebhookSetting;

/// An answer must come within this time (360dialog.md section 4).
const PATIENCE: Duration = Duration::from_secs(5);

/// What 360dialog keeps about a number.
#[derive(Debug)]
pub(crate) struct Dialog360Line {
    pub(crate) config: Dialog360Config,
    /// The number as Meta knows it. Meta's own endpoints do not reach it.
    pub(crate) meta: MetaLine,
    pub(crate) setting: RwLock<WebhookSetting>,
    pub(crate) guard: Mutex<MediaGuard>,
    timeout: Duration,
}

impl Dialog360Line {
    pub(crate) fn new(hub: &Hub, config: Dialog360Config) -> Self {
        let number = NumberConfig {
            phone_number_id: config.phone_number_id.clone(),
            waba_id: config.waba_id.clone(),
            display_phone_number: config.display_phone_number.clone(),
            verified_name: config.verified_name.clone(),
            access_token: String::new(),
            app_secret: String::new(),
            webhook_url: None,
            verify_token: String::new(),
            subscribed: true,
        };
        Self {
            meta: hub.meta.line(number, &hub.rng),
            setting: RwLock::new(WebhookSetting::new(
                config.webhook_url.clone(),
                &config.webhook_headers,
            )),
            guard: Mutex::default(),
            timeout: PATIENCE.min(hub.config.webhooks.timeout),
            config,
        }
    }

    /// Meta's body in the form that this number's receiver gets; `None` for what the old hosts did not know.
    pub(crate) fn forward(&self, mut parcel: Parcel) -> Option<Parcel> {
        if self.config.legacy {
            let envelope: Value = serde_json::from_slice(&parcel.body).ok()?;
            parcel.body = escaped(hook::flatten(&envelope).first()?).into();
        }
        Some(parcel)
    }
}

impl Wire for Dialog360Line {
    fn provider(&self) -> Provider {
        Provider::Dialog360
    }

    fn display(&self) -> &str {
        self.meta.display()
    }

    fn name(&self) -> &str {
        self.meta.name()
    }

    fn set_webhook(&self, url: &str) {
        write(&self.setting).url = Some(url.to_owned());
    }

    fn batch(&self, wanted: usize) -> usize {
        self.meta.batch(wanted)
    }

    fn message_id(&self, hub: &Hub, user: &str, way: Way, kind: &str) -> String {
        self.meta.message_id(hub, user, way, kind)
    }

    fn fail_code(&self, doom: Doom) -> i64 {
        self.meta.fail_code(doom)
    }

    fn message(&self, hub: &Hub, number: &Number, said: &Said<'_>, form: Form) -> Option<Parcel> {
        let mut parcel = self.meta.message(hub, number, said, form)?;
        if matches!(said.inbound.act, Act::Media { .. }) {
            let mut envelope: Value = serde_json::from_slice(&parcel.body).ok()?;
            hook::move_media(&mut envelope);
            parcel.body = escaped(&envelope).into();
        }
        self.forward(parcel)
    }

    fn number_changed(&self, hub: &Hub, number: &Number, old: &str, user: &User) -> Option<Parcel> {
        self.forward(self.meta.number_changed(hub, number, old, user)?)
    }

    fn preference(&self, hub: &Hub, number: &Number, user: &User, stop: bool) -> Option<Parcel> {
        self.forward(self.meta.preference(hub, number, user, stop)?)
    }

    fn call(&self, hub: &Hub, number: &Number, user: &User, news: &CallNews<'_>) -> Option<Parcel> {
        if self.config.legacy {
            return None;
        }
        self.meta.call(hub, number, user, news)
    }

    fn statuses(&self, hub: &Hub, number: &Number, items: &[Item]) -> Option<Parcel> {
        self.forward(self.meta.statuses(hub, number, items)?)
    }

    fn own_error(&self, hub: &Hub, status: u16, text: &str) -> Answer {
        serve::own(hub, &OwnError::new(status, text))
    }

    fn post(&self, parcel: &Parcel) -> Option<Post> {
        let setting = read(&self.setting).clone();
        let url = parcel.url.clone().or(setting.url)?;
        let mut headers = HeaderMap::with_capacity(setting.headers.len() + 2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in setting.headers {
            let forged = HeaderValue::from_static("not-the-configured-value");
            let value = if parcel.wrong_signature {
                forged
            } else {
                value
            };
            headers.insert(name, value);
        }
        if let Some(secret) = &self.config.signature_secret {
            let secret = if parcel.wrong_signature {
                "not-the-secret-of-this-platform"
            } else {
                secret
            };
            let value = hook::signature(secret, self.config.signature_form, &parcel.body);
            headers.insert(
                HeaderName::from_static("x-360dialog-signature"),
                HeaderValue::try_from(value).ok()?,
            );
        }
        for (name, value) in &parcel.headers {
            headers.insert(name, value.clone());
        }
        Some(Post {
            url,
            headers,
            timeout: Some(self.timeout),
        })
    }

    /// Only 200 counts, everything else is repeated for days (360dialog.md section 4).
    fn verdict(
        &self,
        hub: &Hub,
        _parcel: &Parcel,
        attempts: Attempts,
        outcome: Outcome,
    ) -> Verdict {
        if outcome == Outcome::Status(200) {
            Verdict::Done
        } else {
            hub.backoff(attempts)
        }
    }
}
