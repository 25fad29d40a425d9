//! Jobs that one node at a time does: the lease that says which.

use std::time::Duration;

use waxwing_core::ids::NodeId;
use waxwing_store::StoreError;
use waxwing_store::domain::nodes::{self, Lease};

use crate::Base;

/// The lease of a job, while this process has it.
pub struct JobLease {
    base: Base,
    name: &'static str,
    node: NodeId,
    time: Duration,
    held: Option<Lease>,
}

impl JobLease {
    /// The lease of a job that is taken for `time` at once, which is far longer than what is done between two looks.
    #[must_use]
    pub const fn new(base: Base, name: &'static str, node: NodeId, time: Duration) -> Self {
        Self {
            base,
            name,
            node,
            time,
            held: None,
        }
    }

    /// Takes the lease or holds it on; `None` when another node has it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hold(&mut self) -> Result<Option<Lease>, StoreError> {
        let now = self.base.clock.now();
        let (name, node, until) = (self.name, self.node, now.plus(self.time));
        if let Some(held) = self.held.clone() {
            let renew = move |tx: &mut waxwing_store::Tx<'_>| nodes::renew(tx, &held, until);
            if self.base.store.write(renew).await? {
                return Ok(self.held.clone());
            }
        }
        let acquire =
            move |tx: &mut waxwing_store::Tx<'_>| nodes::acquire(tx, name, node, until, now);
        self.held = self.base.store.write(acquire).await?;
        Ok(self.held.clone())
    }

    /// Gives the lease back, so that another node need not wait for its end.
    pub async fn release(self) {
        let Some(lease) = self.held else {
            return;
        };
        let release = move |tx: &mut waxwing_store::Tx<'_>| nodes::release(tx, &lease);
        if let Err(error) = self.base.store.write(release).await {
            tracing::debug!(%error, "the lease ends by itself");
        }
    }
}
