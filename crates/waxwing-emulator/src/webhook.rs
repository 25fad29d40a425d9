//! Signed webhooks: building, queueing, delivering, retrying.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::WebhookConfig;
use crate::hub::Hub;
use crate::ledger::{Ledger, WebhookKind, WebhookRecord};
use crate::state::{Number, lock};
use crate::status::OutMessage;
use crate::timer::{Busy, Due};

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

/// One webhook request on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: Arc<Number>,
    /// Template and account events go to the app's own callback, whatever overrides exist (meta.md section 2.5).
    pub(crate) default_only: bool,
    pub(crate) body: Bytes,
    sha256: HeaderValue,
    sha1: HeaderValue,
    record: u64,
    attempt: u32,
    first: Option<Instant>,
    /// Messages whose sender waits for the first status to arrive.
    acks: Vec<Arc<OutMessage>>,
    _busy: Busy,
}

/// What a webhook is about, for the ledger and for senders that wait.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) kind: Option<WebhookKind>,
    pub(crate) ids: Vec<Arc<str>>,
    pub(crate) acks: Vec<Arc<OutMessage>>,
    pub(crate) default_only: bool,
    pub(crate) wrong_signature: bool,
}

/// The queue of ready webhooks.
pub(crate) struct Delivery {
    client: reqwest::Client,
    queue: Mutex<VecDeque<Box<Job>>>,
    ready: Semaphore,
    config: WebhookConfig,
}

impl Delivery {
    pub(crate) fn new(config: WebhookConfig) -> std::io::Result<Self> {
        // Loopback needs no certificates: https callbacks find no trusted root and fail.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(config.concurrency.max(1))
            .timeout(config.timeout)
            .user_agent("facebookexternalua")
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self {
            client,
            queue: Mutex::default(),
            ready: Semaphore::new(0),
            config,
        })
    }

    pub(crate) const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Puts a job into the queue; at the limit it is dropped and counted.
    pub(crate) fn push(&self, job: Box<Job>, ledger: &Ledger) {
        let mut queue = lock(&self.queue);
        if queue.len() >= self.config.queue {
            drop(queue);
            ledger.overflow();
            return;
        }
        queue.push_back(job);
        drop(queue);
        self.ready.add_permits(1);
    }

    /// One of the workers; runs for ever.
    pub(crate) async fn work(hub: Arc<Hub>) {
        loop {
            match hub.delivery.ready.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return,
            }
            let job = lock(&hub.delivery.queue).pop_front();
            if let Some(job) = job {
                deliver(&hub, job).await;
            }
        }
    }
}

/// Builds a job. `None` when the app is not subscribed to the account: then Meta delivers nothing.
pub(crate) fn job(
    hub: &Hub,
    number: &Arc<Number>,
    body: Vec<u8>,
    about: About,
) -> Option<Box<Job>> {
    if !number.is_subscribed() {
        return None;
    }
    let wrong = about
        .wrong_signature
        .then(|| Signer::new("not-the-secret-of-this-app"));
    let signer = wrong.as_ref().unwrap_or(&number.signer);
    let value = |text: String| HeaderValue::try_from(text).ok();
    let kind = about.kind.unwrap_or(WebhookKind::Other);
    let ids = about.ids;
    let record = hub.ledger.webhook(|| WebhookRecord {
        phone_number_id: Arc::clone(&number.shared_id),
        kind,
        ids: ids.into(),
        attempts: 0,
        delivered: false,
        given_up: false,
        last_status: None,
        at: std::time::Instant::now(),
    });
    Some(Box::new(Job {
        number: Arc::clone(number),
        default_only: about.default_only,
        sha256: value(signer.sha256(&body))?,
        sha1: value(signer.sha1(&body))?,
        body: body.into(),
        record,
        attempt: 0,
        first: None,
        acks: about.acks,
        _busy: hub.idle.busy(),
    }))
}

async fn deliver(hub: &Arc<Hub>, mut job: Box<Job>) {
    let now = Instant::now();
    let first = *job.first.get_or_insert(now);
    let status = match job.number.target(job.default_only) {
        Some(url) => post(hub, &job, &url).await,
        None => None,
    };
    if status == Some(200) {
        hub.ledger.attempt(job.record, status, false);
        for message in &job.acks {
            message.first_status_arrived();
        }
        return;
    }
    let config = &hub.config.webhooks;
    let step = 2_u32.saturating_pow(job.attempt.min(20));
    let delay = config
        .retry_base
        .saturating_mul(step)
        .min(config.retry_max)
        .mul_f64(0.8 + hub.rng.share() * 0.4);
    let given_up = first.elapsed() + delay > config.retry_for;
    hub.ledger.attempt(job.record, status, given_up);
    if !given_up {
        job.attempt += 1;
        hub.timer.after(delay, Due::Job(job));
    }
}

async fn post(hub: &Hub, job: &Job, url: &str) -> Option<u16> {
    let request = hub
        .delivery
        .client
        .post(url)
        .header(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )
        .header("x-hub-signature-256", job.sha256.clone())
        .header("x-hub-signature", job.sha1.clone())
        .body(job.body.clone());
    let mut answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    // The rest of a short answer is read so that the connection can be used again; a long one costs the connection.
    let mut left = 64 * 1024_usize;
    while let Ok(Some(chunk)) = answer.chunk().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
    Some(status)
}

/// Performs the verification handshake as Meta does when a callback is saved (meta.md section 2.1).
pub(crate) async fn handshake(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    challenge: u64,
) -> Result<(), String> {
    let challenge = challenge.to_string();
    let mut target =
        reqwest::Url::parse(url).map_err(|_| "the callback is not a URL".to_owned())?;
    target
        .query_pairs_mut()
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", &challenge)
        .append_pair("hub.verify_token", token);
    let request = client.get(target).timeout(Duration::from_secs(10));
    let answer = request
        .send()
        .await
        .map_err(|_| "the callback could not be reached".to_owned())?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("the callback answered {status} in place of 200"));
    }
    let body = answer
        .text()
        .await
        .map_err(|_| "the callback's answer broke off".to_owned())?;
    if body == challenge {
        Ok(())
    } else {
        Err("the callback did not return the challenge".into())
    }
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
            serde_json::from_str(include_str!("../fixtures/signatures.json")).unwrap();
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
