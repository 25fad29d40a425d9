//! What delivered messages cost.

use waxwing_core::ids::{ChannelId, MessageId, TenantId};
use waxwing_core::rates::Charge;

use crate::{StoreError, Tx, params, row, statements};

statements! {
    ADD [tenant] = "INSERT INTO message_costs (tenant_id, message_id, channel_id, day, category, currency, micros) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, message_id) DO NOTHING";
    TOTALS [tenant] = "SELECT day, category, currency, count(*), CAST(COALESCE(sum(micros), 0) AS BIGINT), \
        count(*) - count(micros) FROM message_costs \
        WHERE tenant_id = $1 AND day >= $2 AND day <= $3 GROUP BY day, category, currency \
        ORDER BY day, category, currency";
    OF_MESSAGE [tenant] = "SELECT category, currency, micros FROM message_costs WHERE tenant_id = $1 AND message_id = $2";
}

/// A message that was delivered, with what it costs.
#[derive(Debug, Clone)]
pub struct Charged {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// The channel that sent it.
    pub channel_id: ChannelId,
    /// What it costs.
    pub charge: Charge,
}

row! {
    /// The messages of a day, of a category, in a currency.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Total {
        day: i64,
        category: String,
        currency: Option<String>,
        messages: u64,
        micros: i64,
        unpriced: u64,
    }

    /// What one message costs.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Cost {
        category: String,
        currency: Option<String>,
        micros: Option<i64>,
    }
}

/// Notes what messages cost. The first word about a message counts.
///
/// # Errors
/// What the database says.
pub fn add_many(tx: &mut Tx<'_>, charged: &[Charged]) -> Result<(), StoreError> {
    let sets: Vec<_> = charged
        .iter()
        .map(|charged| {
            params![
                charged.tenant_id,
                charged.message_id,
                charged.channel_id,
                charged.charge.day,
                charged.charge.category.clone(),
                charged.charge.currency.clone(),
                charged.charge.micros
            ]
        })
        .collect();
    tx.execute_many(&ADD, &sets).map(|_| ())
}

/// Totals by day, category and currency, from the first to the last day (days since 1970, UTC).
///
/// # Errors
/// What the database says.
pub fn totals(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    first: i64,
    last: i64,
) -> Result<Vec<Total>, StoreError> {
    tx.query(&TOTALS, &params![tenant, first, last])
}

/// What one message costs; `None` while the provider has not told.
///
/// # Errors
/// What the database says.
pub fn of_message(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    message: MessageId,
) -> Result<Option<Cost>, StoreError> {
    tx.query_opt(&OF_MESSAGE, &params![tenant, message])
}
