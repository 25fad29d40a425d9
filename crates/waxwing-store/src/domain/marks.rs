//! Duplicate marks: what has taken effect cannot take effect again.

use waxwing_core::identity::ProviderMessageId;
use waxwing_core::ids::{ChannelId, MessageId, TenantId};
use waxwing_core::time::Timestamp;

use super::crypto::{BlindPurpose, Keyring};
use crate::{StoreError, Tx, params, statements};

statements! {
    CLAIM [tenant] = "INSERT INTO inbound_marks (tenant_id, channel_id, kind, item_hash, message_id, placeholder, seen_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, channel_id, kind, item_hash) DO NOTHING";
    REPLACE_PLACEHOLDER [tenant] = "UPDATE inbound_marks SET placeholder = FALSE \
        WHERE tenant_id = $1 AND channel_id = $2 AND kind = $3 AND item_hash = $4 AND placeholder = TRUE \
        RETURNING message_id";
}

/// An item that wants to take effect.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Whose item.
    pub tenant_id: TenantId,
    /// The channel it came through.
    pub channel_id: ChannelId,
    /// What kind of item: ids of different kinds do not collide.
    pub kind: &'static str,
    /// Keyed hash of the provider's id.
    pub item_hash: Vec<u8>,
    /// The message that it becomes.
    pub message_id: Option<MessageId>,
    /// It only stands for content that may still come under the same id (protocols/meta.md 5, ghost messages).
    pub placeholder: bool,
}

/// Whether an item may take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Never seen: it may.
    New,
    /// Seen: it may not.
    Duplicate,
    /// Its placeholder was seen: the content takes the place of this message.
    Replaces(MessageId),
}

/// The keyed hash by which an item is marked.
#[must_use]
pub fn item_hash(keyring: &Keyring, tenant: TenantId, id: &ProviderMessageId) -> Vec<u8> {
    keyring.blind(tenant, BlindPurpose::Mark, &[id.as_str().as_bytes()])
}

/// Claims marks in order. Of equal marks in one call the first wins.
///
/// # Errors
/// What the database says.
pub fn claim(tx: &mut Tx<'_>, marks: &[Mark], now: Timestamp) -> Result<Vec<Claim>, StoreError> {
    let sets: Vec<_> = marks
        .iter()
        .map(|mark| {
            params![
                mark.tenant_id,
                mark.channel_id,
                mark.kind,
                mark.item_hash.clone(),
                mark.message_id,
                mark.placeholder,
                now
            ]
        })
        .collect();
    let inserted = tx.execute_many(&CLAIM, &sets)?;
    let mut claims = Vec::with_capacity(marks.len());
    for (mark, inserted) in marks.iter().zip(inserted) {
        claims.push(if inserted > 0 {
            Claim::New
        } else if mark.placeholder || mark.message_id.is_none() {
            Claim::Duplicate
        } else {
            let key = params![
                mark.tenant_id,
                mark.channel_id,
                mark.kind,
                mark.item_hash.clone()
            ];
            let replaced = tx.query_opt::<Option<MessageId>>(&REPLACE_PLACEHOLDER, &key)?;
            replaced.flatten().map_or(Claim::Duplicate, Claim::Replaces)
        });
    }
    Ok(claims)
}
