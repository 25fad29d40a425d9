//! Dead letters, dealt with by hand: retry what failed.

use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::{DeadLetterId, TenantId, WebhookEventId};
use waxwing_store::StoreError;
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::inbox::PARTITIONS;
use waxwing_store::domain::queue::Hint;
use waxwing_store::domain::{dead_letters, inbox, queue};

use crate::Base;
use crate::deliver::DeliverySignal;
use crate::ingest::InboxSignal;

/// What a retry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// The message waits in the queue again.
    Message(Hint),
    /// The webhook request that held the item is handled again; what took effect before is protected by its marks.
    WebhookItem,
    /// There is nothing left to retry: the message was settled in between, or the request has been deleted.
    Nothing,
}

/// Retries dead letters. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    base: Base,
    delivery: DeliverySignal,
    inbox: InboxSignal,
}

impl DeadLetters {
    /// A retrier of dead letters.
    #[must_use]
    pub fn new(base: Base, delivery: DeliverySignal, inbox: InboxSignal) -> Self {
        Self {
            base,
            delivery,
            inbox,
        }
    }

    /// Retries one. `None` when the tenant has no open dead letter of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn retry(
        &self,
        tenant: TenantId,
        id: DeadLetterId,
        trail: Trail,
    ) -> Result<Option<Retried>, StoreError> {
        let clock = self.base.clock.clone();
        let retried = self
            .base
            .store
            .write(move |tx| {
                let now = clock.now();
                let Some(about) = dead_letters::resolve(tx, tenant, id, "retried by hand", now)?
                else {
                    return Ok(None);
                };
                let object = Object::one("dead_letter", id);
                trail.record(tx, &object, &Change::untold())?;
                let retried = match (about.message_id, about.webhook_event_id) {
                    (Some(message), _) => {
                        queue::retry_by_hand(tx, tenant, message, now)?.map(Retried::Message)
                    }
                    (None, Some(event)) => {
                        inbox::requeue(tx, event)?.then_some(Retried::WebhookItem)
                    }
                    (None, None) => None,
                };
                Ok(Some(retried.unwrap_or(Retried::Nothing)))
            })
            .await?;
        match retried {
            Some(Retried::Message(hint)) => self.delivery.hint(&[hint]),
            Some(Retried::WebhookItem) => self.inbox.wake((1 << PARTITIONS) - 1),
            Some(Retried::Nothing) | None => {}
        }
        Ok(retried)
    }

    /// Handles a webhook request once more that was kept aside. `false` when there is none of this id or it waits
    /// already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn requeue_event(
        &self,
        id: WebhookEventId,
        trail: Trail,
    ) -> Result<bool, StoreError> {
        let requeued = self
            .base
            .store
            .write(move |tx| {
                let requeued = inbox::requeue(tx, id)?;
                if requeued {
                    let object = Object::one("webhook_event", id);
                    trail.record(tx, &object, &Change::untold())?;
                }
                Ok(requeued)
            })
            .await?;
        if requeued {
            self.inbox.wake((1 << PARTITIONS) - 1);
        }
        Ok(requeued)
    }
}
