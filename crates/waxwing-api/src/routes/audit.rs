//! The audit log: who did what to which object, from where.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::audit as use_cases;
use waxwing_core::ids::AuditEntryId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::verify::Fault;
use waxwing_store::domain::audit::{self, AuditEntry, Book, Chain, Checkpoint, Filter};

use crate::answer::Success;
use crate::auth::{PlatformAdmin, TenantScope};
use crate::errors::{ApiError, ApiResult};
use crate::extract::ApiQuery;
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "audit";
const PLATFORM_LIST: &str = "platform-audit";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_audit))
        .routes(routes!(verify_audit))
}

/// The routes of this module, relative to `/api`.
pub fn platform_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_platform_audit))
        .routes(routes!(verify_platform_audit))
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    #[schema(value_type = String)]
    id: AuditEntryId,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `platform-admin`, the id of a person (`usr_…`), of an API key (`key_…`) or of a contact, or `system:` and a part
    /// of the server.
    actor: String,
    /// The client's address; null for what comes from inside.
    address: Option<String>,
    /// What was done, such as `template.create`.
    #[schema(example = "template.create")]
    action: String,
    /// What it was done to, such as `template`.
    object: String,
    /// Which one; null for all, or the only one.
    object_id: Option<String>,
    /// Before, as far as it is told.
    before: Option<Value>,
    /// After, as far as it is told.
    after: Option<Value>,
    /// Its number in the chain; null for a moment.
    seq: Option<i64>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let mut change = entry.change.unwrap_or_default();
        let mut side = |name: &str| {
            let value = change.get_mut(name).map(Value::take);
            value.filter(|value| !value.is_null())
        };
        Self {
            before: side("before"),
            after: side("after"),
            id: entry.id,
            at: entry.at,
            actor: entry.actor,
            address: entry.address,
            action: entry.action,
            object: entry.object,
            object_id: entry.object_id,
            seq: entry.seq,
        }
    }
}

/// Entries of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditList {
    #[schema(value_type = bool)]
    ok: Success,
    audit: Vec<AuditView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What the log is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct AuditQuery {
    /// One actor.
    actor: Option<String>,
    /// One action, such as `template.create`.
    action: Option<String>,
    /// One kind of object, such as `template`.
    object: Option<String>,
    /// One object.
    object_id: Option<String>,
}

async fn list(
    state: &ApiState,
    chain: Chain,
    page: &Page,
    query: AuditQuery,
    name: &'static str,
) -> ApiResult<Json<AuditList>> {
    let filter = Filter {
        actor: query.actor,
        action: query.action,
        object: query.object,
        object_id: query.object_id,
        before: page.after::<Uuid>(name)?.map(AuditEntryId::from_uuid),
    };
    let (keyring, rows) = (state.keyring.clone(), page.rows());
    let read = state
        .store
        .read(move |tx| audit::list(tx, &keyring, chain, &filter, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(name, &mut found, |entry| entry.id.uuid());
    Ok(Json(AuditList {
        ok: Success,
        audit: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// List the audit log
///
/// Who did what to which object, from where, before and after; also who looked at people's data. The latest first.
#[utoipa::path(
    get, path = "/audit", tag = "audit", params(PageQuery, AuditQuery),
    responses((status = 200, description = "Entries, the latest first.", body = AuditList))
)]
async fn list_audit(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> ApiResult<Json<AuditList>> {
    list(
        &state,
        Chain::new(Some(scope.id()), Book::Audit),
        &page,
        query,
        LIST,
    )
    .await
}

/// List the audit log of the platform
///
/// What the platform admin does for all tenants, and logins.
#[utoipa::path(
    get, path = "/platform/audit", tag = "audit", params(PageQuery, AuditQuery),
    responses((status = 200, description = "Entries, the latest first.", body = AuditList))
)]
async fn list_platform_audit(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    page: Page,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> ApiResult<Json<AuditList>> {
    list(
        &state,
        Chain::new(None, Book::Audit),
        &page,
        query,
        PLATFORM_LIST,
    )
    .await
}

/// The end of the chain at an earlier time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct VerifyQuery {
    /// `checkpoint.seq` of an earlier answer.
    seq: Option<u64>,
    /// `checkpoint.link` of that answer.
    link: Option<String>,
}

/// The end of a chain. Keep it somewhere else: it shows later that nothing was cut off.
#[derive(Serialize, ToSchema)]
pub struct CheckpointView {
    /// The number of the last entry.
    seq: u64,
    /// What hangs on all entries up to it.
    link: String,
}

/// Whether the log is as it was written.
#[derive(Serialize, ToSchema)]
pub struct VerifyAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// Whether nothing was changed, added, moved or dropped.
    whole: bool,
    /// Entries that were looked at; null when something is wrong.
    entries: Option<u64>,
    /// The end of the chain; null when something is wrong.
    checkpoint: Option<CheckpointView>,
    /// What is wrong, and where.
    problem: Option<String>,
}

pub(super) async fn verified(
    state: &ApiState,
    chain: Chain,
    query: VerifyQuery,
) -> ApiResult<Json<VerifyAnswer>> {
    let checkpoint = match (query.seq, query.link) {
        (None, None) => None,
        (Some(seq), Some(link)) => {
            let link = hex::decode(link)
                .map_err(|_| ApiError::malformed_field("link", "must be hexadecimal digits"))?;
            Some(Checkpoint { chain, seq, link })
        }
        _ => return Err(ApiError::invalid_field("seq", "goes together with link")),
    };
    let found = use_cases::verify(&state.base(), chain, checkpoint).await?;
    Ok(Json(match found {
        Ok(walk) => {
            let end = walk.checkpoint();
            VerifyAnswer {
                ok: Success,
                whole: true,
                entries: Some(walk.entries),
                checkpoint: Some(CheckpointView {
                    seq: end.seq,
                    link: hex::encode(end.link),
                }),
                problem: None,
            }
        }
        Err(fault) => VerifyAnswer {
            ok: Success,
            whole: false,
            entries: None,
            checkpoint: None,
            problem: Some(told(&fault)),
        },
    }))
}

fn told(fault: &Fault) -> String {
    match fault {
        Fault::Changed(id) => format!("{id} is not as it was written"),
        Fault::Misplaced(id) => format!("{id} does not belong where it stands"),
        Fault::Missing(seq) => format!("entries from number {seq} on are missing"),
        Fault::NoEnd => "an end of the chain is not proven".to_owned(),
        Fault::Cut => "the chain no longer holds what the checkpoint saw".to_owned(),
    }
}

/// Verify the audit log
///
/// Walks the chain from its first entry to its last.
#[utoipa::path(
    get, path = "/audit/verify", tag = "audit", params(VerifyQuery),
    responses((status = 200, description = "Whether it is whole.", body = VerifyAnswer))
)]
async fn verify_audit(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiQuery(query): ApiQuery<VerifyQuery>,
) -> ApiResult<Json<VerifyAnswer>> {
    verified(&state, Chain::new(Some(scope.id()), Book::Audit), query).await
}

/// Verify the audit log of the platform
#[utoipa::path(
    get, path = "/platform/audit/verify", tag = "audit", params(VerifyQuery),
    responses((status = 200, description = "Whether it is whole.", body = VerifyAnswer))
)]
async fn verify_platform_audit(
    State(state): State<ApiState>,
    _: PlatformAdmin,
    ApiQuery(query): ApiQuery<VerifyQuery>,
) -> ApiResult<Json<VerifyAnswer>> {
    verified(&state, Chain::new(None, Book::Audit), query).await
}
