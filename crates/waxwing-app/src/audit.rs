//! The audit log at work: new entries get their place in the chain, and chains are verified.

use waxwing_store::domain::audit::verify::{self, Fault, Found, Walk};
use waxwing_store::domain::audit::{self, Chain, Checkpoint};
use waxwing_store::{StoreError, Tx};

use crate::Base;

/// Steps of one call of [`chain`]; what is left waits for the next call.
const STEPS_MAX: usize = 100;

/// Gives all new entries their place in the chain of their tenant.
///
/// # Errors
/// What the database says.
pub async fn chain(base: &Base) -> Result<(), StoreError> {
    for _ in 0..STEPS_MAX {
        let keyring = base.keyring.clone();
        let write = move |tx: &mut Tx<'_>| audit::chain(tx, &keyring);
        if base.store.write_bulk(write).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Walks a chain from its first entry to its last. `checkpoint` is the end that was
/// seen at an earlier time.
///
/// # Errors
/// What the database says.
pub async fn verify(
    base: &Base,
    chain: Chain,
    checkpoint: Option<Checkpoint>,
) -> Result<Result<Walk, Fault>, StoreError> {
    let first = walk(base, chain, checkpoint.clone()).await?;
    match first {
        // Old entries may have been deleted while it was walked.
        Err(Fault::Missing(_)) => walk(base, chain, checkpoint).await,
        other => Ok(other),
    }
}

async fn walk(
    base: &Base,
    chain: Chain,
    checkpoint: Option<Checkpoint>,
) -> Result<Result<Walk, Fault>, StoreError> {
    let (keyring, now) = (base.keyring.clone(), base.clock.now());
    let begin = move |tx: &mut Tx<'_>| verify::begin(tx, &keyring, chain, checkpoint.clone(), now);
    let mut found = base.store.read(begin).await?;
    loop {
        match found {
            Found::Whole(walk) => return Ok(Ok(walk)),
            Found::Broken(fault) => return Ok(Err(fault)),
            Found::More(walk) => {
                let keyring = base.keyring.clone();
                let step = move |tx: &mut Tx<'_>| verify::step(tx, &keyring, walk.clone());
                found = base.store.read(step).await?;
            }
        }
    }
}

/// Writes the ends of all chains into the process's log: whoever keeps the log can show later that nothing was cut off.
///
/// # Errors
/// What the database says.
pub async fn log_checkpoints(base: &Base) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let read = move |tx: &mut Tx<'_>| audit::checkpoints(tx, after, CHECKPOINTS_AT_ONCE);
        let found = base.store.read(read).await?;
        for point in &found {
            let (tenant, book) = point.names();
            tracing::info!(
                tenant,
                book,
                seq = point.seq,
                link = hex::encode(&point.link),
                "audit checkpoint"
            );
        }
        let full = found.len() >= CHECKPOINTS_AT_ONCE as usize;
        after = found.last().map(|point| point.chain);
        if !full || after.is_none() {
            return Ok(());
        }
    }
}

const CHECKPOINTS_AT_ONCE: u32 = 500;
