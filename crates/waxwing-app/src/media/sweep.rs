//! Deleting files whose time is over, and objects that belong to nobody.

use std::time::Duration;

use waxwing_store::StoreError;
use waxwing_store::domain::media;

use super::Vault;
use crate::{Base, metrics};

/// Rows of one transaction.
const AT_ONCE: u32 = 200;
/// Objects that one sweep takes away at most; more wait for the next.
const OBJECTS_MAX: u32 = 20_000;
/// An object that was begun so long ago is not being written any more.
const LOST_AFTER: Duration = Duration::from_secs(60 * 60);

/// One sweep. Returns early when the object store does not work: what is left is found again.
///
/// # Errors
/// What the database says.
pub(super) async fn sweep(base: &Base, vault: &Vault) -> Result<(), StoreError> {
    let mut expired = 0;
    loop {
        let clock = base.clock.clone();
        let gone = base
            .store
            .write_bulk(move |tx| media::delete_expired(tx, AT_ONCE, clock.now()))
            .await?;
        expired += gone;
        if gone < u64::from(AT_ONCE) {
            break;
        }
    }
    ::metrics::counter!(metrics::RETENTION_DELETED, "table" => "media").increment(expired);
    let clock = base.clock.clone();
    base.store
        .write_bulk(move |tx| media::mark_lost(tx, clock.now().minus(LOST_AFTER), AT_ONCE))
        .await?;
    let mut left = OBJECTS_MAX;
    while left > 0 {
        let clock = base.clock.clone();
        let objects = base
            .store
            .read(move |tx| media::deleting(tx, AT_ONCE, clock.now()))
            .await?;
        if objects.is_empty() {
            break;
        }
        for (tenant, object) in &objects {
            if let Err(error) = vault.delete(*tenant, *object).await {
                tracing::warn!(%error, "objects cannot be deleted; that is tried again");
                return Ok(());
            }
        }
        left = left.saturating_sub(AT_ONCE);
        ::metrics::counter!(metrics::RETENTION_DELETED, "table" => "media_objects")
            .increment(objects.len() as u64);
        base.store
            .write_bulk(move |tx| media::forget_objects(tx, &objects))
            .await?;
    }
    measure(base).await
}

async fn measure(base: &Base) -> Result<(), StoreError> {
    let (count, bytes, _) = base.store.read(media::totals).await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge does not need the last byte"
    )]
    let (count, bytes) = (count as f64, bytes as f64);
    ::metrics::gauge!(metrics::MEDIA_OBJECTS).set(count);
    ::metrics::gauge!(metrics::MEDIA_STORED_BYTES).set(bytes);
    Ok(())
}
