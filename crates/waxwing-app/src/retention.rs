//! What is deleted by age, how long each thing is kept, and the run that deletes it: every hour by itself, by hand when
//! wanted, or only counted.

use std::time::Duration;

use tokio::sync::watch;
use waxwing_core::ids::TenantId;
use waxwing_core::step::REPLAY_HORIZON;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::erasure::{self, Reason};
use waxwing_store::domain::retention::{self, Aging};
use waxwing_store::{StoreError, Tx};

use crate::{Base, metrics, privacy};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Outbox events are kept this long (ledger H6).
const OUTBOX_DAYS: u32 = 7;
/// Parked statuses are kept this long: a status may be days late.
const PARKED_DAYS: u32 = 7;
/// What messages cost is kept for comparisons over two years.
const COST_DAYS: u32 = 750;
/// Entries of the audit log are kept for two years.
const AUDIT_DAYS: u32 = 730;
/// Messages carry idempotency keys, which have to outlive a caller's retries.
const MESSAGES_DAYS_MIN: u32 = 90;
/// Rows of one deleting transaction: a few milliseconds.
const DELETED_AT_ONCE: u32 = 500;
/// Contacts that are looked at together.
const CONTACTS_AT_ONCE: u32 = 100;

/// How long things are kept, and their deletion. Cheap to clone.
#[derive(Clone)]
pub struct Retention {
    base: Base,
    message_days: u32,
    contact_days: u32,
}

/// What a rule says and what is due under it.
#[derive(Debug, Clone)]
pub struct Due {
    /// The table.
    pub table: &'static str,
    /// How long its rows are kept; zero for those that say themselves until when they are good.
    pub kept: Duration,
    /// Rows that are older.
    pub rows: u64,
}

/// The name of the rule that erases people.
pub const CONTACTS: &str = "contacts";

impl Retention {
    /// Messages and raw requests are kept `message_days`, people of whom nothing is heard `contact_days`.
    #[must_use]
    pub const fn new(base: Base, message_days: u32, contact_days: u32) -> Self {
        Self {
            base,
            message_days,
            contact_days,
        }
    }

    /// How long rows are kept.
    #[must_use]
    pub fn keeps(&self, what: Aging) -> Duration {
        match what {
            Aging::WebhookEvents => DAY * self.message_days,
            Aging::OutboxEvents => DAY * OUTBOX_DAYS,
            Aging::ParkedStatuses => DAY * PARKED_DAYS,
            Aging::InboundMarks => REPLAY_HORIZON + DAY,
            Aging::MessageCosts => DAY * COST_DAYS,
            Aging::AuditEntries => DAY * AUDIT_DAYS,
            Aging::PortfolioPeople => DAY * 2,
            // The column is the time until which they are good.
            Aging::ProviderAssets | Aging::Sessions | Aging::Invitations => Duration::ZERO,
            Aging::Messages | Aging::DeadLetters => DAY * self.message_days.max(MESSAGES_DAYS_MIN),
        }
    }

    fn before(&self, what: Aging) -> Timestamp {
        self.base.clock.now().minus(self.keeps(what))
    }

    /// What is due now, by rule. Deletes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn due(&self) -> Result<Vec<Due>, StoreError> {
        let mut all = Vec::new();
        for what in Aging::ALL {
            let before = self.before(what);
            let count = self
                .base
                .store
                .read(move |tx| retention::count_older(tx, what, before));
            all.push(Due {
                table: what.table(),
                kept: self.keeps(what),
                rows: count.await?,
            });
        }
        all.push(Due {
            table: CONTACTS,
            kept: DAY * self.contact_days,
            rows: self.people(true, &never()).await?,
        });
        Ok(all)
    }

    /// Deletes what is due, in small steps, until it is done or the process has to end. How much it was, by rule. Whatever
    /// happens to the process, the next run goes on.
    ///
    /// # Errors
    /// What the database says.
    pub async fn run(&self, stop: &watch::Receiver<bool>) -> Result<Vec<Due>, StoreError> {
        let mut done = Vec::new();
        for what in Aging::ALL {
            let before = self.before(what);
            let rows = if what.by_tenant() {
                self.delete_by_tenant(what, before, stop).await?
            } else {
                let delete = move |tx: &mut Tx<'_>| {
                    retention::delete_older(tx, what, before, DELETED_AT_ONCE)
                };
                self.delete_all(what, delete, stop).await?
            };
            done.push(Due {
                table: what.table(),
                kept: self.keeps(what),
                rows,
            });
        }
        done.push(Due {
            table: CONTACTS,
            kept: DAY * self.contact_days,
            rows: self.people(false, stop).await?,
        });
        Ok(done)
    }

    async fn delete_by_tenant(
        &self,
        what: Aging,
        before: Timestamp,
        stop: &watch::Receiver<bool>,
    ) -> Result<u64, StoreError> {
        let mut after = None;
        let mut rows = 0;
        loop {
            let look =
                move |tx: &mut Tx<'_>| retention::tenants_with_older(tx, what, before, after);
            let old = self.base.store.read(look).await?;
            for tenant in old.tenants {
                let keyring = self.base.keyring.clone();
                let delete = move |tx: &mut Tx<'_>| {
                    retention::delete_older_of(tx, &keyring, what, tenant, before, DELETED_AT_ONCE)
                };
                rows += self.delete_all(what, delete, stop).await?;
            }
            after = old.last;
            if after.is_none() || *stop.borrow() {
                return Ok(rows);
            }
        }
    }

    /// Deletes step by step until a step finds less than it may delete.
    async fn delete_all<F>(
        &self,
        what: Aging,
        step: F,
        stop: &watch::Receiver<bool>,
    ) -> Result<u64, StoreError>
    where
        F: Fn(&mut Tx<'_>) -> Result<u64, StoreError> + Clone + Send + Sync + 'static,
    {
        let mut rows = 0;
        loop {
            let deleted = self.base.store.write_bulk(step.clone()).await?;
            rows += deleted;
            ::metrics::counter!(metrics::RETENTION_DELETED, "table" => what.table())
                .increment(deleted);
            if deleted < u64::from(DELETED_AT_ONCE) || *stop.borrow() {
                return Ok(rows);
            }
        }
    }

    /// Erases people of whom nothing was heard for long, or only counts them.
    async fn people(&self, dry: bool, stop: &watch::Receiver<bool>) -> Result<u64, StoreError> {
        let before = self.base.clock.now().minus(DAY * self.contact_days);
        let mut count = 0;
        let mut tenant_after: Option<TenantId> = None;
        loop {
            let page = move |tx: &mut Tx<'_>| retention::tenants_after(tx, tenant_after);
            let tenants = self.base.store.read(page).await?;
            let Some(last) = tenants.last().copied() else {
                return Ok(count);
            };
            for tenant in tenants {
                count += self.people_of(tenant, before, dry, stop).await?;
                if *stop.borrow() {
                    return Ok(count);
                }
            }
            tenant_after = Some(last);
        }
    }

    async fn people_of(
        &self,
        tenant: TenantId,
        before: Timestamp,
        dry: bool,
        stop: &watch::Receiver<bool>,
    ) -> Result<u64, StoreError> {
        let mut after = None;
        let mut count = 0;
        loop {
            let look = move |tx: &mut Tx<'_>| {
                erasure::inactive(tx, tenant, before, after, CONTACTS_AT_ONCE)
            };
            let found = self.base.store.read(look).await?;
            let Some(last) = found.last().copied() else {
                return Ok(count);
            };
            count += found.len() as u64;
            if !dry {
                for contact in found {
                    privacy::erase(&self.base, tenant, contact, Reason::Inactivity, None).await?;
                }
                ::metrics::counter!(metrics::RETENTION_DELETED, "table" => CONTACTS).increment(1);
            }
            if *stop.borrow() {
                return Ok(count);
            }
            after = Some(last);
        }
    }
}

/// Something that is never stopped.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}
