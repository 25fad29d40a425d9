//! Totals of a tenant.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::costs::{self, Total};

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult};
use crate::extract::ApiQuery;
use crate::state::ApiState;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// Days of one answer.
const DAYS_MAX: i64 = 400;
/// Days before the last one while no first day is named.
const DAYS_USUAL: i64 = 30;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(message_costs))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// The first day (UTC), such as `2026-11-01`; 30 days before the last one when absent.
    from: Option<String>,
    /// The last day (UTC); today when absent.
    to: Option<String>,
}

/// The delivered messages of a day, of a category, in a currency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostView {
    /// The day (UTC).
    #[schema(example = "2026-11-01", format = Date)]
    day: String,
    /// The provider's category: `marketing`, `utility`, `authentication`, `service`, …
    category: String,
    /// ISO 4217; null for free messages and those without a price.
    currency: Option<String>,
    /// How many messages.
    messages: u64,
    /// What they cost together, as a decimal number.
    #[schema(example = "1.234500")]
    amount: String,
    /// How many of them are charged, but have no price in the rate card.
    unpriced: u64,
}

/// What messages cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct CostList {
    #[schema(value_type = bool)]
    ok: Success,
    /// By day, category and currency.
    costs: Vec<CostView>,
}

impl From<Total> for CostView {
    fn from(total: Total) -> Self {
        Self {
            day: date(total.day),
            category: total.category,
            currency: total.currency,
            messages: total.messages,
            amount: format!(
                "{}.{:06}",
                total.micros / 1_000_000,
                total.micros % 1_000_000
            ),
            unpriced: total.unpriced,
        }
    }
}

fn date(day: i64) -> String {
    let text = Timestamp::from_seconds(day * 86_400).rfc3339();
    text.get(..10).unwrap_or_default().to_owned()
}

fn day(field: &str, text: &str) -> ApiResult<i64> {
    Timestamp::parse(&format!("{text}T00:00:00Z"))
        .map(|at| at.micros().div_euclid(DAY_MICROS))
        .ok_or_else(|| ApiError::malformed_field(field, "must be a date such as 2026-11-01"))
}

/// What delivered messages cost
///
/// Each message counts once, on the day of its delivery. The price comes from the operator's rate card (`RATE_CARD`),
/// category and whether it is charged from the provider.
#[utoipa::path(
    get,
    path = "/analytics/costs",
    tag = "analytics",
    params(Days),
    responses((status = 200, description = "Totals by day, category and currency; at most 400 days.", body = CostList))
)]
async fn message_costs(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiQuery(days): ApiQuery<Days>,
) -> ApiResult<Json<CostList>> {
    let last = match &days.to {
        Some(text) => day("to", text)?,
        None => state.now().micros().div_euclid(DAY_MICROS),
    };
    let first = match &days.from {
        Some(text) => day("from", text)?,
        None => last - DAYS_USUAL,
    };
    if !(0..DAYS_MAX).contains(&(last - first)) {
        return Err(ApiError::invalid_field(
            "from",
            format!("must be before `to`, by less than {DAYS_MAX} days"),
        ));
    }
    let tenant = scope.id();
    let totals = state
        .store
        .read(move |tx| costs::totals(tx, tenant, first, last))
        .await?;
    Ok(Json(CostList {
        ok: Success,
        costs: totals.into_iter().map(Into::into).collect(),
    }))
}
