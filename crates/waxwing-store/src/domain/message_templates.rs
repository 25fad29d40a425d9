//! Message templates: what WhatsApp approves. They belong to the provider's account, so a template made through one
//! channel serves all channels of the account; callers name those channels.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use waxwing_core::ids::{ChannelId, MessageTemplateId, TenantId};
use waxwing_core::limits;
use waxwing_core::message_template::{
    MessageTemplate, ParameterFormat, Standing, TemplateCategory, TemplateQuality, TemplateStatus,
};
use waxwing_core::time::Timestamp;

use crate::{Cell, FromColumn, Json, SqlBuilder, StoreError, Tx, Value, params, row, statements};

statements! {
    INSERT_TEMPLATE [tenant] = "INSERT INTO message_templates (tenant_id, id, channel_id, provider_id, name, language, \
        category, next_category, status, quality, reason, definition, submitted_at, told_at, synced_at, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16) \
        ON CONFLICT (tenant_id, name, language, channel_id) DO NOTHING";
    FIND_TEMPLATE [tenant] = "SELECT id, channel_id, provider_id, name, language, category, next_category, status, quality, \
        reason, definition, submitted_at, told_at, synced_at, created_at, updated_at FROM message_templates \
        WHERE tenant_id = $1 AND id = $2";
    LOCK_TEMPLATE [tenant] = "SELECT id, channel_id, provider_id, name, language, category, next_category, status, quality, \
        reason, definition, submitted_at, told_at, synced_at, created_at, updated_at FROM message_templates \
        WHERE tenant_id = $1 AND id = $2 {lock}";
    LIST_TEMPLATES [tenant] = "SELECT id, channel_id, provider_id, name, language, category, next_category, status, quality, \
        reason, definition, submitted_at, told_at, synced_at, created_at, updated_at FROM message_templates \
        WHERE tenant_id = $1 AND id > $2";
    BY_NAME [tenant] = "SELECT id, channel_id, provider_id, name, language, category, next_category, status, quality, \
        reason, definition, submitted_at, told_at, synced_at, created_at, updated_at FROM message_templates \
        WHERE tenant_id = $1 AND name = $2 ORDER BY id";
    BY_PROVIDER_ID [tenant] = "SELECT id, channel_id FROM message_templates WHERE tenant_id = $1 AND provider_id = $2";
    IDS_BY_NAME [tenant] = "SELECT id, channel_id, language FROM message_templates WHERE tenant_id = $1 AND name = $2";
    OF_CHANNEL [tenant] = "SELECT id FROM message_templates WHERE tenant_id = $1 AND channel_id = $2 ORDER BY id";
    COUNT_TEMPLATES [tenant] = "SELECT count(*) FROM message_templates WHERE tenant_id = $1";
    SAVE_TEMPLATE [tenant] = "UPDATE message_templates SET provider_id = $3, name = $4, language = $5, category = $6, \
        next_category = $7, status = $8, quality = $9, reason = $10, definition = $11, submitted_at = $12, told_at = $13, \
        synced_at = $14, updated_at = $15 WHERE tenant_id = $1 AND id = $2";
    DELETE_TEMPLATE [tenant] = "DELETE FROM message_templates WHERE tenant_id = $1 AND id = $2";
    PENDING [global, scan: "the partial index holds only what waits for its approval"] =
        "SELECT tenant_id, channel_id, id FROM message_templates WHERE status = 'pending' ORDER BY channel_id, id LIMIT $1";
}

macro_rules! words {
    ($($type:ty: $parse:expr, $what:literal;)*) => {$(
        impl From<$type> for Value {
            fn from(word: $type) -> Self {
                Self::from(word.as_str())
            }
        }

        impl FromColumn for $type {
            fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
                let Cell::Text(text) = cell else {
                    return Err(cell.mismatch($what));
                };
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(text).ok_or_else(|| StoreError::corrupt($what))
            }
        }
    )*};
}

words! {
    TemplateStatus: TemplateStatus::parse, "a status of a message template";
    TemplateQuality: |word| Some(TemplateQuality::read(word)), "a quality of a message template";
    TemplateCategory: TemplateCategory::parse, "a category of a message template";
}

/// The text of a template, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<i64>,
    components: Vec<serde_json::Value>,
}

row! {
    struct TemplateRow {
        id: MessageTemplateId,
        channel_id: ChannelId,
        provider_id: Option<String>,
        name: String,
        language: String,
        category: TemplateCategory,
        next_category: Option<TemplateCategory>,
        status: TemplateStatus,
        quality: TemplateQuality,
        reason: Option<String>,
        definition: Json<Definition>,
        submitted_at: Option<Timestamp>,
        told_at: Option<Timestamp>,
        synced_at: Option<Timestamp>,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
}

/// A stored message template.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageTemplateRecord {
    /// Its id.
    pub id: MessageTemplateId,
    /// The channel through which it was made or found.
    pub channel_id: ChannelId,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// What it says. Its category is that of the standing.
    pub template: MessageTemplate,
    /// Where it stands.
    pub standing: Standing,
    /// Somebody is handing it in since then.
    pub submitted_at: Option<Timestamp>,
    /// The provider's time of the last news by webhook.
    pub told_at: Option<Timestamp>,
    /// When it was last seen in the provider's list.
    pub synced_at: Option<Timestamp>,
    /// When it was made here.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl From<TemplateRow> for MessageTemplateRecord {
    fn from(row: TemplateRow) -> Self {
        let Definition {
            format,
            ttl_seconds,
            components,
        } = row.definition.0;
        let mut template = MessageTemplate::new(
            row.name,
            &row.language,
            row.category,
            ParameterFormat::parse(&format),
            &components,
        );
        template.ttl_seconds = ttl_seconds;
        Self {
            id: row.id,
            channel_id: row.channel_id,
            provider_id: row.provider_id,
            template,
            standing: Standing {
                status: row.status,
                quality: row.quality,
                category: row.category,
                next_category: row.next_category,
                reason: row.reason,
            },
            submitted_at: row.submitted_at,
            told_at: row.told_at,
            synced_at: row.synced_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn definition(template: &MessageTemplate) -> Result<Value, StoreError> {
    Value::json(&Definition {
        format: template.format.as_str().to_owned(),
        ttl_seconds: template.ttl_seconds,
        components: template.components_json(),
    })
}

/// What came of making a message template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It was stored.
    Created,
    /// The channel has one of this name and language.
    Taken,
    /// The tenant has [`limits::MESSAGE_TEMPLATES`].
    Full,
}

/// Stores a message template as it is given.
///
/// # Errors
/// What the database says.
pub fn create(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    record: &MessageTemplateRecord,
) -> Result<Creation, StoreError> {
    let count: i64 = tx.query_one(&COUNT_TEMPLATES, &params![tenant])?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= limits::MESSAGE_TEMPLATES {
        return Ok(Creation::Full);
    }
    let standing = &record.standing;
    let inserted = tx.execute(
        &INSERT_TEMPLATE,
        &params![
            tenant,
            record.id,
            record.channel_id,
            record.provider_id.clone(),
            &record.template.name,
            &record.template.language,
            standing.category,
            standing.next_category,
            standing.status,
            standing.quality,
            standing.reason.clone(),
            definition(&record.template)?,
            record.submitted_at,
            record.told_at,
            record.synced_at,
            record.created_at,
        ],
    )?;
    Ok(if inserted == 1 {
        Creation::Created
    } else {
        Creation::Taken
    })
}

/// A message template, or `None` when the tenant has none with this id.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageTemplateId,
) -> Result<Option<MessageTemplateRecord>, StoreError> {
    let row = tx.query_opt::<TemplateRow>(&FIND_TEMPLATE, &params![tenant, id])?;
    Ok(row.map(Into::into))
}

/// The same, and nobody else changes it until this transaction ends.
///
/// # Errors
/// What the database says.
pub fn lock(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageTemplateId,
) -> Result<Option<MessageTemplateRecord>, StoreError> {
    let row = tx.query_opt::<TemplateRow>(&LOCK_TEMPLATE, &params![tenant, id])?;
    Ok(row.map(Into::into))
}

/// Writes a record that was locked in this transaction.
///
/// # Errors
/// What the database says; [`StoreError::Conflict`] when the channel has another of its name and language.
pub fn save(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    record: &MessageTemplateRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let standing = &record.standing;
    tx.execute(
        &SAVE_TEMPLATE,
        &params![
            tenant,
            record.id,
            record.provider_id.clone(),
            &record.template.name,
            &record.template.language,
            standing.category,
            standing.next_category,
            standing.status,
            standing.quality,
            standing.reason.clone(),
            definition(&record.template)?,
            record.submitted_at,
            record.told_at,
            record.synced_at,
            now,
        ],
    )
    .map(|_| ())
}

/// What a list of message templates is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of one channel.
    pub channel_id: Option<ChannelId>,
    /// Those of one name.
    pub name: Option<String>,
    /// Those in one status.
    pub status: Option<String>,
}

/// Up to `limit` message templates in the order of their making, those after `after`.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    filter: &Filter,
    after: Option<MessageTemplateId>,
    limit: u32,
) -> Result<Vec<MessageTemplateRecord>, StoreError> {
    let after = after.map_or(Uuid::nil(), MessageTemplateId::uuid);
    let sql = SqlBuilder::new(&LIST_TEMPLATES, &params![tenant, after])
        .and_some("channel_id = ?", filter.channel_id)
        .and_some("name = ?", filter.name.as_deref())
        .and_some("status = ?", filter.status.as_deref())
        .push(" ORDER BY id LIMIT ?", &[limit.into()]);
    let rows = tx.query_dynamic::<TemplateRow>(&sql)?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// All languages of a name that any of the channels has.
///
/// # Errors
/// What the database says.
pub fn by_name(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channels: &[ChannelId],
    name: &str,
) -> Result<Vec<MessageTemplateRecord>, StoreError> {
    let rows = tx.query::<TemplateRow>(&BY_NAME, &params![tenant, name])?;
    let ours = rows
        .into_iter()
        .filter(|row| channels.contains(&row.channel_id));
    Ok(ours.map(Into::into).collect())
}

/// The id of a template that a provider speaks of: by the provider's id, else by name and language, among those of the
/// channels.
///
/// # Errors
/// What the database says.
pub fn find(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channels: &[ChannelId],
    provider_id: Option<&str>,
    name: Option<&str>,
    language: Option<&str>,
) -> Result<Option<MessageTemplateId>, StoreError> {
    if let Some(provider_id) = provider_id {
        let rows: Vec<(MessageTemplateId, ChannelId)> =
            tx.query(&BY_PROVIDER_ID, &params![tenant, provider_id])?;
        let ours = rows.into_iter().find(|row| channels.contains(&row.1));
        if let Some((id, _)) = ours {
            return Ok(Some(id));
        }
    }
    let (Some(name), Some(language)) = (name, language) else {
        return Ok(None);
    };
    let rows: Vec<(MessageTemplateId, ChannelId, String)> =
        tx.query(&IDS_BY_NAME, &params![tenant, name])?;
    let ours = rows
        .into_iter()
        .find(|row| channels.contains(&row.1) && row.2 == language);
    Ok(ours.map(|row| row.0))
}

/// The ids of all templates of a channel.
///
/// # Errors
/// What the database says.
pub fn of_channel(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
) -> Result<Vec<MessageTemplateId>, StoreError> {
    tx.query(&OF_CHANNEL, &params![tenant, channel])
}

/// Deletes a message template here; `false` when the tenant has none with this id.
///
/// # Errors
/// What the database says.
pub fn delete(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: MessageTemplateId,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE_TEMPLATE, &params![tenant, id])? == 1)
}

/// Templates of all tenants that wait for their approval, by channel.
///
/// # Errors
/// What the database says.
pub fn pending(
    tx: &mut Tx<'_>,
    limit: u32,
) -> Result<Vec<(TenantId, ChannelId, MessageTemplateId)>, StoreError> {
    tx.query(&PENDING, &params![limit])
}

#[cfg(test)]
pub(crate) mod tests;
