//! Starting, steering and stopping an emulator.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::{EmulatorConfig, User};
use crate::faults::FaultScript;
use crate::hub::Hub;
use crate::ledger::{Ledger, WebhookKind};
use crate::meta::hooks::Envelope;
use crate::meta::json::escaped;
use crate::meta::signup::Signup;
use crate::msg91::Msg91Line;
use crate::phone::Phone;
use crate::provider::{Parcel, Registration};
use crate::state::lock;
use crate::timer::Timer;
use crate::webhook::{About, Delivery, handshake};

/// A running emulator. Dropping it ends everything it does, as [`Emulator::stop`] does.
pub struct Emulator {
    hub: Arc<Hub>,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(config: EmulatorConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let workers = config.webhooks.concurrency.max(1);
        let hub = Arc::new(Hub::new(config)?);
        // The lock is fresh, so this cannot fail.
        let _ = hub.base_url.set(format!("http://{address}"));
        let mut tasks = JoinSet::new();
        tasks.spawn(crate::server::run(Arc::clone(&hub), listener));
        tasks.spawn(Timer::run(Arc::clone(&hub)));
        for _ in 0..workers {
            tasks.spawn(Delivery::work(Arc::clone(&hub)));
        }
        Ok(Self {
            hub,
            address,
            tasks,
        })
    }

    /// Base address, to be used as `META_GRAPH_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.hub.url().to_owned()
    }

    /// Address of the listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the phone page.
    #[must_use]
    pub fn phone_url(&self) -> String {
        format!("{}/phone", self.hub.url())
    }

    /// Ends all connections, deliveries and timers, and waits until they have ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Adds a business number of any provider, or replaces the one with the same id. An account is created with its first
    /// number.
    pub fn add_number(&self, number: impl Into<Registration>) {
        self.hub.add_number(number.into());
    }

    /// Sets where the webhooks of a number go, for servers that start after the emulator. With Meta this is the app's
    /// callback.
    pub fn set_webhook_url(&self, number_id: &str, url: &str) {
        if let Some(number) = self.hub.number(number_id) {
            number.wire().set_webhook(url);
        }
    }

    /// Performs Meta's verification handshake with the number's callback (meta.md section 2.1).
    ///
    /// # Errors
    /// A sentence saying what the callback did wrong.
    pub async fn verify_webhook(&self, phone_number_id: &str) -> Result<(), String> {
        let number = self
            .hub
            .number(phone_number_id)
            .ok_or("the number is not known")?;
        let line = number
            .meta()
            .ok_or("only Meta verifies callbacks with a handshake")?;
        let url = line.target(false).ok_or("the number has no callback")?;
        let challenge = self.hub.rng.next() % 10_000_000_000;
        handshake(
            self.hub.delivery.client(),
            &url,
            &line.config.verify_token,
            challenge,
        )
        .await
    }

    /// A business goes through Meta's window of Embedded Signup with a number; `None` when it is not Meta's.
    #[must_use]
    pub fn sign_up(&self, phone_number_id: &str) -> Option<Signup> {
        self.hub.sign_up(phone_number_id)
    }

    /// Gives a number a PIN, as it has one that was used before.
    pub fn set_pin(&self, phone_number_id: &str, pin: &str) {
        let number = self.hub.number(phone_number_id);
        if let Some(line) = number.as_ref().and_then(|number| number.meta()) {
            *lock(&line.pin) = Some(pin.to_owned());
        }
    }

    /// The phone of a user in the chat with a number; `None` when the number is unknown or has its most users.
    #[must_use]
    pub fn phone(&self, phone_number_id: &str, user: User) -> Option<Phone> {
        let number = self.hub.number(phone_number_id)?;
        let user = number.add_user(&user, self.hub.config.max_users)?;
        Some(Phone::new(Arc::clone(&self.hub), number, user))
    }

    /// What was accepted and delivered.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.hub.ledger.clone()
    }

    /// Replaces the faults in force; the counts start again.
    pub fn set_faults(&self, script: FaultScript) {
        self.hub.set_faults(script);
    }

    /// Waits until no status, webhook or review is on the way; tells whether that happened before the deadline.
    pub async fn webhooks_idle(&self, deadline: Duration) -> bool {
        tokio::time::timeout(deadline, self.hub.idle.silence())
            .await
            .is_ok()
    }

    /// Posts any bytes to a number's callback, signed with its secret, with the usual retries.
    pub fn deliver(&self, phone_number_id: &str, body: &[u8]) {
        if let Some(number) = self.hub.number(phone_number_id) {
            let about = About {
                kind: Some(WebhookKind::Other),
                ..About::default()
            };
            self.hub
                .send_webhook(&number, Parcel::new(body.to_vec()), about, Duration::ZERO);
        }
    }

    /// Posts a value under a field name in Meta's envelope and escaping, for numbers of Meta and 360dialog.
    pub fn deliver_change(&self, phone_number_id: &str, field: &str, value: &Value) {
        if let Some(number) = self.hub.number(phone_number_id)
            && let Some(line) = number.cloud()
            && let Some(parcel) =
                number.forward(Parcel::new(escaped(&Envelope::new(line, field, value))))
        {
            self.hub
                .send_webhook(&number, parcel, About::default(), Duration::ZERO);
        }
    }

    /// Whether MSG91 paused the webhooks of a number because its receiver failed too often; false with other providers.
    #[must_use]
    pub fn webhooks_paused(&self, number_id: &str) -> bool {
        let number = self.hub.number(number_id);
        number.is_some_and(|n| n.msg91().is_some_and(Msg91Line::is_paused))
    }

    /// Ends such a pause, as a customer does in the panel. What happened meanwhile is lost.
    pub fn resume_webhooks(&self, number_id: &str) {
        if let Some(number) = self.hub.number(number_id)
            && let Some(line) = number.msg91()
        {
            line.resume();
        }
    }

    /// Creates a template without waiting for a review. The request is the one of Meta's API; the account of a number at
    /// MSG91 has the number as its id.
    ///
    /// # Errors
    /// The message that the API would answer.
    pub fn add_template(&self, waba_id: &str, request: &Value) -> Result<String, String> {
        let waba = self
            .hub
            .meta
            .waba(waba_id)
            .ok_or("the account is not known")?;
        let mut store = lock(&waba.templates);
        let created = store.create(request, &self.hub.rng);
        let (id, _) = created.map_err(|e| {
            e.user
                .map_or_else(|| e.message.into_owned(), |u| u.1.into_owned())
        })?;
        store.set_status(&id, "APPROVED");
        drop(store);
        Ok(id)
    }

    /// Changes the status of a template (`PAUSED`, `DISABLED`, `APPROVED`, …) and posts the webhook for it.
    pub fn set_template_status(&self, waba_id: &str, template_id: &str, status: &str) {
        let Some(waba) = self.hub.meta.waba(waba_id) else {
            return;
        };
        let mut extra = Map::new();
        if status == "PAUSED" {
            let text = "Template was paused for 3 hours because quality issues.";
            extra.insert(
                "other_info".into(),
                json!({ "title": "FIRST_PAUSE", "description": text }),
            );
        }
        self.hub
            .template_event(&waba, template_id, status, json!("NONE"), extra);
    }

    /// Keeps a media file under an id of the caller's choice; false when there is no room.
    pub fn add_media(&self, id: &str, mime: &str, bytes: impl Into<bytes::Bytes>) -> bool {
        lock(&self.hub.media).put(id, mime, bytes.into())
    }

    /// Creates a content resource of a Twilio account (twilio.md section 7) from a request of the Content API; gives its
    /// sid. Approval is a matter of [`Emulator::set_content_status`].
    ///
    /// # Errors
    /// When the account is not known or the API would refuse the request.
    pub fn add_content(&self, account_sid: &str, request: &Value) -> Result<String, String> {
        let account = self
            .hub
            .twilio
            .get(account_sid)
            .ok_or("the account is not known")?;
        let content = self
            .hub
            .create_content(&account, request)
            .map_err(|error| format!("refused with code {}", error.code))?;
        Ok(content.sid)
    }

    /// Sets the approval of a content resource (`approved`, `rejected`, `paused`, `disabled`, …); false when it is not known.
    pub fn set_content_status(&self, account_sid: &str, sid: &str, status: &str) -> bool {
        self.hub
            .twilio
            .get(account_sid)
            .is_some_and(|account| self.hub.set_content_status(&account, sid, status))
    }
}
