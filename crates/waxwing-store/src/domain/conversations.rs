//! Conversations: the thread between one channel and one contact, and what it remembers.

use waxwing_core::ids::{ChannelId, ContactId, ConversationId, TenantId};
use waxwing_core::step::{ConversationState, Mode};
use waxwing_core::time::Timestamp;
use waxwing_core::window::Window;

use super::contents;
use super::crypto::Keyring;
use crate::{SqlBuilder, StoreError, Tx, Value, inserts, params, row, statements};

inserts! {
    ADD [tenant] = conversations(tenant_id uuid, id uuid, channel_id uuid, contact_id uuid, status text, mode text,
        state text, last_template_key text, session_expires_at time, window_expires_at time, free_entry_until time, last_message_at time,
        created_at time, updated_at time) "";
}

statements! {
    FIND [tenant] = "SELECT id, contact_id, mode, state, last_template_key, session_expires_at, window_expires_at, \
        free_entry_until FROM conversations WHERE tenant_id = $1 AND channel_id = $2 AND contact_id = $3 {lock}";
    RECENT [tenant] = "SELECT count(*) FROM (SELECT 1 FROM messages WHERE tenant_id = $1 AND conversation_id = $2 AND id > $3 \
        AND direction = 'IN' LIMIT $4) recent";
    REMEMBER [tenant] = "UPDATE conversations SET status = 'open', state = $3, last_template_key = $4, \
        session_expires_at = $5, window_expires_at = $6, free_entry_until = $7, last_message_at = $8, updated_at = $8 \
        WHERE tenant_id = $1 AND id = $2";
    SENT_TEMPLATE [tenant] = "UPDATE conversations SET last_template_key = COALESCE($3, last_template_key), \
        last_message_at = $4, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    GET [tenant] = "SELECT v.id, v.channel_id, v.contact_id, v.status, v.mode, v.state, v.last_template_key, \
        v.session_expires_at, v.window_expires_at, v.free_entry_until, v.last_message_at, v.created_at, c.profile_name, c.phone_sealed, \
        c.user_id_sealed, c.profile_name_sealed FROM conversations v \
        JOIN contacts c ON c.tenant_id = v.tenant_id AND c.id = v.contact_id WHERE v.tenant_id = $1 AND v.id = $2";
    LIST [tenant] = "SELECT v.id, v.channel_id, v.contact_id, v.status, v.mode, v.state, v.last_template_key, \
        v.session_expires_at, v.window_expires_at, v.free_entry_until, v.last_message_at, v.created_at, c.profile_name, c.phone_sealed, \
        c.user_id_sealed, c.profile_name_sealed FROM conversations v \
        JOIN contacts c ON c.tenant_id = v.tenant_id AND c.id = v.contact_id WHERE v.tenant_id = $1";
}

row! {
    /// What a step needs of a conversation.
    #[derive(Clone)]
    pub struct MemoryRow {
        id: ConversationId,
        contact_id: ContactId,
        mode: String,
        state: Option<String>,
        last_template_key: Option<String>,
        session_expires_at: Option<Timestamp>,
        window_expires_at: Option<Timestamp>,
        free_entry_until: Option<Timestamp>,
    }

    /// A conversation as the API shows it. No `Debug`: it holds a name.
    #[derive(Clone)]
    pub struct ConversationRow {
        id: ConversationId,
        channel_id: ChannelId,
        contact_id: ContactId,
        status: String,
        mode: String,
        state: Option<String>,
        last_template_key: Option<String>,
        session_expires_at: Option<Timestamp>,
        window_expires_at: Option<Timestamp>,
        free_entry_until: Option<Timestamp>,
        last_message_at: Timestamp,
        created_at: Timestamp,
        profile_name: Option<String>,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        profile_name_sealed: Option<Vec<u8>>,
    }
}

impl ConversationRow {
    /// The name that the person gave themselves.
    ///
    /// # Errors
    /// When the stored value does not open.
    pub fn name(&self, keyring: &Keyring, tenant: TenantId) -> Result<Option<String>, StoreError> {
        let sealed = self.profile_name_sealed.as_deref();
        contents::read_name(
            keyring,
            tenant,
            self.contact_id,
            self.profile_name.clone(),
            sealed,
        )
    }
}

impl MemoryRow {
    /// The customer service window.
    #[must_use]
    pub const fn window(&self) -> Window {
        Window {
            expires_at: self.window_expires_at,
            free_entry_until: self.free_entry_until,
        }
    }

    /// The core's form of it.
    ///
    /// # Errors
    /// When the row holds a mode that this program does not know.
    pub fn memory(&self) -> Result<ConversationState, StoreError> {
        Ok(ConversationState {
            mode: Mode::parse(&self.mode)
                .ok_or_else(|| StoreError::corrupt("a conversation has an unknown mode"))?,
            state: self.state.clone(),
            last_template_key: self.last_template_key.clone(),
            session_expires_at: self.session_expires_at,
            window: self.window(),
        })
    }
}

/// The conversations of contacts on channels.
///
/// # Errors
/// What the database says.
pub fn find_many(
    tx: &mut Tx<'_>,
    keys: &[(TenantId, ChannelId, ContactId)],
) -> Result<Vec<Option<MemoryRow>>, StoreError> {
    let sets: Vec<_> = keys
        .iter()
        .map(|(tenant, channel, contact)| params![*tenant, *channel, *contact])
        .collect();
    Ok(tx
        .query_many(&FIND, &sets)?
        .into_iter()
        .map(|rows| rows.into_iter().next())
        .collect())
}

/// How many messages came in since a moment, in each of these conversations; counts to `most` at most.
///
/// # Errors
/// What the database says.
pub fn heard_since(
    tx: &mut Tx<'_>,
    conversations: &[(TenantId, ConversationId)],
    since: Timestamp,
    most: u32,
) -> Result<Vec<u32>, StoreError> {
    let since = super::retention::first_id(since);
    let sets: Vec<_> = conversations
        .iter()
        .map(|(tenant, conversation)| params![*tenant, *conversation, since, most])
        .collect();
    let counts = tx.query_many::<u32>(&RECENT, &sets)?;
    Ok(counts
        .into_iter()
        .map(|count| count.into_iter().next().unwrap_or_default())
        .collect())
}

/// A conversation to create or to update.
#[derive(Clone)]
pub struct Remembered {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: ConversationId,
    /// Its channel.
    pub channel_id: ChannelId,
    /// Its contact.
    pub contact_id: ContactId,
    /// What it remembers.
    pub memory: ConversationState,
}

/// Creates conversations.
///
/// # Errors
/// [`StoreError::Conflict`] when another transaction created one of them in between.
pub fn create_many(
    tx: &mut Tx<'_>,
    conversations: &[Remembered],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<_> = conversations
        .iter()
        .map(|conversation| {
            let memory = &conversation.memory;
            params![
                conversation.tenant_id,
                conversation.id,
                conversation.channel_id,
                conversation.contact_id,
                "open",
                memory.mode.as_str(),
                memory.state.clone(),
                memory.last_template_key.clone(),
                memory.session_expires_at,
                memory.window.expires_at,
                memory.window.free_entry_until,
                now,
                now,
                now
            ]
        })
        .collect();
    tx.insert_many(&ADD, &rows).map(|_| ())
}

/// Writes what conversations remember after a message of the contact.
///
/// # Errors
/// What the database says.
pub fn remember_many(
    tx: &mut Tx<'_>,
    conversations: &[Remembered],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sets: Vec<_> = conversations
        .iter()
        .map(|conversation| {
            let memory = &conversation.memory;
            params![
                conversation.tenant_id,
                conversation.id,
                memory.state.clone(),
                memory.last_template_key.clone(),
                memory.session_expires_at,
                memory.window.expires_at,
                memory.window.free_entry_until,
                now
            ]
        })
        .collect();
    tx.execute_many(&REMEMBER, &sets).map(|_| ())
}

/// Notes that a message was queued through the API, and the template it came from, whose buttons are current now.
///
/// # Errors
/// What the database says.
pub fn note_sent(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ConversationId,
    template_key: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(&SENT_TEMPLATE, &params![tenant, id, template_key, now])
        .map(|_| ())
}

/// One conversation.
///
/// # Errors
/// What the database says.
pub fn get(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: ConversationId,
) -> Result<Option<ConversationRow>, StoreError> {
    tx.query_opt(&GET, &params![tenant, id])
}

/// What a list of conversations is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `open` or `closed`.
    pub status: Option<String>,
    /// `bot` or `human`.
    pub mode: Option<String>,
    /// One channel.
    pub channel_id: Option<ChannelId>,
    /// One contact.
    pub contact_id: Option<ContactId>,
    /// Only those before this place, for paging.
    pub before: Option<(Timestamp, ConversationId)>,
}

/// Conversations, the latest first.
///
/// # Errors
/// What the database says.
pub fn list(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<ConversationRow>, StoreError> {
    let mut sql = SqlBuilder::new(&LIST, &params![tenant])
        .and_some("v.status = ?", filter.status.clone())
        .and_some("v.mode = ?", filter.mode.clone())
        .and_some("v.channel_id = ?", filter.channel_id)
        .and_some("v.contact_id = ?", filter.contact_id);
    if let Some((at, id)) = filter.before {
        sql = sql.push(
            " AND (v.last_message_at, v.id) < (?, ?)",
            &[at.into(), id.into()],
        );
    }
    tx.query_dynamic(&sql.push(
        " ORDER BY v.last_message_at DESC, v.id DESC LIMIT ?",
        &[Value::from(limit)],
    ))
}
