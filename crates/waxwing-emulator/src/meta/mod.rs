//! Meta's Cloud API: the Graph endpoints, the accounts, and the webhooks.

pub(crate) mod errors;
pub(crate) mod graph;
pub(crate) mod hooks;
pub(crate) mod json;
pub(crate) mod send;
pub(crate) mod signup;
pub(crate) mod templates;
pub(crate) mod templates_create;
pub(crate) mod uploads;
pub(crate) mod validate;
pub(crate) mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use crate::config::{NumberConfig, User};
use crate::hub::Hub;
use crate::ids::{Rng, Way, wamid};
use crate::provider::{
    Attempts, CallNews, Doom, Form, Outcome, Parcel, Post, Provider, Said, Verdict, Wire,
};
use crate::state::{Number, read, write};
use crate::status::Item;
use templates::TemplateStore;

/// A WhatsApp Business Account.
#[derive(Debug)]
pub(crate) struct Waba {
    pub(crate) id: String,
    pub(crate) subscribed: AtomicBool,
    /// Callback that replaces the app's.
    pub(crate) callback: RwLock<Option<String>>,
    pub(crate) templates: Mutex<TemplateStore>,
}

/// The accounts that the emulator knows.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    wabas: RwLock<HashMap<String, Arc<Waba>>>,
    /// Resumable uploads.
    pub(crate) uploads: Mutex<uploads::Uploads>,
    /// Codes of Embedded Signup.
    pub(crate) codes: Mutex<signup::Codes>,
}

impl Accounts {
    pub(crate) fn waba(&self, id: &str) -> Option<Arc<Waba>> {
        read(&self.wabas).get(id).cloned()
    }

    pub(crate) fn wabas(&self) -> Vec<Arc<Waba>> {
        read(&self.wabas).values().cloned().collect()
    }

    /// The line of a number; its account is created if it is the first of it.
    pub(crate) fn line(&self, config: NumberConfig, rng: &Rng) -> MetaLine {
        let waba = {
            let mut wabas = write(&self.wabas);
            let waba = wabas.entry(config.waba_id.clone()).or_insert_with(|| {
                Arc::new(Waba {
                    id: config.waba_id.clone(),
                    subscribed: AtomicBool::new(config.subscribed),
                    callback: RwLock::new(None),
                    templates: Mutex::new(TemplateStore::with_hello_world(rng)),
                })
            });
            Arc::clone(waba)
        };
        MetaLine {
            app_callback: RwLock::new(config.webhook_url.clone()),
            callback: RwLock::new(None),
            registered: AtomicBool::new(true),
            pin: Mutex::new(None),
            signer: Signer::new(&config.app_secret),
            config,
            waba,
        }
    }
}

/// What Meta keeps about a number.
#[derive(Debug)]
pub(crate) struct MetaLine {
    pub(crate) config: NumberConfig,
    pub(crate) waba: Arc<Waba>,
    /// Callback of this number, first in precedence (meta.md section 2.5).
    pub(crate) callback: RwLock<Option<String>>,
    pub(crate) registered: AtomicBool,
    /// Its second factor: registering again takes the same one.
    pub(crate) pin: Mutex<Option<String>>,
    /// Callback of the app; settable after the number was added.
    app_callback: RwLock<Option<String>>,
    signer: Signer,
}

impl MetaLine {
    /// Where webhooks of this number go; `None` while no callback is known.
    pub(crate) fn target(&self, default_only: bool) -> Option<String> {
        if !default_only {
            if let Some(url) = read(&self.callback).clone() {
                return Some(url);
            }
            if let Some(url) = read(&self.waba.callback).clone() {
                return Some(url);
            }
        }
        read(&self.app_callback).clone()
    }
}

impl Wire for MetaLine {
    fn provider(&self) -> Provider {
        Provider::Meta
    }

    fn display(&self) -> &str {
        &self.config.display_phone_number
    }

    fn name(&self) -> &str {
        &self.config.verified_name
    }

    fn set_webhook(&self, url: &str) {
        *write(&self.app_callback) = Some(url.to_owned());
    }

    /// Meta delivers nothing unless the app is subscribed to the account.
    fn delivers(&self) -> bool {
        self.waba.subscribed.load(Ordering::Relaxed)
    }

    fn batch(&self, wanted: usize) -> usize {
        wanted.clamp(1, 1000)
    }

    fn message_id(&self, hub: &Hub, user: &str, way: Way, _kind: &str) -> String {
        wamid(user, way, hub.rng.next())
    }

    fn fail_code(&self, doom: Doom) -> i64 {
        match doom {
            Doom::NotOnWhatsApp => 131_026,
            Doom::OptedOut => 131_050,
            Doom::WindowClosed => 131_047,
        }
    }

    fn message(&self, hub: &Hub, number: &Number, said: &Said<'_>, form: Form) -> Option<Parcel> {
        Some(Parcel::new(hooks::message(hub, number, self, said, form)))
    }

    fn number_changed(&self, hub: &Hub, number: &Number, old: &str, user: &User) -> Option<Parcel> {
        Some(Parcel::new(hooks::number_changed(
            hub, number, self, old, user,
        )))
    }

    fn preference(&self, hub: &Hub, number: &Number, user: &User, stop: bool) -> Option<Parcel> {
        Some(Parcel::new(hooks::preference(
            hub, number, self, user, stop,
        )))
    }

    fn call(&self, hub: &Hub, number: &Number, user: &User, news: &CallNews<'_>) -> Option<Parcel> {
        Some(Parcel::new(hooks::call(hub, number, self, user, news)))
    }

    fn statuses(&self, _hub: &Hub, number: &Number, items: &[Item]) -> Option<Parcel> {
        Some(Parcel::new(hooks::statuses(number, self, items)))
    }

    fn post(&self, parcel: &Parcel) -> Option<Post> {
        let url = match &parcel.url {
            Some(url) => url.clone(),
            None => self.target(parcel.default_only)?,
        };
        let wrong = parcel
            .wrong_signature
            .then(|| Signer::new("not-the-secret-of-this-app"));
        let signer = wrong.as_ref().unwrap_or(&self.signer);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            ("x-hub-signature-256", signer.sha256(&parcel.body)),
            ("x-hub-signature", signer.sha1(&parcel.body)),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::try_from(value).ok()?,
            );
        }
        headers.extend(parcel.headers.iter().cloned());
        Some(Post {
            url,
            headers,
            timeout: None,
        })
    }

    /// Only 200 counts, everything else is repeated for days (meta.md section 2.4).
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

/// Keys of both signature headers.
#[derive(Debug)]
pub(crate) struct Signer {
    sha256: hmac::Key,
    sha1: hmac::Key,
}

impl Signer {
    pub(crate) fn new(secret: &str) -> Self {
        Self {
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            sha1: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes()),
        }
    }

    /// Value of `X-Hub-Signature-256`.
    pub(crate) fn sha256(&self, body: &[u8]) -> String {
        header("sha256=", &self.sha256, body)
    }

    /// Value of the older `X-Hub-Signature`, which Meta still sends beside the other.
    fn sha1(&self, body: &[u8]) -> String {
        header("sha1=", &self.sha1, body)
    }
}

fn header(prefix: &str, key: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(key, body);
    let mut value = String::with_capacity(prefix.len() + tag.as_ref().len() * 2);
    value.push_str(prefix);
    value.push_str(&hex::encode(tag.as_ref()));
    value
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::Signer;

    #[test]
    fn signs_as_the_vectors_say() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../fixtures/signatures.json")).unwrap();
        let default = vectors["appSecret"].as_str().unwrap();
        let mut seen = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let (Some(header), true) = (case["header"].as_str(), case["valid"].as_bool().unwrap())
            else {
                continue;
            };
            let body = STANDARD
                .decode(case["bodyBase64"].as_str().unwrap())
                .unwrap();
            let secrets = case["secrets"].as_array().map_or_else(
                || vec![default],
                |list| list.iter().map(|s| s.as_str().unwrap()).collect(),
            );
            let ours: Vec<String> = secrets
                .iter()
                .map(|s| Signer::new(s).sha256(&body))
                .collect();
            assert!(
                ours.iter().any(|o| o.eq_ignore_ascii_case(header)),
                "{}",
                case["name"]
            );
            seen += 1;
        }
        assert!(seen >= 5, "{seen}");
    }
}
