//! Erasure of people and of tenants: begun by a call, done in steps by one node at a time.

use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::audit::{Actor, Change, Deed, Object};
use waxwing_core::ids::{AuditEntryId, ContactId, NodeId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_store::domain::audit::{Book, Trail};
use waxwing_store::domain::erasure::{self, Reason, Step};
use waxwing_store::domain::nodes;
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::{StoreError, Tx};

use crate::Base;
use crate::lease::JobLease;

/// The lease of the job.
const LEASE: &str = "erasure";
/// How long the lease is taken for; one step is far shorter.
const LEASE_TIME: Duration = Duration::from_secs(30);
/// How often the job looks for work.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes away what names a contact; the rest follows within a minute. `None` when there is no such contact, `Some(false)`
/// when it was erased before.
///
/// # Errors
/// What the database says.
pub async fn erase(
    base: &Base,
    tenant: TenantId,
    contact: ContactId,
    reason: Reason,
    trail: Option<Trail>,
) -> Result<Option<bool>, StoreError> {
    let (id, now) = (base.ids.next(), base.clock.now());
    let event_id = OutboxEventId::new(&*base.ids);
    let trail = trail.unwrap_or_else(|| {
        let deed = Deed {
            tenant: Some(tenant),
            at: now,
            actor: Actor::System("retention"),
            address: None,
            action: "contact.erase",
        };
        let id = AuditEntryId::new(&*base.ids);
        Trail::new(id, Book::Audit, deed, base.keyring.clone())
    });
    let keyring = base.keyring.clone();
    let write = move |tx: &mut Tx<'_>| {
        let begun = erasure::begin(tx, &keyring, tenant, contact, id, reason, now)?;
        if begun == Some(true) {
            trail.record(tx, &Object::one("contact", contact), &Change::untold())?;
            let event = NewOutboxEvent {
                tenant_id: tenant,
                id: event_id,
                event: DomainEvent::ContactErased {
                    contact_id: contact,
                },
            };
            outbox::append(tx, &[event], now)?;
        }
        Ok(begun)
    };
    base.store.write(write).await
}

/// Begins the erasure of a tenant. `false` when there is none, or it is being erased already.
///
/// # Errors
/// What the database says.
pub async fn erase_tenant(base: &Base, tenant: TenantId, trail: Trail) -> Result<bool, StoreError> {
    let now = base.clock.now();
    let write = move |tx: &mut Tx<'_>| {
        let begun = erasure::tenant::begin(tx, tenant, now)?;
        if begun {
            trail.record(tx, &Object::one("tenant", tenant), &Change::untold())?;
        }
        Ok(begun)
    };
    let begun = base.store.write(write).await?;
    if begun {
        base.keyring.destroy(tenant);
    }
    Ok(begun)
}

/// What the job needs.
#[derive(Clone)]
pub struct ErasureOptions {
    /// The tools of every use case.
    pub base: Base,
    /// This process.
    pub node: NodeId,
    /// Turns true when the process has to end.
    pub stop: watch::Receiver<bool>,
}

/// Runs until the process has to end.
pub async fn run(options: ErasureOptions) {
    let mut stop = options.stop.clone();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut lease = JobLease::new(options.base.clone(), LEASE, options.node, LEASE_TIME);
    while !*stop.borrow() {
        tokio::select! {
            _ = look.tick() => {
                if let Err(error) = options.look(&mut lease).await {
                    tracing::warn!(%error, "an erasure could not go on; that is tried again");
                }
            }
            _ = stop.changed() => {}
        }
    }
    lease.release().await;
}

impl ErasureOptions {
    async fn look(&self, lease: &mut JobLease) -> Result<(), StoreError> {
        let mut did = false;
        while !*self.stop.borrow() {
            let Some(held) = lease.hold().await? else {
                return Ok(());
            };
            let (keyring, now) = (self.base.keyring.clone(), self.base.clock.now());
            let write = move |tx: &mut Tx<'_>| {
                nodes::fence(tx, &held)?;
                let people = erasure::step(tx, &keyring, now)?;
                let tenants = erasure::tenant::step(tx)?;
                Ok(people == Step::Did || tenants)
            };
            if !self.base.store.write_bulk(write).await? {
                break;
            }
            did = true;
        }
        if did {
            // What was overwritten must not live on in the log of the database.
            self.base.store.scrub().await;
        }
        Ok(())
    }
}
