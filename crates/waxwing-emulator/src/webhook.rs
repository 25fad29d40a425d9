//! Webhooks of all providers: queueing, delivering, retrying.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::WebhookConfig;
use crate::hub::Hub;
use crate::ledger::{Attempt, Ledger, WebhookKind, WebhookRecord};
use crate::provider::{Attempts, Outcome, Parcel, Post, Verdict};
use crate::state::{Number, lock};
use crate::status::OutMessage;
use crate::timer::{Busy, Due};

/// One webhook request on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: Arc<Number>,
    parcel: Parcel,
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

/// Builds a job. `None` when the provider delivers nothing for this number.
fn job(hub: &Hub, number: &Arc<Number>, parcel: Parcel, about: About) -> Option<Box<Job>> {
    if !number.wire().delivers() {
        return None;
    }
    let kind = about.kind.unwrap_or(WebhookKind::Other);
    let ids = about.ids;
    let record = hub.ledger.webhook(|| WebhookRecord {
        provider: number.provider(),
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
        parcel,
        record,
        attempt: 0,
        first: None,
        acks: about.acks,
        _busy: hub.idle.busy(),
    }))
}

impl Hub {
    /// Puts a webhook into the queue, at once or later.
    pub(crate) fn send_webhook(
        &self,
        number: &Arc<Number>,
        parcel: Parcel,
        about: About,
        delay: Duration,
    ) {
        if let Some(job) = job(self, number, parcel, about) {
            if delay.is_zero() {
                self.delivery.push(job, &self.ledger);
            } else {
                self.timer.after(delay, Due::Job(job));
            }
        }
    }
}

async fn deliver(hub: &Arc<Hub>, mut job: Box<Job>) {
    let first = *job.first.get_or_insert_with(Instant::now);
    let outcome = match job.number.wire().post(&job.parcel) {
        Some(post) => attempt(hub, &job.parcel, post).await,
        None => Outcome::NoConnection,
    };
    let attempts = Attempts {
        before: job.attempt,
        first,
    };
    let verdict = job
        .number
        .wire()
        .verdict(hub, &job.parcel, attempts, outcome);
    let result = match verdict {
        Verdict::Done => Attempt::Delivered,
        Verdict::Over => Attempt::GivenUp,
        Verdict::Again(_) | Verdict::Instead(_) => Attempt::Failed,
    };
    hub.ledger.attempt(job.record, outcome.status(), result);
    match verdict {
        Verdict::Done => {
            for message in &job.acks {
                message.first_status_arrived();
            }
        }
        Verdict::Over => {}
        Verdict::Again(delay) => {
            job.attempt += 1;
            hub.timer.after(delay, Due::Job(job));
        }
        Verdict::Instead(parcel) => {
            job.parcel = *parcel;
            job.attempt = 0;
            job.first = None;
            hub.delivery.push(job, &hub.ledger);
        }
    }
}

async fn attempt(hub: &Hub, parcel: &Parcel, post: Post) -> Outcome {
    let mut request = hub
        .delivery
        .client
        .post(post.url)
        .headers(post.headers)
        .body(parcel.body.clone());
    if let Some(timeout) = post.timeout {
        request = request.timeout(timeout);
    }
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() || error.is_builder() => return Outcome::NoConnection,
        Err(_) => return Outcome::NoAnswer,
    };
    let status = answer.status().as_u16();
    // The rest of a short answer is read so that the connection can be used again; a long one costs the connection.
    let mut left = 64 * 1024_usize;
    while let Ok(Some(chunk)) = answer.chunk().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
    Outcome::Status(status)
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
