//! Accounts and senders, and what a sender brings along as a provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::content::Contents;
use super::resource::{MediaRef, Messages, Resource};
use super::sign::{self, Algorithm};
use super::{TwilioNumber, hooks};
use crate::hub::Hub;
use crate::ids::{Rng, Way};
use crate::inbound::Act;
use crate::provider::{Attempts, Doom, Form, Outcome, Parcel, Post, Provider, Said, Verdict, Wire};
use crate::state::{Number, lock, read, write};
use crate::status::{Item, OutMessage, Stage};

/// A fresh sid: two letters and 32 hex digits.
pub(crate) fn sid(rng: &Rng, prefix: &str) -> String {
    format!("{prefix}{:016x}{:016x}", rng.next(), rng.next())
}

/// A Twilio account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) sid: String,
    keys: RwLock<Keys>,
    pub(crate) messages: Mutex<Messages>,
    pub(crate) contents: Mutex<Contents>,
}

#[derive(Default)]
struct Keys {
    token: String,
    api: HashMap<String, String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Account {
    fn admits(&self, user: &str, password: &str) -> bool {
        let keys = read(&self.keys);
        (user == self.sid && password == keys.token)
            || keys.api.get(user).is_some_and(|secret| secret == password)
    }
}

/// The accounts that the emulator knows.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_sid: RwLock<HashMap<String, Arc<Account>>>,
}

impl Accounts {
    pub(crate) fn get(&self, sid: &str) -> Option<Arc<Account>> {
        read(&self.by_sid).get(sid).cloned()
    }

    /// The account whose credentials a Basic header carries.
    pub(crate) fn authenticated(&self, authorization: &str) -> Option<Arc<Account>> {
        let coded = authorization.strip_prefix("Basic ")?;
        let plain = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
        let (user, password) = plain.split_once(':')?;
        read(&self.by_sid)
            .values()
            .find(|account| account.admits(user, password))
            .cloned()
    }

    /// The line of a sender; its account is created if it is the first of it.
    pub(crate) fn line(&self, config: TwilioNumber) -> TwilioLine {
        let account = {
            let mut accounts = write(&self.by_sid);
            let account = accounts
                .entry(config.account_sid.clone())
                .or_insert_with(|| {
                    Arc::new(Account {
                        sid: config.account_sid.clone(),
                        keys: RwLock::default(),
                        messages: Mutex::default(),
                        contents: Mutex::default(),
                    })
                });
            Arc::clone(account)
        };
        {
            let mut keys = write(&account.keys);
            keys.token.clone_from(&config.auth_token);
            keys.api.extend(config.api_keys.iter().cloned());
        }
        TwilioLine {
            address: config.id(),
            digits: crate::ids::digits(&config.sender),
            urls: RwLock::new(Urls {
                webhook: config.webhook_url.clone(),
                fallback: config.fallback_url.clone(),
                status: config.status_callback_url.clone(),
            }),
            config,
            account,
        }
    }
}

/// Addresses of a sender's webhooks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Urls {
    pub(crate) webhook: Option<String>,
    pub(crate) fallback: Option<String>,
    pub(crate) status: Option<String>,
}

/// What Twilio keeps about a sender.
#[derive(Debug)]
pub(crate) struct TwilioLine {
    pub(crate) config: TwilioNumber,
    pub(crate) account: Arc<Account>,
    /// `whatsapp:+…`
    pub(crate) address: String,
    digits: String,
    pub(crate) urls: RwLock<Urls>,
}

/// Overrides of how a webhook is tried, from the fragment of its address (twilio.md section 3).
#[derive(Debug, PartialEq, Eq)]
struct Overrides {
    retries: u32,
    read: Duration,
    total: Duration,
    on_4xx: bool,
    on_5xx: bool,
    on_connect: bool,
    on_read: bool,
}

fn overrides(url: &str) -> Overrides {
    let mut found = Overrides {
        retries: 1,
        read: Duration::from_secs(15),
        total: Duration::from_secs(15),
        on_4xx: false,
        on_5xx: false,
        on_connect: true,
        on_read: false,
    };
    let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
    for (name, value) in fragment.split('&').filter_map(|part| part.split_once('=')) {
        let number = value.parse::<u64>().ok();
        match (name, number) {
            ("rc", Some(n)) => found.retries = u32::try_from(n.min(5)).unwrap_or(5),
            ("rt", Some(n)) => found.read = Duration::from_millis(n.clamp(100, 15_000)),
            ("tt", Some(n)) => found.total = Duration::from_millis(n.clamp(100, 15_000)),
            ("rp", _) => {
                let named = |word| value.split(',').any(|part| part == word || part == "all");
                found.on_4xx = named("4xx");
                found.on_5xx = named("5xx");
                found.on_connect = named("ct");
                found.on_read = named("rt");
            }
            _ => {}
        }
    }
    found
}

impl Overrides {
    const fn covers(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Status(400..=499) => self.on_4xx,
            Outcome::Status(500..=599) => self.on_5xx,
            Outcome::Status(_) => false,
            Outcome::NoConnection => self.on_connect,
            Outcome::NoAnswer => self.on_read,
        }
    }
}

impl TwilioLine {
    /// Where a webhook goes: its own address, or the one for users' messages.
    fn target(&self, parcel: &Parcel) -> Option<String> {
        parcel
            .url
            .clone()
            .or_else(|| read(&self.urls).webhook.clone())
    }
}

impl Wire for TwilioLine {
    fn provider(&self) -> Provider {
        Provider::Twilio
    }

    fn display(&self) -> &str {
        &self.digits
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    fn set_webhook(&self, url: &str) {
        write(&self.urls).webhook = Some(url.to_owned());
    }

    fn message_id(&self, hub: &Hub, _user: &str, _way: Way, kind: &str) -> String {
        let media = matches!(
            kind,
            "image" | "audio" | "video" | "document" | "sticker" | "contacts"
        );
        sid(&hub.rng, if media { "MM" } else { "SM" })
    }

    fn media_id(&self, hub: &Hub) -> String {
        sid(&hub.rng, "ME")
    }

    fn fail_code(&self, doom: Doom) -> i64 {
        match doom {
            Doom::NotOnWhatsApp => 63024,
            Doom::OptedOut => 63033,
            Doom::WindowClosed => 63016,
        }
    }

    fn said(&self, hub: &Hub, said: &Said<'_>) {
        // Twilio makes no message of a reaction.
        if matches!(said.inbound.act, Act::Reaction { .. }) {
            return;
        }
        let media: Vec<MediaRef> = match &said.inbound.act {
            Act::Media { id, mime, more, .. } => std::iter::once((id, mime))
                .chain(more.iter().map(|(id, mime)| (id, mime)))
                .map(|(id, mime)| MediaRef {
                    sid: id.clone(),
                    content_type: mime.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        let now = hub.now_ms();
        lock(&self.account.messages).put(Resource {
            sid: said.id.to_owned(),
            inbound: true,
            from: Some(hooks::address(said.user)),
            to: self.address.clone(),
            body: hooks::body(said),
            service: None,
            num_media: media.len(),
            status: "received",
            error: None,
            created: now,
            updated: now,
            sent: Some(now),
            media,
            scheduled: None,
        });
    }

    fn message(&self, hub: &Hub, _number: &Number, said: &Said<'_>, form: Form) -> Option<Parcel> {
        hooks::message(hub, self, said, form)
    }

    fn reached(&self, message: &OutMessage, stage: Stage, now_ms: u64) -> bool {
        let mut messages = lock(&self.account.messages);
        let Some(resource) = messages.get_mut(&message.wamid) else {
            // Deleted: callbacks go on.
            return true;
        };
        if resource.status == "canceled" {
            return false;
        }
        resource.scheduled = None;
        resource.updated = now_ms;
        resource.from = Some(self.address.clone());
        if resource.sent.is_none() && stage != Stage::Queued {
            resource.sent = Some(now_ms);
        }
        if let Stage::Failed(code) = stage {
            resource.error = Some(code);
        }
        resource.status = hooks::status(stage);
        true
    }

    fn statuses(&self, hub: &Hub, _number: &Number, items: &[Item]) -> Option<Parcel> {
        let item = items.first()?;
        let url = match &item.message.status_url {
            Some(url) => url.to_string(),
            None => read(&self.urls).status.clone()?,
        };
        hooks::status_callback(hub, self, item, url)
    }

    fn post(&self, parcel: &Parcel) -> Option<Post> {
        let target = self.target(parcel)?;
        let rules = overrides(&target);
        let url = target.split('#').next().unwrap_or("").to_owned();
        let token;
        let (algorithm, secret) = match (&self.config.shared_key, parcel.wrong_signature) {
            (Some(_), true) => (Algorithm::Sha256, "not-the-secret-of-this-key"),
            (None, true) => (Algorithm::Sha1, "not-the-token-of-this-account"),
            (Some(key), false) => (Algorithm::Sha256, key.secret.as_str()),
            (None, false) => {
                token = read(&self.account.keys).token.clone();
                (Algorithm::Sha1, token.as_str())
            }
        };
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        headers.insert(USER_AGENT, HeaderValue::from_static("TwilioProxy/1.1"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(
            HeaderName::from_static("x-twilio-signature"),
            HeaderValue::try_from(sign::form(algorithm, secret, &url, &parcel.body)).ok()?,
        );
        if let Some(key) = &self.config.shared_key {
            headers.insert(
                HeaderName::from_static("x-twilio-webhooks-signature-settings"),
                HeaderValue::try_from(format!("key={},algorithm=HMAC_SHA256", key.id)).ok()?,
            );
        }
        headers.extend(parcel.headers.iter().cloned());
        Some(Post {
            url,
            headers,
            timeout: Some(rules.read.min(rules.total)),
        })
    }

    /// Retries as the fragment says, then the fallback address for users' messages (twilio.md section 3).
    fn verdict(&self, hub: &Hub, parcel: &Parcel, attempts: Attempts, outcome: Outcome) -> Verdict {
        if matches!(outcome, Outcome::Status(200..=299)) {
            return Verdict::Done;
        }
        let Some(target) = self.target(parcel) else {
            return Verdict::Over;
        };
        let rules = overrides(&target);
        let delay = hub.config.webhooks.retry_base;
        if attempts.before < rules.retries
            && rules.covers(outcome)
            && attempts.first.elapsed() + delay < rules.total
        {
            return Verdict::Again(delay);
        }
        let fallback = read(&self.urls).fallback.clone();
        match (&parcel.url, fallback) {
            (None, Some(url)) => {
                Verdict::Instead(Box::new(hooks::fallback(parcel, url, &target, outcome)))
            }
            _ => Verdict::Over,
        }
    }
}

impl TwilioLine {
    /// Whether this is the sender of an account with an address.
    pub(crate) fn is(&self, account: &Account, address: &str) -> bool {
        self.account.sid == account.sid && self.address == address
    }

    /// Whether a messaging service of the account sends with this number.
    pub(crate) fn serves(&self, account: &Account, service: &str) -> bool {
        self.account.sid == account.sid
            && self.config.messaging_service_sid.as_deref() == Some(service)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::overrides;
    use crate::provider::Outcome;

    #[test]
    fn reads_overrides_of_a_fragment() {
        let usual = overrides("https://a.example/w");
        assert_eq!(usual.retries, 1);
        assert!(usual.covers(Outcome::NoConnection));
        assert!(!usual.covers(Outcome::Status(500)) && !usual.covers(Outcome::NoAnswer));
        let all = overrides("https://a.example/w?x=1#rc=9&rp=all&rt=20000&tt=200");
        assert_eq!((all.retries, all.total), (5, Duration::from_millis(200)));
        assert_eq!(all.read, Duration::from_secs(15));
        for outcome in [
            Outcome::Status(404),
            Outcome::Status(503),
            Outcome::NoConnection,
            Outcome::NoAnswer,
        ] {
            assert!(all.covers(outcome), "{outcome:?}");
        }
        let some = overrides("https://a.example/w#rp=5xx,rt&rc=0");
        assert!(some.covers(Outcome::Status(502)) && some.covers(Outcome::NoAnswer));
        assert!(!some.covers(Outcome::Status(404)) && !some.covers(Outcome::NoConnection));
        assert_eq!(some.retries, 0);
    }
}
