//! Taking a person's data away for good: at once what names them, then, in steps, what they wrote and what raw webhooks
//! hold of it. Counts, times, statuses and costs stay; so do duplicate marks, idempotency keys and, as a keyed hash, that
//! the person wants no marketing.

pub mod tenant;

use serde_json::json;
use uuid::Uuid;
use waxwing_core::ids::{ContactId, TenantId};
use waxwing_core::time::Timestamp;

use super::crypto::{Keyring, Place};
use crate::{Json, StoreError, Tx, Value, params, row, statements};

statements! {
    LOCK [tenant] = "SELECT id, phone_sealed, user_id_sealed, username_sealed, marketing, erased_at FROM contacts \
        WHERE tenant_id = $1 AND id = $2 {lock}";
    MERGED [tenant] = "SELECT id, phone_sealed, user_id_sealed, username_sealed, marketing, erased_at FROM contacts \
        WHERE tenant_id = $1 AND merged_into = $2";
    REMEMBER_OPT_OUT [tenant] = "INSERT INTO suppressions (tenant_id, kind, value_hash, since) \
        SELECT tenant_id, kind, value_hash, $3 FROM contact_aliases WHERE tenant_id = $1 AND contact_id = $2 \
        ON CONFLICT (tenant_id, kind, value_hash) DO NOTHING";
    DROP_ALIASES [tenant] = "DELETE FROM contact_aliases WHERE tenant_id = $1 AND contact_id = $2";
    DROP_MERGES [tenant] = "DELETE FROM contact_merges WHERE tenant_id = $1 AND (winner_id = $2 OR loser_id = $2)";
    BLANK [tenant] = "UPDATE contacts SET phone_sealed = NULL, user_id_sealed = NULL, username_sealed = NULL, profile_name = NULL, profile_name_sealed = NULL, \
        erased_at = $3, updated_at = $3 WHERE tenant_id = $1 AND id = $2";
    CANCEL [tenant] = "UPDATE messages SET status = 'cancelled', rank = 60, updated_at = $3 WHERE tenant_id = $1 \
        AND conversation_id IN (SELECT id FROM conversations WHERE tenant_id = $1 AND contact_id = $2) \
        AND status IN ('queued', 'sending') AND status = 'queued'";
    BEGIN [tenant] = "INSERT INTO erasures (tenant_id, id, contact_id, reason, needles_sealed, phase, after, again, begun_at) \
        VALUES ($1, $2, $3, $4, $5, 'messages', $6, FALSE, $7)";
    OPEN [global, scan: "the partial index holds what is being erased"] =
        "SELECT tenant_id, id, contact_id, needles_sealed, phase, after, again FROM erasures WHERE done_at IS NULL \
        ORDER BY tenant_id, id LIMIT $1";
    THREADS [tenant] = "SELECT id FROM conversations WHERE tenant_id = $1 AND contact_id = $2 \
        UNION SELECT v.id FROM conversations v JOIN contacts c ON c.tenant_id = $1 AND c.id = v.contact_id \
        WHERE v.tenant_id = $1 AND c.merged_into = $2";
    MESSAGES [tenant] = "SELECT id, kind, direction, status, content FROM messages WHERE tenant_id = $1 AND conversation_id = $2 AND id > $3 \
        ORDER BY id LIMIT $4";
    BLANK_MESSAGE [tenant] = "UPDATE messages SET body = NULL, content = $3, content_sealed = NULL, provider_id_sealed = NULL, provider_id_hash = NULL, \
        provider_alias_hash = NULL, outside_window = NULL, error_message = CASE WHEN error_message IS NULL THEN NULL ELSE 'erased' END \
        WHERE tenant_id = $1 AND id = $2 AND status NOT IN ('queued', 'sending')";
    BLANK_ATTEMPTS [tenant] = "UPDATE attempts SET error_message = NULL WHERE tenant_id = $1 AND message_id = $2";
    BLANK_LETTER [tenant] = "UPDATE dead_letters SET error_message = 'erased' WHERE tenant_id = $1 AND message_id = $2";
    DROP_MEDIA [tenant] = "UPDATE media SET expires_at = 0, filename_sealed = NULL, source_sealed = NULL WHERE tenant_id = $1 AND id = $2";
    BLANK_THREADS [tenant] = "UPDATE conversations SET state = NULL WHERE tenant_id = $1 AND contact_id = $2";
    EVENTS [global] = "SELECT id, state, body_sealed FROM webhook_events WHERE id > $1 ORDER BY id LIMIT $2";
    DROP_EVENT [global] = "DELETE FROM webhook_events WHERE id = $1";
    MOVE [tenant] = "UPDATE erasures SET phase = $3, after = $4, again = $5 WHERE tenant_id = $1 AND id = $2";
    DONE [tenant] = "UPDATE erasures SET phase = 'done', needles_sealed = NULL, done_at = $3 WHERE tenant_id = $1 AND id = $2";
    OF_CONTACT [tenant] = "SELECT id, begun_at, done_at FROM erasures WHERE tenant_id = $1 AND contact_id = $2 ORDER BY id DESC LIMIT 1";
    SUPPRESSED [tenant] = "SELECT since FROM suppressions WHERE tenant_id = $1 AND kind = $2 AND value_hash = $3";
    /// Nobody wrote to them or heard of them since.
    INACTIVE [tenant] = "SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.id > $3 AND c.id < $4 AND c.erased_at IS NULL \
        AND c.merged_into IS NULL AND NOT EXISTS (SELECT 1 FROM conversations v WHERE v.tenant_id = $1 AND v.contact_id = c.id \
        AND v.last_message_at >= $2) ORDER BY c.id LIMIT $5";
}

row! {
    struct PersonRow {
        id: ContactId,
        phone_sealed: Option<Vec<u8>>,
        user_id_sealed: Option<Vec<u8>>,
        username_sealed: Option<Vec<u8>>,
        marketing: Option<String>,
        erased_at: Option<Timestamp>,
    }

    struct OpenRow {
        tenant_id: TenantId,
        id: Uuid,
        contact_id: ContactId,
        needles_sealed: Option<Vec<u8>>,
        phase: String,
        after: Uuid,
        again: bool,
    }

    struct MessageRow { id: Uuid, kind: String, direction: String, status: String, content: Json<serde_json::Value> }

    struct EventRow { id: Uuid, state: String, body_sealed: Vec<u8> }

    /// An erasure of a contact.
    #[derive(Debug, Clone, Copy)]
    pub struct Erasure { id: Uuid, begun_at: Timestamp, done_at: Option<Timestamp> }
}

/// Why somebody is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    Request,
    /// Nothing was heard of them for long.
    Inactivity,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Inactivity => "inactivity",
        }
    }
}

/// Messages and raw webhooks of one step.
const MESSAGES_AT_ONCE: u32 = 200;
const EVENTS_AT_ONCE: u32 = 20;

/// Takes away what names a contact, and those that turned out to be the same person: from now on nothing of theirs is
/// found or sent. [`step`] does the rest. `None` when there is no such contact; `Some(false)` when it was erased before.
///
/// # Errors
/// What the database says.
pub fn begin(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    contact: ContactId,
    erasure: Uuid,
    reason: Reason,
    now: Timestamp,
) -> Result<Option<bool>, StoreError> {
    let Some(person) = tx.query_opt::<PersonRow>(&LOCK, &params![tenant, contact])? else {
        return Ok(None);
    };
    if person.erased_at.is_some() {
        return Ok(Some(false));
    }
    let mut group = vec![person];
    group.extend(tx.query::<PersonRow>(&MERGED, &params![tenant, contact])?);
    let mut needles = Vec::new();
    let opted_out = group
        .iter()
        .any(|person| person.marketing.as_deref() == Some("opted_out"));
    for person in &group {
        needles.extend(person.names(keyring, tenant)?);
        if opted_out {
            tx.execute(&REMEMBER_OPT_OUT, &params![tenant, person.id, now])?;
        }
        tx.execute(&DROP_ALIASES, &params![tenant, person.id])?;
        tx.execute(&DROP_MERGES, &params![tenant, person.id])?;
        tx.execute(&CANCEL, &params![tenant, person.id, now])?;
        tx.execute(&BLANK_THREADS, &params![tenant, person.id])?;
        tx.execute(&BLANK, &params![tenant, person.id, now])?;
    }
    let sealed = keyring.seal(
        tenant,
        place(&erasure),
        json!(needles).to_string().as_bytes(),
    );
    let values = params![
        tenant,
        erasure,
        contact,
        reason.as_str(),
        sealed,
        Uuid::nil(),
        now
    ];
    tx.execute(&BEGIN, &values)?;
    Ok(Some(true))
}

fn place(erasure: &Uuid) -> Place<'_> {
    Place::new("erasures", "needles_sealed", erasure)
}

impl PersonRow {
    /// What names the person in a raw webhook: digits without `+`, user id, user name.
    fn names(&self, keyring: &Keyring, tenant: TenantId) -> Result<Vec<String>, StoreError> {
        let row = self.id.uuid();
        let mut names = Vec::new();
        for (column, sealed) in [
            ("phone_sealed", &self.phone_sealed),
            ("user_id_sealed", &self.user_id_sealed),
            ("username_sealed", &self.username_sealed),
        ] {
            if let Some(sealed) = sealed {
                let place = Place::new("contacts", column, &row);
                let name = keyring.open_text(tenant, place, sealed)?;
                names.push(name.trim_start_matches('+').to_owned());
            }
        }
        Ok(names)
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to do.
    Idle,
    /// Something; the next step may follow.
    Did,
    /// What is left is in flight: later.
    Waits,
}

/// Takes the next step of the erasures that are open.
///
/// # Errors
/// What the database says.
pub fn step(tx: &mut Tx<'_>, keyring: &Keyring, now: Timestamp) -> Result<Step, StoreError> {
    let open: Vec<OpenRow> = tx.query(&OPEN, &params![50])?;
    let mut waits = false;
    for erasure in open {
        if !keyring.knows(erasure.tenant_id) {
            continue;
        }
        let did = match erasure.phase.as_str() {
            "messages" => messages(tx, &erasure)?,
            _ => webhooks(tx, keyring, &erasure, now)?,
        };
        if did {
            return Ok(Step::Did);
        }
        waits = true;
    }
    Ok(if waits { Step::Waits } else { Step::Idle })
}

/// Blanks the next messages. Their threads are few; `after` is the last message that is done in the order of ids, over
/// all threads.
fn messages(tx: &mut Tx<'_>, erasure: &OpenRow) -> Result<bool, StoreError> {
    let (tenant, contact) = (erasure.tenant_id, erasure.contact_id);
    let threads: Vec<Uuid> = tx.query(&THREADS, &params![tenant, contact])?;
    let mut rows: Vec<MessageRow> = Vec::new();
    for thread in threads {
        let values = params![tenant, thread, erasure.after, MESSAGES_AT_ONCE];
        rows.extend(tx.query::<MessageRow>(&MESSAGES, &values)?);
    }
    rows.sort_unstable_by_key(|row| row.id);
    rows.truncate(MESSAGES_AT_ONCE as usize);
    let mut again = erasure.again;
    for row in &rows {
        if matches!(row.status.as_str(), "queued" | "sending") {
            again = true;
            continue;
        }
        blank(tx, tenant, row)?;
    }
    match rows.last() {
        Some(last) => to(tx, erasure, "messages", last.id, again)?,
        None if again => {
            to(tx, erasure, "messages", Uuid::nil(), false)?;
            return Ok(false);
        }
        None => to(tx, erasure, "webhooks", Uuid::nil(), false)?,
    }
    Ok(true)
}

fn blank(tx: &mut Tx<'_>, tenant: TenantId, row: &MessageRow) -> Result<(), StoreError> {
    let content = json!({ "type": row.kind, "erased": true });
    tx.execute(
        &BLANK_MESSAGE,
        &params![tenant, row.id, Value::json(&content)?],
    )?;
    tx.execute(&BLANK_ATTEMPTS, &params![tenant, row.id])?;
    tx.execute(&BLANK_LETTER, &params![tenant, row.id])?;
    let file = row.content.0["mediaId"].as_str();
    if let Some(file) = file.and_then(|id| id.parse::<waxwing_core::ids::MediaId>().ok())
        && row.direction == "IN"
    {
        tx.execute(&DROP_MEDIA, &params![tenant, file])?;
    }
    Ok(())
}

/// Deletes the next raw webhooks that name the person.
fn webhooks(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    erasure: &OpenRow,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let needles = match &erasure.needles_sealed {
        Some(sealed) => {
            let text = keyring.open_text(erasure.tenant_id, place(&erasure.id), sealed)?;
            serde_json::from_str::<Vec<String>>(&text)
                .map_err(|_| StoreError::corrupt("an erasure that does not know whom"))?
        }
        None => Vec::new(),
    };
    let rows: Vec<EventRow> = tx.query(&EVENTS, &params![erasure.after, EVENTS_AT_ONCE])?;
    let mut again = erasure.again;
    for row in &rows {
        let place = Place::new("webhook_events", "body_sealed", &row.id);
        // One that does not open tells nobody anything.
        let Ok(body) = keyring.open_system(place, &row.body_sealed) else {
            continue;
        };
        let names = |needle: &String| {
            !needle.is_empty()
                && body
                    .windows(needle.len())
                    .any(|part| part == needle.as_bytes())
        };
        if !needles.iter().any(names) {
            continue;
        }
        if row.state == "pending" {
            again = true;
            continue;
        }
        tx.execute(&DROP_EVENT, &params![row.id])?;
    }
    match rows.last() {
        Some(last) if rows.len() == EVENTS_AT_ONCE as usize => {
            to(tx, erasure, "webhooks", last.id, again)?;
        }
        _ if again => {
            to(tx, erasure, "webhooks", Uuid::nil(), false)?;
            return Ok(false);
        }
        _ => {
            tx.execute(&DONE, &params![erasure.tenant_id, erasure.id, now])?;
        }
    }
    Ok(true)
}

fn to(
    tx: &mut Tx<'_>,
    erasure: &OpenRow,
    phase: &str,
    after: Uuid,
    again: bool,
) -> Result<(), StoreError> {
    let values = params![erasure.tenant_id, erasure.id, phase, after, again];
    tx.execute(&MOVE, &values).map(|_| ())
}

/// The latest erasure of a contact.
///
/// # Errors
/// What the database says.
pub fn of_contact(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    contact: ContactId,
) -> Result<Option<Erasure>, StoreError> {
    tx.query_opt(&OF_CONTACT, &params![tenant, contact])
}

/// Since when the person behind an alias wants no marketing, though they were erased.
pub(super) fn suppressed(
    tx: &mut Tx<'_>,
    aliases: &[Vec<Value>],
) -> Result<Vec<Option<Timestamp>>, StoreError> {
    let found = tx.query_many::<Timestamp>(&SUPPRESSED, aliases)?;
    Ok(found
        .into_iter()
        .map(|since| since.into_iter().next())
        .collect())
}

/// Up to `limit` contacts of a tenant behind `after` of whom nothing was heard since `before`.
///
/// # Errors
/// What the database says.
pub fn inactive(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    before: Timestamp,
    after: Option<ContactId>,
    limit: u32,
) -> Result<Vec<ContactId>, StoreError> {
    let after = after.map_or(Uuid::nil(), ContactId::uuid);
    let made_before = super::retention::first_id(before);
    let values = params![tenant, before, after, made_before, limit];
    tx.query(&INACTIVE, &values)
}

#[cfg(test)]
mod tests;
