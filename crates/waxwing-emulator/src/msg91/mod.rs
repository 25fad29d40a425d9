//! MSG91: WhatsApp behind an API of its own (msg91.md). The least documented of the providers: where a choice was ours,
//! the place says so.

pub(crate) mod answers;
pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod listing;
pub(crate) mod log;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod time;
pub(crate) mod wire;

use std::collections::HashMap;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::answer::Answer;
use crate::config::NumberConfig;
use crate::hub::Hub;
use crate::ids::Way;
use crate::inbound::Act;
use crate::meta::MetaLine;
use crate::meta::errors::WebhookError;
use crate::provider::{Attempts, Doom, Form, Outcome, Parcel, Post, Provider, Said, Verdict, Wire};
use crate::state::{Number, lock, read, write};
use crate::status::{Item, OutMessage, Stage};
use answers::Refusal;
use config::{Msg91Config, Msg91Form};
use health::{Health, Minute};
use hooks::{Encoded, InboundEvent};
use log::Log;

/// An answer must come within about this time (msg91.md section 4, from one source).
const PATIENCE: Duration = Duration::from_secs(8);
/// Life of a media address (msg91.md section 4, from one source).
const MEDIA_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Price of a template in reports, as recorded.
const PRICE: &str = "0.115";

/// The calls of each key in the current minute. Only keys of known numbers are counted.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<String, Minute>>);

impl Keys {
    /// Takes one call of a key; false above the limit.
    pub(crate) fn take(&self, key: &str, limit: Option<u32>, now_ms: u64) -> bool {
        limit.is_none_or(|limit| {
            let mut keys = lock(&self.0);
            keys.entry(key.to_owned()).or_default().take(limit, now_ms)
        })
    }
}

/// What MSG91 keeps about a number.
#[derive(Debug)]
pub(crate) struct Msg91Line {
    pub(crate) config: Msg91Config,
    /// The number as Meta knows it. Meta's own endpoints do not reach it.
    pub(crate) meta: MetaLine,
    pub(crate) log: Mutex<Log>,
    url: RwLock<Option<String>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    health: Mutex<Health>,
    timeout: Duration,
}

impl Msg91Line {
    pub(crate) fn new(hub: &Hub, config: Msg91Config) -> Self {
        let number = NumberConfig {
            phone_number_id: config.integrated_number.clone(),
            waba_id: config.integrated_number.clone(),
            display_phone_number: config.integrated_number.clone(),
            verified_name: config.verified_name.clone(),
            access_token: String::new(),
            app_secret: String::new(),
            webhook_url: None,
            verify_token: String::new(),
            subscribed: true,
        };
        Self {
            meta: hub.meta.line(number, &hub.rng),
            log: Mutex::default(),
            url: RwLock::new(config.webhook_url.clone()),
            headers: hooks::headers(&config),
            health: Mutex::default(),
            timeout: PATIENCE.min(hub.config.webhooks.timeout),
            config,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.health).is_paused()
    }

    pub(crate) fn resume(&self) {
        *lock(&self.health) = Health::default();
    }

    /// A webhook of these fields.
    pub(crate) fn parcel(&self, fields: hooks::Fields, form: Msg91Form) -> Parcel {
        let Encoded { content_type, body } = hooks::encode(&self.config, fields, form);
        let kind = HeaderValue::from_static(content_type);
        Parcel {
            headers: vec![(CONTENT_TYPE, kind)],
            ..Parcel::new(body)
        }
    }

    /// Address and file name of a file that a user sent. The address needs no key.
    fn media(&self, hub: &Hub, act: &Act) -> Option<(String, String)> {
        let Act::Media { id, mime, .. } = act else {
            return None;
        };
        let life = match hub.config.media_url_life.is_zero() {
            true => Duration::ZERO,
            false => MEDIA_LIFE,
        };
        let (hash, _) = hub.media_secret(id, life)?;
        let name = format!("{id}.{}", extension(mime));
        let number = &self.config.integrated_number;
        let url = format!("{}/whatsapp/{number}/{hash}/{name}", hub.url());
        Some((url, name))
    }
}

/// File name extension of a type.
fn extension(mime: &str) -> &str {
    let base = mime.split(';').next().unwrap_or("").trim();
    match base {
        "image/jpeg" => "jpg",
        "audio/mpeg" => "mp3",
        "text/plain" => "txt",
        other => other
            .rsplit('/')
            .next()
            .filter(|e| e.len() <= 8 && e.bytes().all(|b| b.is_ascii_alphanumeric()))
            .unwrap_or("bin"),
    }
}

impl Wire for Msg91Line {
    fn provider(&self) -> Provider {
        Provider::Msg91
    }

    fn display(&self) -> &str {
        &self.config.integrated_number
    }

    fn name(&self) -> &str {
        &self.config.verified_name
    }

    fn set_webhook(&self, url: &str) {
        *write(&self.url) = Some(url.to_owned());
        self.resume();
    }

    fn delivers(&self) -> bool {
        read(&self.url).is_some() && !self.is_paused()
    }

    /// Message ids are WhatsApp's own.
    fn message_id(&self, hub: &Hub, user: &str, way: Way, kind: &str) -> String {
        self.meta.message_id(hub, user, way, kind)
    }

    /// Codes are Meta's, inside the reason.
    fn fail_code(&self, doom: Doom) -> i64 {
        self.meta.fail_code(doom)
    }

    fn message(&self, hub: &Hub, _number: &Number, said: &Said<'_>, form: Form) -> Option<Parcel> {
        let form = match (form, self.config.form) {
            (Form::Ghost, _) => return None,
            (Form::Plain, form) => form,
            (Form::Copy(_), Msg91Form::Object) => Msg91Form::Array,
            (Form::Copy(_), _) => Msg91Form::Object,
        };
        let mut message = crate::meta::hooks::build(hub, &self.meta, said);
        if let Some(media) = message
            .get_mut(said.inbound.kind())
            .and_then(Value::as_object_mut)
            && matches!(said.inbound.act, Act::Media { .. })
        {
            // The address is a field of its own.
            media.remove("url");
        }
        let event = InboundEvent {
            customer: said.user.wa_id.as_deref().unwrap_or(""),
            name: &said.user.name,
            message: &message,
            media: self.media(hub, &said.inbound.act),
            at: said.at,
        };
        Some(self.parcel(hooks::inbound(&self.config, &event), form))
    }

    fn reached(&self, message: &OutMessage, stage: Stage, now_ms: u64) -> bool {
        lock(&self.log).reached(&message.wamid, stage, now_ms / 1000);
        true
    }

    fn statuses(&self, _hub: &Hub, _number: &Number, items: &[Item]) -> Option<Parcel> {
        let item = items.first()?;
        let reason = match item.stage {
            // WhatsApp's word for a voice message that was listened to is not among MSG91's.
            Stage::Played => return None,
            Stage::Failed(code) => reason(code),
            _ => String::new(),
        };
        let message = &item.message;
        let price = if message.pricing == "regular" {
            PRICE
        } else {
            "0"
        };
        let log = lock(&self.log);
        let entry = log.get(&message.wamid)?;
        let fields = hooks::report(
            &self.config,
            &entry.sent_message(),
            item.stage.name(),
            &reason,
            price,
            item.at,
        );
        drop(log);
        Some(self.parcel(fields, self.config.form))
    }

    fn own_error(&self, _hub: &Hub, status: u16, text: &str) -> Answer {
        let refusal = match status {
            200 => Refusal::Text(text.to_owned()),
            _ => Refusal::Status(status, text.to_owned()),
        };
        serve::refused(&refusal)
    }

    fn post(&self, parcel: &Parcel) -> Option<Post> {
        if self.is_paused() {
            return None;
        }
        let url = parcel.url.clone().or_else(|| read(&self.url).clone())?;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 1);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &self.headers {
            let forged = HeaderValue::from_static("not-the-configured-value");
            let value = if parcel.wrong_signature {
                forged
            } else {
                value.clone()
            };
            headers.insert(name, value);
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

    /// Five retries, then the end; a receiver that fails too often gets nothing more.
    fn verdict(
        &self,
        hub: &Hub,
        _parcel: &Parcel,
        attempts: Attempts,
        outcome: Outcome,
    ) -> Verdict {
        let good = matches!(outcome, Outcome::Status(200..=299));
        if self.config.pausing {
            let mut health = lock(&self.health);
            if health.is_paused() {
                return Verdict::Over;
            }
            health.note(good);
        }
        if good {
            return Verdict::Done;
        }
        let first = hub.config.webhooks.retry_base;
        health::retry(first, attempts.before + 1).map_or(Verdict::Over, Verdict::Again)
    }
}

/// The reason of a failure: Meta's code and title.
pub(crate) fn reason(code: i64) -> String {
    format!("{code}: {}", WebhookError::of(code).title)
}
