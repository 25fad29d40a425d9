//! One attempt: build the request, call the provider, decide what follows.

use std::time::{Duration, Instant};

use waxwing_core::delivery::{SEND_DEADLINE, Verdict, verdict};
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::AttemptId;
use waxwing_providers::http::HttpClient;
use waxwing_providers::messaging::meta::{self, ChannelConfig, Recipient};
use waxwing_store::StoreError;
use waxwing_store::domain::queue::{Claimed, End, Record};
use waxwing_store::domain::{contacts, messages};

use super::record::Ended;
use crate::directory::DirectoryHandle;
use crate::{Base, callback, metrics};

/// Where and how the Graph API is reached.
#[derive(Debug, Clone)]
pub struct GraphApi {
    /// Scheme, host and port.
    pub url: String,
    /// The version in the path.
    pub version: String,
}

/// A claim this old is not sent any more: the process was stopped in between, and another one may have taken over.
const CLAIM_FRESH: Duration = Duration::from_secs(10);
/// How long a message waits that cannot even be tried (its channel is not in the directory yet).
const NOT_NOW: Duration = Duration::from_secs(5);

/// What attempts need.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) base: Base,
    pub(super) directory: DirectoryHandle,
    pub(super) client: HttpClient,
    pub(super) graph: GraphApi,
}

impl Sender {
    /// Sends a claimed message and says how that ended.
    pub(super) async fn send(&self, claimed: &Claimed, claimed_at: Instant) -> Ended {
        let outcome = match self.attempt(claimed, claimed_at).await {
            Ok(outcome) => outcome,
            Err(not_tried) => {
                return self.ended(claimed, not_tried.end(self.base.clock.now()), None);
            }
        };
        ::metrics::counter!(metrics::SEND_ATTEMPTS, "outcome" => outcome_word(&outcome))
            .increment(1);
        if claimed.attempts > 1 {
            ::metrics::counter!(metrics::SEND_RETRIES).increment(1);
        }
        let now = self.base.clock.now();
        match verdict(&outcome, claimed.attempts, now, jitter(claimed.attempt_id)) {
            Verdict::Sent => {
                let provider_id = match outcome {
                    SendOutcome::Accepted(accepted) => accepted.provider_id,
                    _ => None,
                };
                self.ended(claimed, End::Sent { provider_id }, None)
            }
            Verdict::RetryAt {
                at,
                counts,
                error,
                pause,
            } => {
                let pause_channel = pause.is_some_and(|scope| scope != ThrottleScope::Recipient);
                self.ended(
                    claimed,
                    End::Retry {
                        due_at: at,
                        counts,
                        error,
                        pause_channel,
                    },
                    None,
                )
            }
            Verdict::Fail(error) => {
                ::metrics::counter!(metrics::SEND_FAILURES, "class" => error.class.as_str())
                    .increment(1);
                self.ended(claimed, End::Failed(error), None)
            }
            Verdict::StopChannel(error) => {
                tracing::error!(
                    channel = %claimed.channel_id,
                    tenant = %claimed.tenant_id,
                    class = error.class.as_str(),
                    code = error.code.as_deref().unwrap_or("none"),
                    "the provider refuses the channel; it stops until somebody mends it"
                );
                let end = End::Retry {
                    due_at: now,
                    counts: false,
                    error: error.clone(),
                    pause_channel: false,
                };
                self.ended(claimed, end, Some(error))
            }
            Verdict::Unknown(error) => {
                ::metrics::counter!(metrics::UNKNOWN_OUTCOMES).increment(1);
                self.ended(claimed, End::Unknown(error), None)
            }
        }
    }

    async fn attempt(
        &self,
        claimed: &Claimed,
        claimed_at: Instant,
    ) -> Result<SendOutcome, NotTried> {
        let channel = self
            .directory
            .current()
            .channel(claimed.channel_id)
            .cloned()
            .ok_or(NotTried::NoChannel)?;
        let token = channel.access_token.clone().ok_or(NotTried::NoChannel)?;
        let config = ChannelConfig {
            phone_number_id: channel.sender_id.clone(),
            access_token: token,
            graph_url: self.graph.url.clone(),
            api_version: self.graph.version.clone(),
        };
        let to = self.recipient(claimed)?;
        let reply_to = self.replied_to(claimed).await?;
        let data = callback::encode(&self.base.keyring, claimed.tenant_id, claimed.attempt_id);
        let request =
            match meta::build_send(&config, &to, &claimed.content, reply_to.as_ref(), &data) {
                Ok(request) => request,
                Err(error) => {
                    let error = ProviderError::own(ErrorClass::Permanent, error.to_string());
                    return Ok(SendOutcome::Rejected(error));
                }
            };
        if claimed_at.elapsed() > CLAIM_FRESH {
            return Err(NotTried::Stale);
        }
        let started = Instant::now();
        let answer = self.client.call(request, SEND_DEADLINE).await;
        ::metrics::histogram!(metrics::PROVIDER_LATENCY, "provider" => channel.kind.as_str())
            .record(started.elapsed().as_secs_f64());
        Ok(meta::interpret_send(&answer))
    }

    /// The phone where there is one: authentication templates need it, and it works everywhere else too.
    fn recipient(&self, claimed: &Claimed) -> Result<Recipient, NotTried> {
        let (keyring, tenant, id) = (&self.base.keyring, claimed.tenant_id, claimed.contact_id);
        if let Some(phone) =
            contacts::open_phone(keyring, tenant, id, claimed.phone_sealed.as_deref())?
        {
            return Ok(Recipient::Phone(phone));
        }
        let user = contacts::open_user_id(keyring, tenant, id, claimed.user_id_sealed.as_deref())?;
        user.map(Recipient::UserId).ok_or(NotTried::NoAddress)
    }

    async fn replied_to(&self, claimed: &Claimed) -> Result<Option<ProviderMessageId>, NotTried> {
        let Some(message) = claimed.reply_to else {
            return Ok(None);
        };
        let (keyring, tenant) = (self.base.keyring.clone(), claimed.tenant_id);
        Ok(self
            .base
            .store
            .read(move |tx| messages::provider_id(tx, &keyring, tenant, message))
            .await?)
    }

    fn ended(&self, claimed: &Claimed, end: End, stop_channel: Option<ProviderError>) -> Ended {
        let record = Record {
            tenant_id: claimed.tenant_id,
            message_id: claimed.message_id,
            conversation_id: claimed.conversation_id,
            channel_id: claimed.channel_id,
            attempt_id: claimed.attempt_id,
            end,
        };
        Ended {
            record,
            stop_channel,
        }
    }
}

/// Why nothing was tried.
enum NotTried {
    /// The channel is not in the directory or has no token.
    NoChannel,
    /// The contact has neither phone nor user id.
    NoAddress,
    /// Too long since the claim.
    Stale,
    /// The database did not answer.
    Store(StoreError),
}

impl From<StoreError> for NotTried {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl NotTried {
    fn end(self, now: waxwing_core::time::Timestamp) -> End {
        let again = |after, message: &str| End::Retry {
            due_at: now.plus(after),
            counts: false,
            error: ProviderError::own(ErrorClass::Retry, message),
            pause_channel: false,
        };
        match self {
            Self::NoChannel => again(
                NOT_NOW,
                "the channel has no access token or is being set up",
            ),
            Self::Stale => again(
                Duration::ZERO,
                "the process was stopped before it could send",
            ),
            Self::Store(StoreError::Corrupt { what }) => {
                End::Failed(ProviderError::own(ErrorClass::Permanent, what))
            }
            Self::Store(_) => again(NOT_NOW, "the database did not answer"),
            Self::NoAddress => End::Failed(ProviderError::own(
                ErrorClass::NotReachable,
                "the contact has neither a phone number nor a user id",
            )),
        }
    }
}

const fn outcome_word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted(_) => "accepted",
        SendOutcome::Throttled { .. } => "throttled",
        SendOutcome::Retry { .. } => "retry",
        SendOutcome::Rejected(_) => "rejected",
        SendOutcome::ChannelBroken(_) => "channel_broken",
        SendOutcome::Unknown(_) => "unknown",
    }
}

/// A number in `0.0..1.0` from the random part of the attempt's id, so that messages that failed together do not come
/// back together.
fn jitter(attempt: AttemptId) -> f64 {
    let [.., high, low] = *attempt.uuid().as_bytes();
    f64::from(u16::from_be_bytes([high, low])) / 65_536.0
}
