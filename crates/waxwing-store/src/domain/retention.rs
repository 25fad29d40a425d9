//! Deleting what is too old, in small steps.

use uuid::Uuid;
use waxwing_core::ids::TenantId;
use waxwing_core::time::Timestamp;

use super::crypto::Keyring;
use super::{audit, invitations, sessions};
use crate::{StoreError, Tx, params, statements};

statements! {
    TENANTS [global] = "SELECT id FROM tenants WHERE id > $1 ORDER BY id LIMIT $2";
    WEBHOOK_EVENTS [global] = "DELETE FROM webhook_events WHERE id IN \
        (SELECT id FROM webhook_events WHERE id < $1 AND state <> 'pending' ORDER BY id LIMIT $2)";
    OLD_OUTBOX_EVENT [tenant] = "SELECT id FROM outbox_events WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT 1";
    OUTBOX_EVENTS [tenant] = "DELETE FROM outbox_events WHERE tenant_id = $1 AND id IN \
        (SELECT id FROM outbox_events WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3)";
    PARKED_STATUSES [tenant] = "DELETE FROM parked_statuses WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM parked_statuses WHERE parked_at < $1 LIMIT $2)";
    INBOUND_MARKS [tenant] = "DELETE FROM inbound_marks WHERE (tenant_id, channel_id, kind, item_hash) IN \
        (SELECT tenant_id, channel_id, kind, item_hash FROM inbound_marks WHERE seen_at < $1 LIMIT $2)";
    OLD_MESSAGE [tenant] = "SELECT id FROM messages WHERE tenant_id = $1 AND id < $2 \
        AND status NOT IN ('queued', 'sending') ORDER BY id LIMIT 1";
    MESSAGES [tenant] = "DELETE FROM messages WHERE tenant_id = $1 AND id IN \
        (SELECT id FROM messages WHERE tenant_id = $1 AND id < $2 AND status NOT IN ('queued', 'sending') ORDER BY id LIMIT $3)";
    OLD_MESSAGE_COST [tenant] = "SELECT message_id FROM message_costs WHERE tenant_id = $1 AND message_id < $2 \
        ORDER BY message_id LIMIT 1";
    MESSAGE_COSTS [tenant] = "DELETE FROM message_costs WHERE tenant_id = $1 AND message_id IN \
        (SELECT message_id FROM message_costs WHERE tenant_id = $1 AND message_id < $2 ORDER BY message_id LIMIT $3)";
    PROVIDER_ASSETS [tenant] = "DELETE FROM provider_assets WHERE (tenant_id, channel_id, key_hash) IN \
        (SELECT tenant_id, channel_id, key_hash FROM provider_assets WHERE expires_at < $1 LIMIT $2)";
    /// Hours, not times.
    PORTFOLIO_PEOPLE [global] = "DELETE FROM portfolio_people WHERE (portfolio_id, contact_id) IN \
        (SELECT portfolio_id, contact_id FROM portfolio_people WHERE hour < $1 / 3600000000 LIMIT $2)";
    COUNT_WEBHOOK_EVENTS [global, scan: "asked for by hand"] =
        "SELECT count(*) FROM webhook_events WHERE id < $1 AND state <> 'pending'";
    COUNT_OUTBOX_EVENTS [global, scan: "asked for by hand"] = "SELECT count(*) FROM outbox_events WHERE id < $1";
    COUNT_PARKED_STATUSES [global, scan: "asked for by hand"] = "SELECT count(*) FROM parked_statuses WHERE parked_at < $1";
    COUNT_INBOUND_MARKS [global, scan: "asked for by hand"] = "SELECT count(*) FROM inbound_marks WHERE seen_at < $1";
    COUNT_MESSAGES [global, scan: "asked for by hand"] =
        "SELECT count(*) FROM messages WHERE id < $1 AND status NOT IN ('queued', 'sending')";
    COUNT_MESSAGE_COSTS [global, scan: "asked for by hand"] = "SELECT count(*) FROM message_costs WHERE message_id < $1";
    COUNT_PROVIDER_ASSETS [global, scan: "asked for by hand"] = "SELECT count(*) FROM provider_assets WHERE expires_at < $1";
    COUNT_PORTFOLIO_PEOPLE [global, scan: "asked for by hand"] =
        "SELECT count(*) FROM portfolio_people WHERE hour < $1 / 3600000000";
    COUNT_DEAD_LETTERS [global, scan: "asked for by hand"] =
        "SELECT count(*) FROM dead_letters WHERE created_at < $1 AND resolved_at IS NOT NULL";
    COUNT_SESSIONS [global, scan: "asked for by hand"] = "SELECT count(*) FROM sessions WHERE expires_at < $1";
    COUNT_INVITATIONS [global, scan: "asked for by hand"] = "SELECT count(*) FROM invitations WHERE expires_at < $1";
    COUNT_AUDIT_ENTRIES [global, scan: "asked for by hand"] =
        "SELECT count(*) FROM audit_entries WHERE book = 'audit' AND tenant_id > $2 AND id < $1";
    DEAD_LETTERS [tenant] = "DELETE FROM dead_letters WHERE (tenant_id, id) IN \
        (SELECT tenant_id, id FROM dead_letters WHERE created_at < $1 AND resolved_at IS NOT NULL LIMIT $2)";
}

/// What grows with time and is deleted by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aging {
    /// Raw provider requests that were handled or kept aside.
    WebhookEvents,
    /// Domain events.
    OutboxEvents,
    /// Statuses whose message never appeared.
    ParkedStatuses,
    /// Duplicate marks.
    InboundMarks,
    /// Messages that have come to an end, with their attempts and idempotency keys.
    Messages,
    /// Dead letters that were dealt with.
    DeadLetters,
    /// What messages cost, by the age of the message.
    MessageCosts,
    /// Things at a provider that are no longer good.
    ProviderAssets,
    /// Whom businesses wrote to first.
    PortfolioPeople,
    /// Sessions that are over, with links for new passwords.
    Sessions,
    /// Invitations that nobody took.
    Invitations,
    /// Who did what.
    AuditEntries,
}

impl Aging {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::WebhookEvents,
        Self::OutboxEvents,
        Self::ParkedStatuses,
        Self::InboundMarks,
        Self::Messages,
        Self::DeadLetters,
        Self::ProviderAssets,
        Self::MessageCosts,
        Self::PortfolioPeople,
        Self::Sessions,
        Self::Invitations,
        Self::AuditEntries,
    ];

    /// The table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::WebhookEvents => "webhook_events",
            Self::OutboxEvents => "outbox_events",
            Self::ParkedStatuses => "parked_statuses",
            Self::InboundMarks => "inbound_marks",
            Self::Messages => "messages",
            Self::DeadLetters => "dead_letters",
            Self::ProviderAssets => "provider_assets",
            Self::MessageCosts => "message_costs",
            Self::PortfolioPeople => "portfolio_people",
            Self::Sessions => "sessions",
            Self::Invitations => "invitations",
            Self::AuditEntries => "audit_entries",
        }
    }

    /// Whose rows have no index by age but ids that begin with the time: those are deleted tenant by tenant.
    #[must_use]
    pub const fn by_tenant(self) -> bool {
        matches!(
            self,
            Self::OutboxEvents | Self::Messages | Self::MessageCosts | Self::AuditEntries
        )
    }
}

/// The lowest id that can be made at a moment: ids begin with the time in milliseconds.
pub(super) fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.micros() / 1_000).unwrap_or(0);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Deletes at most `limit` rows that are older than `before`; how many it were. For what is not [`Aging::by_tenant`].
///
/// # Errors
/// What the database says.
pub fn delete_older(
    tx: &mut Tx<'_>,
    what: Aging,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    match what {
        Aging::WebhookEvents => tx.execute(&WEBHOOK_EVENTS, &params![first_id(before), limit]),
        Aging::ParkedStatuses => tx.execute(&PARKED_STATUSES, &params![before, limit]),
        Aging::InboundMarks => tx.execute(&INBOUND_MARKS, &params![before, limit]),
        Aging::DeadLetters => tx.execute(&DEAD_LETTERS, &params![before, limit]),
        Aging::PortfolioPeople => tx.execute(&PORTFOLIO_PEOPLE, &params![before, limit]),
        Aging::ProviderAssets => tx.execute(&PROVIDER_ASSETS, &params![before, limit]),
        Aging::Sessions => sessions::delete_over(tx, before, limit),
        Aging::Invitations => invitations::delete_over(tx, before, limit),
        Aging::OutboxEvents | Aging::Messages | Aging::MessageCosts | Aging::AuditEntries => Ok(0),
    }
}

/// How many rows are older than `before`. All rows may be looked at: for people who ask, not for every hour.
///
/// # Errors
/// What the database says.
pub fn count_older(tx: &mut Tx<'_>, what: Aging, before: Timestamp) -> Result<u64, StoreError> {
    let (by_id, by_time) = (params![first_id(before)], params![before]);
    match what {
        Aging::WebhookEvents => tx.query_one(&COUNT_WEBHOOK_EVENTS, &by_id),
        Aging::OutboxEvents => tx.query_one(&COUNT_OUTBOX_EVENTS, &by_id),
        Aging::Messages => tx.query_one(&COUNT_MESSAGES, &by_id),
        Aging::MessageCosts => tx.query_one(&COUNT_MESSAGE_COSTS, &by_id),
        Aging::AuditEntries => {
            let values = params![first_id(before), Uuid::nil()];
            tx.query_one(&COUNT_AUDIT_ENTRIES, &values)
        }
        Aging::ParkedStatuses => tx.query_one(&COUNT_PARKED_STATUSES, &by_time),
        Aging::InboundMarks => tx.query_one(&COUNT_INBOUND_MARKS, &by_time),
        Aging::DeadLetters => tx.query_one(&COUNT_DEAD_LETTERS, &by_time),
        Aging::ProviderAssets => tx.query_one(&COUNT_PROVIDER_ASSETS, &by_time),
        Aging::PortfolioPeople => tx.query_one(&COUNT_PORTFOLIO_PEOPLE, &by_time),
        Aging::Sessions => tx.query_one(&COUNT_SESSIONS, &by_time),
        Aging::Invitations => tx.query_one(&COUNT_INVITATIONS, &by_time),
    }
}

/// The next tenants behind `after`, a page of them.
///
/// # Errors
/// What the database says.
pub fn tenants_after(
    tx: &mut Tx<'_>,
    after: Option<TenantId>,
) -> Result<Vec<TenantId>, StoreError> {
    let after = after.map_or(Uuid::nil(), TenantId::uuid);
    tx.query(&TENANTS, &params![after, TENANTS_LOOKED_AT])
}

/// What a look at some tenants found.
#[derive(Debug, Clone)]
pub struct Old {
    /// Those that have rows older than the moment.
    pub tenants: Vec<TenantId>,
    /// Where the next look begins; `None` at the end.
    pub last: Option<TenantId>,
}

/// Tenants of one look.
const TENANTS_LOOKED_AT: u32 = 500;

/// The next tenants with rows of an [`Aging::by_tenant`] table that are older than `before`.
///
/// # Errors
/// What the database says.
pub fn tenants_with_older(
    tx: &mut Tx<'_>,
    what: Aging,
    before: Timestamp,
    after: Option<TenantId>,
) -> Result<Old, StoreError> {
    if what == Aging::AuditEntries {
        let chains = audit::chains_with_older(tx, first_id(before), after, TENANTS_LOOKED_AT)?;
        let full = chains.len() == TENANTS_LOOKED_AT as usize;
        return Ok(Old {
            last: chains.last().copied().filter(|_| full),
            tenants: chains,
        });
    }
    let after = after.map_or(Uuid::nil(), TenantId::uuid);
    let tenants = tx.query::<TenantId>(&TENANTS, &params![after, TENANTS_LOOKED_AT])?;
    let look = match what {
        Aging::Messages => &OLD_MESSAGE,
        Aging::MessageCosts => &OLD_MESSAGE_COST,
        _ => &OLD_OUTBOX_EVENT,
    };
    let sets: Vec<_> = tenants
        .iter()
        .map(|tenant| params![*tenant, first_id(before)])
        .collect();
    let found = tx.query_many::<Uuid>(look, &sets)?;
    let full = tenants.len() == TENANTS_LOOKED_AT as usize;
    let last = tenants.last().copied().filter(|_| full);
    let with_rows = tenants.into_iter().zip(found);
    Ok(Old {
        tenants: with_rows
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(tenant, _)| tenant)
            .collect(),
        last,
    })
}

/// Deletes at most `limit` rows of a tenant that are older than `before`; how many it were. For what is
/// [`Aging::by_tenant`].
///
/// # Errors
/// What the database says.
pub fn delete_older_of(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    what: Aging,
    tenant: TenantId,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let values = params![tenant, first_id(before), limit];
    match what {
        Aging::Messages => tx.execute(&MESSAGES, &values),
        Aging::OutboxEvents => tx.execute(&OUTBOX_EVENTS, &values),
        Aging::MessageCosts => tx.execute(&MESSAGE_COSTS, &values),
        Aging::AuditEntries => audit::delete_older(tx, keyring, tenant, before, limit),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use waxwing_core::ids::{ConversationId, OutboxEventId};
    use waxwing_core::outbox::DomainEvent;
    use waxwing_core::settings::TenantSettings;

    use super::*;
    use crate::domain::outbox::{self, NewOutboxEvent};
    use crate::domain::tenants;
    use crate::store_test;

    fn made(seconds: u64) -> Uuid {
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
    }

    #[test]
    fn ids_begin_with_the_time() {
        let at = Timestamp::from_seconds(1_800_000_000);
        assert!(made(1_799_999_999) < first_id(at));
        assert!(made(1_800_000_000) >= first_id(at));
    }

    store_test!(
        only_what_is_too_old_goes_tenant_by_tenant,
        |db| async move {
            let at = Timestamp::from_seconds(1_800_000_000);
            let [old, young] = [1, 2].map(|n| TenantId::from_uuid(Uuid::from_u128(n)));
            let outcome = db.store().write(move |tx| {
                for (tenant, seconds) in [
                    (old, [1_799_999_990, 1_799_999_999, 1_800_000_001]),
                    (young, [1_800_000_000; 3]),
                ] {
                    tenants::create(tx, tenant, "T", &TenantSettings::default(), at)?;
                    let events = seconds.map(|seconds| NewOutboxEvent {
                        tenant_id: tenant,
                        id: OutboxEventId::from_uuid(made(seconds)),
                        event: DomainEvent::SessionExpired {
                            conversation_id: ConversationId::from_uuid(Uuid::nil()),
                            state: None,
                        },
                    });
                    outbox::append(tx, &events, at)?;
                }
                let (what, keyring) = (Aging::OutboxEvents, Keyring::for_tests(1));
                let found = tenants_with_older(tx, what, at, None)?;
                assert_eq!((found.tenants, found.last), (vec![old], None));
                let steps =
                    [1, 5, 5].map(|limit| delete_older_of(tx, &keyring, what, old, at, limit));
                assert_eq!(steps, [Ok(1), Ok(1), Ok(0)]);
                assert_eq!(tenants_with_older(tx, what, at, None)?.tenants, []);
                assert_eq!(outbox::list(tx, old, None, None, at, 9)?.len(), 1);
                assert_eq!(outbox::list(tx, young, None, None, at, 9)?.len(), 3);
                Ok(())
            });
            assert_eq!(outcome.await, Ok(()));
        }
    );
}
