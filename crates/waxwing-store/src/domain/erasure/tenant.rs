//! Taking a whole tenant away: its keys at once, so that nothing sealed opens again wherever copies are; its rows in steps.

use waxwing_core::ids::TenantId;
use waxwing_core::time::Timestamp;

use crate::domain::keys;
use crate::{Statement, StoreError, Tx, params, statements};

statements! {
    LOCK [global] = "SELECT erasing_since FROM tenants WHERE id = $1 {lock}";
    MARK [global] = "UPDATE tenants SET erasing_since = $2, updated_at = $2, config_version = config_version + 1 WHERE id = $1";
    ERASING [global, scan: "tenants are few, and this is looked for once a minute"] =
        "SELECT id FROM tenants WHERE erasing_since IS NOT NULL ORDER BY id LIMIT $1";
    DROP_TENANT [global] = "DELETE FROM tenants WHERE id = $1";
    FREE_FILES [tenant] = "UPDATE media_objects SET state = 'deleting', changed_at = 0 WHERE tenant_id = $1 AND state <> 'deleting'";
    FILES_LEFT [tenant] = "SELECT count(*) FROM media_objects WHERE tenant_id = $1";
    BUMP [global] = "UPDATE epochs SET value = value + 1 WHERE name = 'channels'";
    SESSIONS [tenant, scan: "an operator erases a tenant rarely"] = "UPDATE sessions SET tenant_id = NULL WHERE tenant_id = $1";

    MEMBERSHIPS [tenant] = "DELETE FROM memberships WHERE tenant_id = $1";
    API_KEYS [tenant] = "DELETE FROM api_keys WHERE tenant_id = $1";
    INVITATIONS [tenant] = "DELETE FROM invitations WHERE tenant_id = $1";
    CHANNEL_ROUTES [tenant, scan: "an operator erases a tenant rarely"] = "DELETE FROM channel_routes WHERE tenant_id = $1";

    ATTEMPTS [tenant] = "DELETE FROM attempts WHERE tenant_id = $1 AND id IN (SELECT id FROM attempts WHERE tenant_id = $1 LIMIT $2)";
    DEAD_LETTERS [tenant] = "DELETE FROM dead_letters WHERE tenant_id = $1 AND id IN (SELECT id FROM dead_letters WHERE tenant_id = $1 LIMIT $2)";
    COSTS [tenant] = "DELETE FROM message_costs WHERE tenant_id = $1 AND message_id IN \
        (SELECT message_id FROM message_costs WHERE tenant_id = $1 LIMIT $2)";
    MESSAGES [tenant] = "DELETE FROM messages WHERE tenant_id = $1 AND id IN (SELECT id FROM messages WHERE tenant_id = $1 LIMIT $2)";
    MEDIA [tenant] = "DELETE FROM media WHERE tenant_id = $1 AND id IN (SELECT id FROM media WHERE tenant_id = $1 LIMIT $2)";
    CONVERSATIONS [tenant] = "DELETE FROM conversations WHERE tenant_id = $1 AND id IN (SELECT id FROM conversations WHERE tenant_id = $1 LIMIT $2)";
    MERGES [tenant] = "DELETE FROM contact_merges WHERE tenant_id = $1 AND id IN (SELECT id FROM contact_merges WHERE tenant_id = $1 LIMIT $2)";
    ALIASES [tenant] = "DELETE FROM contact_aliases WHERE tenant_id = $1 AND value_hash IN \
        (SELECT value_hash FROM contact_aliases WHERE tenant_id = $1 LIMIT $2)";
    CONTACTS [tenant] = "DELETE FROM contacts WHERE tenant_id = $1 AND id IN (SELECT id FROM contacts WHERE tenant_id = $1 LIMIT $2)";
    PARKED [tenant] = "DELETE FROM parked_statuses WHERE tenant_id = $1 AND id IN (SELECT id FROM parked_statuses WHERE tenant_id = $1 LIMIT $2)";
    MARKS [tenant] = "DELETE FROM inbound_marks WHERE tenant_id = $1 AND item_hash IN \
        (SELECT item_hash FROM inbound_marks WHERE tenant_id = $1 LIMIT $2)";
    OUTBOX [tenant] = "DELETE FROM outbox_events WHERE tenant_id = $1 AND id IN (SELECT id FROM outbox_events WHERE tenant_id = $1 LIMIT $2)";
    ASSETS [tenant] = "DELETE FROM provider_assets WHERE tenant_id = $1 AND key_hash IN \
        (SELECT key_hash FROM provider_assets WHERE tenant_id = $1 LIMIT $2)";
    MESSAGE_TEMPLATES [tenant] = "DELETE FROM message_templates WHERE tenant_id = $1 AND id IN \
        (SELECT id FROM message_templates WHERE tenant_id = $1 LIMIT $2)";
    HEALTH [tenant] = "DELETE FROM channel_health WHERE tenant_id = $1 AND channel_id IN \
        (SELECT channel_id FROM channel_health WHERE tenant_id = $1 LIMIT $2)";
    TEMPLATES [tenant] = "DELETE FROM templates WHERE tenant_id = $1 AND id IN (SELECT id FROM templates WHERE tenant_id = $1 LIMIT $2)";
    FLOWS [tenant] = "DELETE FROM flow_sets WHERE tenant_id = $1 AND id IN (SELECT id FROM flow_sets WHERE tenant_id = $1 LIMIT $2)";
    SUPPRESSIONS [tenant] = "DELETE FROM suppressions WHERE tenant_id = $1 AND value_hash IN \
        (SELECT value_hash FROM suppressions WHERE tenant_id = $1 LIMIT $2)";
    ERASURES [tenant] = "DELETE FROM erasures WHERE tenant_id = $1 AND id IN (SELECT id FROM erasures WHERE tenant_id = $1 LIMIT $2)";
    AUDIT [tenant] = "DELETE FROM audit_entries WHERE tenant_id = $1 AND id IN (SELECT id FROM audit_entries WHERE tenant_id = $1 LIMIT $2)";
    AUDIT_HEADS [tenant] = "DELETE FROM audit_heads WHERE tenant_id = $1 AND book IN (SELECT book FROM audit_heads WHERE tenant_id = $1 LIMIT $2)";
    CHANNELS [tenant, scan: "an operator erases a tenant rarely"] = "DELETE FROM channels WHERE tenant_id = $1 AND id IN (SELECT id FROM channels WHERE tenant_id = $1 LIMIT $2)";
}

/// What a tenant has, in the order in which it can be deleted.
pub(super) const TABLES: &[(&str, &Statement)] = &[
    ("attempts", &ATTEMPTS),
    ("dead_letters", &DEAD_LETTERS),
    ("message_costs", &COSTS),
    ("messages", &MESSAGES),
    ("media", &MEDIA),
    ("conversations", &CONVERSATIONS),
    ("contact_merges", &MERGES),
    ("contact_aliases", &ALIASES),
    ("contacts", &CONTACTS),
    ("parked_statuses", &PARKED),
    ("inbound_marks", &MARKS),
    ("outbox_events", &OUTBOX),
    ("provider_assets", &ASSETS),
    ("message_templates", &MESSAGE_TEMPLATES),
    ("channel_health", &HEALTH),
    ("templates", &TEMPLATES),
    ("flow_sets", &FLOWS),
    ("suppressions", &SUPPRESSIONS),
    ("erasures", &ERASURES),
    ("audit_entries", &AUDIT),
    ("audit_heads", &AUDIT_HEADS),
    ("channels", &CHANNELS),
];

/// What goes at once, because it lets somebody in.
pub(super) const AT_ONCE: &[(&str, &Statement)] = &[
    ("memberships", &MEMBERSHIPS),
    ("api_keys", &API_KEYS),
    ("invitations", &INVITATIONS),
    ("channel_routes", &CHANNEL_ROUTES),
];

/// Rows of one step.
const ROWS: u32 = 200;

/// Begins the erasure of a tenant: nobody gets in any more, its numbers are free, its keys are destroyed. `false` when
/// there is no such tenant, or it is being erased already.
///
/// # Errors
/// What the database says.
pub fn begin(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp) -> Result<bool, StoreError> {
    let found: Option<Option<Timestamp>> = tx.query_opt(&LOCK, &params![tenant])?;
    if !matches!(found, Some(None)) {
        return Ok(false);
    }
    tx.execute(&MARK, &params![tenant, now])?;
    tx.execute(&SESSIONS, &params![tenant])?;
    for (_, statement) in AT_ONCE {
        tx.execute(statement, &params![tenant])?;
    }
    tx.execute(&BUMP, &[])?;
    keys::destroy(tx, tenant, now)?;
    Ok(true)
}

/// Deletes the next rows of a tenant that is being erased. `false` when there is nothing to do now: its files may still
/// have to be taken out of their store.
///
/// # Errors
/// What the database says.
pub fn step(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    for tenant in tx.query::<TenantId>(&ERASING, &params![20])? {
        for (_, statement) in TABLES {
            if tx.execute(statement, &params![tenant, ROWS])? > 0 {
                return Ok(true);
            }
        }
        if tx.execute(&FREE_FILES, &params![tenant])? > 0 {
            return Ok(true);
        }
        if tx.query_one::<u64>(&FILES_LEFT, &params![tenant])? > 0 {
            continue;
        }
        tx.execute(&DROP_TENANT, &params![tenant])?;
        return Ok(true);
    }
    Ok(false)
}
