//! Contacts of a tenant: who they are, and which of them are one person.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_app::contacts as use_cases;
use waxwing_core::identity::{Bsuid, Identity};
use waxwing_core::ids::{ContactId, MergeId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::time::Timestamp;
use waxwing_store::StoreError;
use waxwing_store::domain::contacts::merges::{self, MergeRow};
use waxwing_store::domain::contacts::{self, ContactRecord, Filter};
use waxwing_store::domain::crypto::Keyring;

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, ApiQuery, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "contacts";
/// Merges that a contact shows.
const MERGES_MAX: u32 = 50;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_contacts))
        .routes(routes!(get_contact))
        .routes(routes!(merge_contact))
        .routes(routes!(part_contacts))
}

/// A contact.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactView {
    #[schema(value_type = String, example = "ctc_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    id: ContactId,
    /// The name the person gave themselves.
    name: Option<String>,
    /// In E.164; null when WhatsApp does not tell it.
    phone: Option<String>,
    /// The business-scoped user id.
    user_id: Option<String>,
    /// What the person said about marketing: `opted_in`, `opted_out`, or null for nothing.
    marketing: Option<String>,
    /// When they said it.
    #[schema(value_type = Option<String>, format = DateTime)]
    marketing_at: Option<Timestamp>,
    /// The contact that this one turned out to be.
    #[schema(value_type = Option<String>)]
    merged_into: Option<ContactId>,
    /// Since when the contact is blocked.
    #[schema(value_type = Option<String>, format = DateTime)]
    blocked_at: Option<Timestamp>,
    /// When the contact was erased: nothing is known any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    erased_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl ContactView {
    fn open(
        keyring: &Keyring,
        tenant: TenantId,
        record: ContactRecord,
    ) -> Result<Self, StoreError> {
        let phone =
            contacts::open_phone(keyring, tenant, record.id, record.phone_sealed.as_deref())?;
        let user_id =
            contacts::open_user_id(keyring, tenant, record.id, record.user_id_sealed.as_deref())?;
        Ok(Self {
            id: record.id,
            name: record.name(keyring, tenant)?,
            phone: phone.map(|phone| phone.e164()),
            user_id: user_id.map(|user| user.as_str().to_owned()),
            marketing: record.marketing,
            marketing_at: record.marketing_at,
            merged_into: record.merged_into,
            blocked_at: record.blocked_at,
            erased_at: record.erased_at,
            created_at: record.created_at,
            updated_at: record.updated_at,
        })
    }
}

/// A contact that was merged into another.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeView {
    #[schema(value_type = String)]
    id: MergeId,
    /// The contact that was merged away.
    #[schema(value_type = String)]
    merged_id: ContactId,
    /// `same_message`, `provider` or `by_hand`.
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    merged_at: Timestamp,
    /// When it was undone.
    #[schema(value_type = Option<String>, format = DateTime)]
    undone_at: Option<Timestamp>,
}

impl From<MergeRow> for MergeView {
    fn from(row: MergeRow) -> Self {
        Self {
            id: row.id,
            merged_id: row.loser_id,
            reason: row.reason,
            merged_at: row.merged_at,
            undone_at: row.undone_at,
        }
    }
}

/// A contact.
#[derive(Serialize, ToSchema)]
pub struct ContactAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    contact: ContactView,
    /// The contacts that were merged into it, the latest first.
    merges: Vec<MergeView>,
}

/// Contacts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactList {
    #[schema(value_type = bool)]
    ok: Success,
    contacts: Vec<ContactView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What a list of contacts is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct ContactQuery {
    /// The one with this phone number.
    phone: Option<String>,
    /// The one with this user id.
    user_id: Option<String>,
    /// Those that are blocked, in place of those that are not.
    #[serde(default)]
    blocked: bool,
}

/// The contact to merge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergeInput {
    /// The contact that turned out to be this one.
    #[schema(value_type = String)]
    contact_id: ContactId,
}

fn unknown() -> ApiError {
    ApiError::not_found("contact")
}

/// List contacts
#[utoipa::path(
    get,
    path = "/contacts",
    tag = "contacts",
    params(PageQuery, ContactQuery),
    responses((status = 200, description = "Contacts, the latest first.", body = ContactList))
)]
async fn list_contacts(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
    ApiQuery(query): ApiQuery<ContactQuery>,
) -> ApiResult<Json<ContactList>> {
    let country = scope.tenant.settings.default_country.as_deref();
    let mut wanted = Identity::default();
    if let Some(phone) = &query.phone {
        let phone = Phone::parse(phone, country)
            .map_err(|error| ApiError::malformed_field("phone", &error.to_string()))?;
        wanted.phone = Some(phone);
    } else if let Some(user_id) = &query.user_id {
        let user = Bsuid::parse(user_id)
            .ok_or_else(|| ApiError::malformed_field("userId", "is not a user id"))?;
        wanted.user_id = Some(user);
    }
    let filter = Filter {
        blocked: query.blocked,
        alias: wanted.aliases().into_iter().next(),
        before: page.after::<Uuid>(LIST)?.map(ContactId::from_uuid),
    };
    let (tenant, keyring, rows) = (scope.id(), state.keyring.clone(), page.rows());
    let mut found = state
        .store
        .read(move |tx| contacts::list(tx, &keyring, tenant, &filter, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut found, |record| record.id.uuid());
    let contacts = found
        .into_iter()
        .map(|record| ContactView::open(&state.keyring, tenant, record))
        .collect::<Result<_, _>>()?;
    Ok(Json(ContactList {
        ok: Success,
        contacts,
        next_cursor,
    }))
}

async fn show(state: &ApiState, tenant: TenantId, id: ContactId) -> ApiResult<Json<ContactAnswer>> {
    let found = state.store.read(move |tx| {
        let record = contacts::record(tx, tenant, id)?;
        Ok((record, merges::of_contact(tx, tenant, id, MERGES_MAX)?))
    });
    let (record, merges) = found.await?;
    let contact = ContactView::open(&state.keyring, tenant, record.ok_or_else(unknown)?)?;
    Ok(Json(ContactAnswer {
        ok: Success,
        contact,
        merges: merges.into_iter().map(Into::into).collect(),
    }))
}

/// Read a contact
#[utoipa::path(
    get,
    path = "/contacts/{id}",
    tag = "contacts",
    params(("id" = String, Path, description = "The contact's id.")),
    responses((status = 200, description = "The contact.", body = ContactAnswer))
)]
async fn get_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
) -> ApiResult<Json<ContactAnswer>> {
    show(&state, scope.id(), id).await
}

/// Merge another contact into this one
///
/// Its ids and threads lead here from now on. A thread on a channel where this contact has one already stays where it
/// is and is closed. The merge can be undone.
#[utoipa::path(
    post,
    path = "/contacts/{id}/merge",
    tag = "contacts",
    params(("id" = String, Path, description = "The id of the contact that stays.")),
    request_body = MergeInput,
    responses(
        (status = 200, description = "The contact after the merge.", body = ContactAnswer),
        (status = 422, description = "They are the same, or one does not exist or was merged before.", body = ErrorBody),
    )
)]
async fn merge_contact(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ContactId>,
    ApiJson(input): ApiJson<MergeInput>,
) -> ApiResult<Json<ContactAnswer>> {
    let merged = use_cases::merge(
        &state.base(),
        scope.id(),
        id,
        input.contact_id,
        scope.trail.clone(),
    )
    .await?;
    if !merged {
        let text = "cannot be merged: it is this contact, does not exist, or one of the two was merged before";
        return Err(ApiError::invalid_field("contactId", text));
    }
    show(&state, scope.id(), id).await
}

/// Undo a merge
///
/// What it moved goes back. WhatsApp's word alone does not merge the two again.
#[utoipa::path(
    post,
    path = "/contact-merges/{id}/undo",
    tag = "contacts",
    params(("id" = String, Path, description = "The merge's id.")),
    responses((status = 200, description = "The contact that had stayed.", body = ContactAnswer))
)]
async fn part_contacts(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<MergeId>,
) -> ApiResult<Json<ContactAnswer>> {
    let winner = use_cases::part(&state.base(), scope.id(), id, scope.trail.clone()).await?;
    let winner = winner.ok_or_else(|| ApiError::not_found("merge"))?;
    show(&state, scope.id(), winner).await
}
