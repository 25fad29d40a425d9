//! One attempt: build the request, call the provider, decide what follows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::Content;
use waxwing_core::delivery::{
    ATTEMPTS_MAX, PAIR_BACKOFF, SEND_DEADLINE, Verdict, backoff, verdict,
};
use waxwing_core::errors::{ErrorClass, ProviderError, SendOutcome, ThrottleScope};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::AttemptId;
use waxwing_core::message_template::{fold_language, parameters};
use waxwing_core::time::Timestamp;
use waxwing_providers::http::HttpClient;
use waxwing_providers::messaging::{BuildError, Endpoints, Outgoing, Recipient, adapter};
use waxwing_store::StoreError;
use waxwing_store::domain::queue::{Claimed, End, Record};
use waxwing_store::domain::{contacts, message_templates as store, messages};

use super::assets::{Asset, Remembered};
use super::pace::{Answer, Learned, Permit};
use super::record::Ended;
use crate::directory::{Channel, DirectoryHandle};
use crate::media::Files;
use crate::message_templates::{self, Fault};
use crate::{Base, callback, metrics};

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
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) assets: Remembered,
    pub(super) files: Files,
    pub(super) uploads: Arc<Semaphore>,
}

impl Sender {
    /// Sends a claimed message and says how that ended.
    pub(super) async fn send(
        &self,
        claimed: &Claimed,
        claimed_at: Instant,
        permit: Option<Permit>,
    ) -> Ended {
        let tried = match self.attempt(claimed, claimed_at).await {
            Ok(tried) => tried,
            Err(not_tried) => {
                return self.ended(claimed, not_tried.end(self.base.clock.now()), None);
            }
        };
        ::metrics::counter!(metrics::SEND_ATTEMPTS, "outcome" => outcome_word(&tried.outcome))
            .increment(1);
        if claimed.attempts > 1 {
            ::metrics::counter!(metrics::SEND_RETRIES).increment(1);
        }
        let (now, jitter) = (self.base.clock.now(), jitter(claimed.attempt_id));
        let answer = answer(&tried.outcome, claimed.attempts, now, jitter);
        let learned =
            permit.map_or_else(Learned::default, |permit| permit.ended(answer, now, jitter));
        let mut ended = self.judged(claimed, tried.judged(), &learned, now, jitter);
        ended.circuit = learned.circuit;
        ended
    }

    fn judged(
        &self,
        claimed: &Claimed,
        outcome: SendOutcome,
        learned: &Learned,
        now: Timestamp,
        jitter: f64,
    ) -> Ended {
        // While the provider works for nobody, no message has to answer for it.
        let excused = learned.rests_until > now && matches!(outcome, SendOutcome::Retry { .. });
        let attempts = if excused {
            claimed.attempts.min(ATTEMPTS_MAX - 1)
        } else {
            claimed.attempts
        };
        match verdict(&outcome, attempts, now, jitter) {
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
                let due_at = if pause_channel || excused {
                    at.max(learned.rests_until)
                } else {
                    at
                };
                self.ended(
                    claimed,
                    End::Retry {
                        due_at,
                        counts: counts && !excused,
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

    async fn attempt(&self, claimed: &Claimed, claimed_at: Instant) -> Result<Tried, NotTried> {
        let channel = self
            .directory
            .current()
            .channel(claimed.channel_id)
            .cloned()
            .ok_or(NotTried::NoChannel)?;
        let provider = adapter(channel.kind);
        let sends = channel.kind.sending_credential();
        if channel.account.credentials.get(sends).is_none() {
            return Err(NotTried::NoChannel);
        }
        let to = self.recipient(claimed)?;
        let reply_to = self.replied_to(claimed).await?;
        let data = callback::encode(&self.base.keyring, claimed.tenant_id, claimed.attempt_id);
        let content = self.content(&channel, claimed).await?;
        let prepared = match self.prepare(&channel, &content).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok((*outcome).into()),
        };
        let content = prepared
            .as_ref()
            .map_or(&*content, |prepared| &prepared.content);
        let asset = match provider.asset(&channel.account, &self.endpoints, content) {
            Ok(None) => None,
            Ok(Some(need)) => match self.resource(provider, &channel, need).await? {
                Ok(resource) => Some(resource),
                Err(outcome) => return Ok((*outcome).into()),
            },
            Err(error) => return Ok(refused(&error).into()),
        };
        let message = Outgoing {
            to: &to,
            content,
            reply_to: reply_to.as_ref(),
            callback: &data,
            asset: asset.as_ref().map(|asset| asset.reference.as_str()),
        };
        let request = match provider.build_send(&channel.account, &self.endpoints, message) {
            Ok(request) => request,
            Err(error) => return Ok(refused(&error).into()),
        };
        if claimed_at.elapsed() > CLAIM_FRESH {
            return Err(NotTried::Stale);
        }
        let started = Instant::now();
        let answer = self.client.call(request, SEND_DEADLINE).await;
        ::metrics::histogram!(metrics::PROVIDER_LATENCY, "provider" => channel.kind.as_str())
            .record(started.elapsed().as_secs_f64());
        let outcome = provider.interpret_send(&answer);
        let upload = prepared.and_then(|prepared| prepared.asset);
        let stale = self.forget_stale(&channel, &outcome, upload, asset).await;
        Ok(Tried { outcome, stale })
    }

    /// A refusal of a message that names something of ours at the provider may mean that it is gone there, so it is
    /// forgotten. `true` when the next attempt has a reason to fare better: when it was not made for this one.
    async fn forget_stale(
        &self,
        channel: &Channel,
        outcome: &SendOutcome,
        upload: Option<Asset>,
        resource: Option<Asset>,
    ) -> bool {
        let SendOutcome::Rejected(error) = outcome else {
            return false;
        };
        let upload =
            upload.filter(|_| matches!(error.class, ErrorClass::Media | ErrorClass::Permanent));
        let resource = resource.filter(|_| error.class == ErrorClass::Template);
        let mut was_known = false;
        for asset in upload.into_iter().chain(resource) {
            was_known |= !asset.is_new;
            self.forget_asset(channel, asset.key).await;
        }
        was_known
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

    /// What a refused send shows about its template.
    fn fault(&self, claimed: &Claimed, end: &End) -> Option<Fault> {
        let (End::Failed(error), Content::MessageTemplate { name, language, .. }) =
            (end, &claimed.content)
        else {
            return None;
        };
        let code = message_templates::fault_code(error)?;
        let directory = self.directory.current();
        let channel = directory.channel(claimed.channel_id)?;
        Some(Fault {
            tenant_id: claimed.tenant_id,
            channels: directory.siblings(channel),
            name: name.clone(),
            language: language.clone(),
            code: code.to_owned(),
            reason: error.message.clone(),
        })
    }

    /// The content as the provider takes it: Twilio knows a message template by the id of its resource only.
    async fn content<'c>(
        &self,
        channel: &Channel,
        claimed: &'c Claimed,
    ) -> Result<Cow<'c, Content>, NotTried> {
        let Content::MessageTemplate {
            name,
            language,
            components,
        } = &claimed.content
        else {
            return Ok(Cow::Borrowed(&claimed.content));
        };
        if channel.kind != ChannelKind::Twilio {
            return Ok(Cow::Borrowed(&claimed.content));
        }
        let channels = self.directory.current().siblings(channel);
        let (tenant, wanted) = (claimed.tenant_id, name.clone());
        let known = self
            .base
            .store
            .read(move |tx| store::by_name(tx, tenant, &channels, &wanted))
            .await?;
        let folded = fold_language(language);
        let record = known
            .into_iter()
            .find(|record| record.template.language == folded);
        Ok(match record {
            Some(record) if record.provider_id.is_some() => Cow::Owned(Content::MessageTemplate {
                name: record.provider_id.unwrap_or_default(),
                language: language.clone(),
                components: parameters::numbered(&record.template, components),
            }),
            _ => Cow::Borrowed(&claimed.content),
        })
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
            fault: self.fault(claimed, &record.end),
            record,
            stop_channel,
            circuit: None,
        }
    }
}

/// A message that cannot be put into a request of its provider, however often it is tried.
fn refused(error: &BuildError) -> SendOutcome {
    SendOutcome::Rejected(ProviderError::own(ErrorClass::Permanent, error.to_string()))
}

/// Why nothing was tried.
pub(super) enum NotTried {
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
    fn end(self, now: Timestamp) -> End {
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

/// An attempt that the provider was asked for, or that ended before for a reason of the message's own.
struct Tried {
    outcome: SendOutcome,
    /// It was refused over something of ours at the provider, which is made anew for the next attempt.
    stale: bool,
}

impl From<SendOutcome> for Tried {
    fn from(outcome: SendOutcome) -> Self {
        Self {
            outcome,
            stale: false,
        }
    }
}

impl Tried {
    /// What the message makes of it. The channel learns from the outcome itself: a refusal is an answer.
    fn judged(self) -> SendOutcome {
        match self.outcome {
            SendOutcome::Rejected(error) if self.stale => SendOutcome::Retry {
                after: Some(Duration::ZERO),
                attempts_max: None,
                error,
            },
            outcome => outcome,
        }
    }
}

/// What an outcome says about the speed.
fn answer(outcome: &SendOutcome, attempts: u32, now: Timestamp, jitter: f64) -> Answer {
    match outcome {
        SendOutcome::Accepted(_) => Answer::Accepted,
        SendOutcome::Rejected(_) | SendOutcome::ChannelBroken(_) => Answer::Answered,
        SendOutcome::Throttled {
            scope: ThrottleScope::Recipient,
            after,
            ..
        } => {
            let wait = after.unwrap_or_else(|| backoff(attempts, PAIR_BACKOFF, jitter));
            Answer::PairTooFast(now.plus(wait))
        }
        SendOutcome::Throttled { after, .. } => Answer::TooFast(*after),
        SendOutcome::Retry { .. } | SendOutcome::Unknown(_) => Answer::Failed,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_over_something_stale_is_tried_again_and_speaks_for_the_channel() {
        let tried = |stale| Tried {
            outcome: SendOutcome::Rejected(ProviderError::own(ErrorClass::Media, "gone")),
            stale,
        };
        let now = Timestamp::from_seconds(100);
        for stale in [false, true] {
            let said = answer(&tried(stale).outcome, 1, now, 0.5);
            assert_eq!(said, Answer::Answered, "no failure: it opens no circuit");
        }
        assert!(matches!(tried(false).judged(), SendOutcome::Rejected(_)));
        let again = verdict(&tried(true).judged(), 1, now, 0.5);
        assert!(matches!(again, Verdict::RetryAt { at, pause: None, .. } if at == now));
        let last = verdict(&tried(true).judged(), ATTEMPTS_MAX, now, 0.5);
        assert!(matches!(last, Verdict::Fail(_)));
    }
}
