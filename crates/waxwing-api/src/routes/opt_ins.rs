//! The consent ledger: what people want of marketing, and what shows it.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::consent::{self, Said};
use waxwing_core::audit::{Change, Object};
use waxwing_core::consent::{ConsentSource, Marketing};
use waxwing_core::ids::{AuditEntryId, ContactId};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::{self, AuditEntry, Book, Chain, Filter};
use waxwing_store::domain::{contacts, outbox};

use super::audit::{VerifyAnswer, VerifyQuery, verified};
use crate::answer::Success;
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, ApiQuery};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "opt-ins";
/// The longest wording that is kept, in characters.
const WORDING_MAX: usize = 2_000;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_opt_ins, note_opt_in))
        .routes(routes!(verify_opt_ins))
}

/// A wish about marketing, as the ledger has it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptInView {
    #[schema(value_type = String)]
    id: AuditEntryId,
    /// The contact; erased contacts keep their entries under their id.
    contact_id: Option<String>,
    /// `opted_in` or `opted_out`.
    marketing: Option<String>,
    /// What was known before; null for nothing.
    before: Option<String>,
    /// `keyword`, `whatsapp`, `provider` or `staff`.
    source: Option<String>,
    /// Who noted it: the contact, a person, or an API key.
    by: String,
    /// When it was said.
    said_at: Option<String>,
    /// When it was noted.
    #[schema(value_type = String, format = DateTime)]
    noted_at: Timestamp,
    /// What shows it: the word, the message, the wording that was shown.
    evidence: Value,
    /// Its number in the chain; null for a moment.
    seq: Option<i64>,
}

impl From<AuditEntry> for OptInView {
    fn from(entry: AuditEntry) -> Self {
        let change = entry.change.unwrap_or_default();
        let text = |path: &str| {
            let found = change.pointer(path).and_then(Value::as_str);
            found.map(str::to_owned)
        };
        Self {
            marketing: text("/after/marketing"),
            before: text("/before/marketing"),
            source: text("/after/source"),
            said_at: text("/after/saidAt"),
            evidence: change
                .pointer("/after/evidence")
                .cloned()
                .unwrap_or_default(),
            id: entry.id,
            contact_id: entry.object_id,
            by: entry.actor,
            noted_at: entry.at,
            seq: entry.seq,
        }
    }
}

/// Entries of the consent ledger.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptInList {
    #[schema(value_type = bool)]
    ok: Success,
    opt_ins: Vec<OptInView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What the ledger is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct OptInQuery {
    /// One contact: the proof of what they agreed to.
    contact_id: Option<String>,
}

/// List the consent ledger
///
/// Every wish about marketing, the latest first: by keyword, by WhatsApp's own switch, by a provider's refusal, or noted
/// by the tenant. Entries are never changed or deleted.
#[utoipa::path(
    get, path = "/opt-ins", tag = "contacts", params(PageQuery, OptInQuery),
    responses((status = 200, description = "Entries, the latest first.", body = OptInList))
)]
async fn list_opt_ins(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<OptInQuery>,
) -> ApiResult<Json<OptInList>> {
    let filter = Filter {
        object: query.contact_id.as_ref().map(|_| "contact".to_owned()),
        object_id: query.contact_id,
        before: page.after::<Uuid>(LIST)?.map(AuditEntryId::from_uuid),
        ..Filter::default()
    };
    let (keyring, rows) = (state.keyring.clone(), page.rows());
    let chain = Chain::new(Some(scope.id()), Book::Consent);
    let read = state
        .store
        .read(move |tx| audit::list(tx, &keyring, chain, &filter, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |entry| entry.id.uuid());
    Ok(Json(OptInList {
        ok: Success,
        opt_ins: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// What somebody wants of marketing.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// They want marketing messages.
    OptedIn,
    /// They do not.
    OptedOut,
}

/// A wish to be noted.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NoteOptIn {
    /// Whose.
    #[schema(required, value_type = String)]
    contact_id: Option<String>,
    /// What they want.
    #[schema(required, value_type = Wanted)]
    marketing: Option<Wanted>,
    /// The words that were shown or said, as proof. No names or numbers: they are kept when the contact is erased.
    #[schema(max_length = 2000)]
    wording: Option<String>,
    /// When it was said; now when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    said_at: Option<Timestamp>,
}

/// Whether it was news.
#[derive(Serialize, ToSchema)]
pub struct NoteAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// What the contact wants now: a later wish than this one stays.
    marketing: Option<String>,
    /// Whether it was noted; `false` when something newer was known.
    noted: bool,
}

/// Note a wish about marketing
#[utoipa::path(
    post, path = "/opt-ins", tag = "contacts", request_body = NoteOptIn,
    responses(
        (status = 201, description = "It is in the ledger.", body = NoteAnswer),
        (status = 422, description = "Something in it is wrong, or there is no such contact.", body = ErrorBody),
    )
)]
async fn note_opt_in(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<NoteOptIn>,
) -> ApiResult<(StatusCode, Json<NoteAnswer>)> {
    let mut checks = Checks::new();
    let contact = checks.required("contactId", input.contact_id);
    if input.marketing.is_none() {
        checks.wrong("marketing", "is missing");
    }
    let wording = input.wording.unwrap_or_default();
    if wording.chars().count() > WORDING_MAX {
        checks.wrong("wording", "is longer than 2000 characters");
    }
    let now = state.now();
    let at = input.said_at.unwrap_or(now);
    if at > now {
        checks.wrong("saidAt", "is in the future");
    }
    let contact: Option<ContactId> = contact.parse().ok();
    if contact.is_none() {
        checks.wrong("contactId", "is not the id of a contact");
    }
    checks.finish()?;
    let (contact, wanted) = contact
        .zip(input.marketing)
        .ok_or_else(ApiError::internal)?;
    let said = Said {
        marketing: match wanted {
            Wanted::OptedIn => Marketing::OptedIn,
            Wanted::OptedOut => Marketing::OptedOut,
        },
        source: ConsentSource::Staff,
        at,
        by: Some(scope.trail.deed().clone()),
        evidence: json!({ "wording": wording }),
    };
    let (tenant, base) = (scope.id(), state.base());
    let write = state.store.write(move |tx| {
        if contacts::get(tx, tenant, contact)?.is_none() {
            return Ok(None);
        }
        let event = consent::note(tx, &base, tenant, contact, &said, now)?;
        let change = Change::made(json!({ "marketing": said.marketing.as_str() }));
        let object = Object::one("contact", contact);
        scope.trail.record(tx, &object, &change)?;
        let noted = event.is_some();
        outbox::append(tx, &event.into_iter().collect::<Vec<_>>(), now)?;
        let marketing = contacts::marketing(tx, tenant, contact)?;
        Ok(Some((marketing, noted)))
    });
    let (marketing, noted) = write
        .await?
        .ok_or_else(|| ApiError::invalid_field("contactId", "is not known here"))?;
    Ok((
        StatusCode::CREATED,
        Json(NoteAnswer {
            ok: Success,
            marketing: marketing.map(|marketing| marketing.as_str().to_owned()),
            noted,
        }),
    ))
}

/// Verify the consent ledger
///
/// Walks its chain from the first entry to the last.
#[utoipa::path(
    get, path = "/opt-ins/verify", tag = "contacts", params(VerifyQuery),
    responses((status = 200, description = "Whether it is whole.", body = VerifyAnswer))
)]
async fn verify_opt_ins(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiQuery(query): ApiQuery<VerifyQuery>,
) -> ApiResult<Json<VerifyAnswer>> {
    verified(&state, Chain::new(Some(scope.id()), Book::Consent), query).await
}
