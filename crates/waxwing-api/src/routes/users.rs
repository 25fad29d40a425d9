//! The people of a tenant, and invitations to it.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::access::Role;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::{InvitationId, UserId};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::invitations::{self, InvitationRecord};
use waxwing_store::domain::users::{self, Member, Membership};

use super::auth::{email, refuse};
use crate::answer::{Done, Success};
use crate::auth::{Caller, TenantScope};
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

const LIST: &str = "users";
const INVITATION_LIST: &str = "invitations";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_users))
        .routes(routes!(change_role))
        .routes(routes!(remove_user))
        .routes(routes!(make_reset_link))
        .routes(routes!(list_invitations))
        .routes(routes!(invite))
        .routes(routes!(take_back))
}

/// A person of the tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    #[schema(value_type = String)]
    id: UserId,
    email: String,
    name: String,
    /// `owner`, `manager`, `sales`, `operations`, `field_staff` or `viewer`.
    role: &'static str,
    /// Whether the person may log in.
    active: bool,
    /// Member since.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.id,
            email: member.email,
            name: member.name,
            role: member.role.as_str(),
            active: member.active,
            since: member.since,
        }
    }
}

/// People of the tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberList {
    #[schema(value_type = bool)]
    ok: Success,
    users: Vec<MemberView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// List the people of the tenant
#[utoipa::path(
    get, path = "/users", tag = "users", params(PageQuery),
    responses((status = 200, description = "People, the oldest accounts first.", body = MemberList))
)]
async fn list_users(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
) -> ApiResult<Json<MemberList>> {
    let after = page.after::<Uuid>(LIST)?.map(UserId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let read = state
        .store
        .read(move |tx| users::members(tx, tenant, after, rows));
    let mut found = read.await?;
    let next_cursor = page.finish(LIST, &mut found, |member| member.id.uuid());
    Ok(Json(MemberList {
        ok: Success,
        users: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// Another role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    /// `owner`, `manager`, `sales`, `operations`, `field_staff` or `viewer`.
    #[schema(required, value_type = String, example = "sales")]
    role: Option<Role>,
}

/// A person of the tenant.
#[derive(Serialize, ToSchema)]
pub struct MemberAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    user: MemberView,
}

/// Change somebody's role
///
/// Only owners make and unmake owners, and a tenant keeps its last one. It counts from the next request on.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "users", request_body = ChangeRole,
    params(("id" = String, Path, description = "The id of the person")),
    responses(
        (status = 200, description = "The person with the new role.", body = MemberAnswer),
        (status = 409, description = "The tenant would lose its last owner.", body = ErrorBody),
    )
)]
async fn change_role(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<UserId>,
    ApiJson(input): ApiJson<ChangeRole>,
) -> ApiResult<Json<MemberAnswer>> {
    let role = input
        .role
        .ok_or_else(|| ApiError::invalid_field("role", "is missing"))?;
    change(&state, &scope, id, Some(role)).await?;
    let tenant = scope.id();
    let read = state.store.read(move |tx| users::member(tx, tenant, id));
    let member = read.await?.ok_or_else(|| ApiError::not_found("user"))?;
    Ok(Json(MemberAnswer {
        ok: Success,
        user: member.into(),
    }))
}

/// Remove somebody from the tenant
///
/// The account stays, with its other tenants.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The id of the person")),
    responses(
        (status = 200, description = "The person is no member any more.", body = Done),
        (status = 409, description = "The tenant would lose its last owner.", body = ErrorBody),
    )
)]
async fn remove_user(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<UserId>,
) -> ApiResult<Json<Done>> {
    change(&state, &scope, id, None).await?;
    Ok(Json(Done::default()))
}

async fn change(
    state: &ApiState,
    scope: &TenantScope,
    id: UserId,
    role: Option<Role>,
) -> ApiResult<()> {
    let (tenant, own) = (scope.id(), scope.role);
    if role.is_some_and(|role| !own.may_grant(role)) {
        return Err(ApiError::forbidden(
            "Only an owner may make somebody an owner.",
        ));
    }
    let trail = scope.trail.clone();
    let write = state.store.write(move |tx| {
        let before = users::role(tx, tenant, id)?;
        let changed =
            users::change_membership(tx, tenant, id, role, |present| own.may_grant(present))?;
        if changed == Membership::Changed {
            let told = |role: Role| json!({ "role": role.as_str() });
            let change = Change {
                before: before.map(told),
                after: role.map(told),
            };
            trail.record(tx, &Object::one("user", id), &change)?;
        }
        Ok(changed)
    });
    match write.await? {
        Membership::Changed => Ok(()),
        Membership::Missing => Err(ApiError::not_found("user")),
        Membership::NotAllowed => Err(ApiError::forbidden("Only an owner may change an owner.")),
        Membership::LastOwner => Err(ApiError::conflict("A tenant keeps its last owner.")
            .hint("Make somebody else an owner first.")),
    }
}

/// A link for a new password.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetLink {
    #[schema(value_type = bool)]
    ok: Success,
    /// For `POST /api/auth/password-reset`. Shown once; give it to the person.
    token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

pub(super) async fn reset_link(
    state: &ApiState,
    user: UserId,
    trail: Trail,
) -> ApiResult<Json<ResetLink>> {
    let made = state.app.accounts.reset_link(user, trail);
    let (token, expires_at) = made.await.map_err(refuse)?;
    Ok(Json(ResetLink {
        ok: Success,
        token: token.expose().to_owned(),
        expires_at,
    }))
}

/// Make a link for a new password
///
/// Waxwing sends no mail: give the token to the person in another way. Whoever belongs to other tenants as well gets
/// links from the platform admin only, because a link opens all of them.
#[utoipa::path(
    post, path = "/users/{id}/password-reset", tag = "users",
    params(("id" = String, Path, description = "The id of the person")),
    responses(
        (status = 200, description = "The token; an earlier one ends.", body = ResetLink),
        (status = 409, description = "The person belongs to other tenants as well.", body = ErrorBody),
    )
)]
async fn make_reset_link(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<UserId>,
) -> ApiResult<Json<ResetLink>> {
    let tenant = scope.id();
    let read = state.store.read(move |tx| {
        let present = users::role(tx, tenant, id)?;
        Ok((present, users::tenants_of(tx, id)?))
    });
    let (present, tenants) = read.await?;
    let present = present.ok_or_else(|| ApiError::not_found("user"))?;
    if !scope.role.may_grant(present) {
        return Err(ApiError::forbidden(
            "Only an owner may do that for an owner.",
        ));
    }
    let elsewhere = tenants.iter().any(|of| of.tenant_id != tenant);
    if elsewhere && !matches!(scope.caller, Caller::PlatformAdmin) {
        return Err(
            ApiError::conflict("The person belongs to other tenants as well.")
                .hint("The platform admin makes links for them."),
        );
    }
    reset_link(&state, id, scope.trail).await
}

/// An invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationView {
    #[schema(value_type = String)]
    id: InvitationId,
    email: String,
    role: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<InvitationRecord> for InvitationView {
    fn from(invitation: InvitationRecord) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email.as_str().to_owned(),
            role: invitation.role.as_str(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

/// Open invitations.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationList {
    #[schema(value_type = bool)]
    ok: Success,
    invitations: Vec<InvitationView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// List open invitations
#[utoipa::path(
    get, path = "/invitations", tag = "users", params(PageQuery),
    responses((status = 200, description = "Invitations in the order of their making.", body = InvitationList))
)]
async fn list_invitations(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
) -> ApiResult<Json<InvitationList>> {
    let after = page
        .after::<Uuid>(INVITATION_LIST)?
        .map(InvitationId::from_uuid);
    let (tenant, rows, now) = (scope.id(), page.rows(), state.now());
    let read = state
        .store
        .read(move |tx| invitations::list(tx, tenant, after, rows, now));
    let mut found = read.await?;
    let next_cursor = page.finish(INVITATION_LIST, &mut found, |one| one.id.uuid());
    Ok(Json(InvitationList {
        ok: Success,
        invitations: found.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// Whom to invite as what.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// The person's address.
    #[schema(required, value_type = String, format = Email, max_length = 254)]
    email: Option<String>,
    /// `owner`, `manager`, `sales`, `operations`, `field_staff` or `viewer`.
    #[schema(required, value_type = String, example = "sales")]
    role: Option<Role>,
}

/// An invitation that was made.
#[derive(Serialize, ToSchema)]
pub struct InvitationAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    invitation: InvitationView,
    /// For `POST /api/auth/invitations/accept`. Shown once; give it to the person.
    token: String,
}

/// Invite a person
///
/// Waxwing sends no mail: give the token to the person in another way. It is good for seven days. An earlier invitation
/// to the same address ends.
#[utoipa::path(
    post, path = "/invitations", tag = "users", request_body = Invite,
    responses(
        (status = 201, description = "The invitation and its token.", body = InvitationAnswer),
        (status = 409, description = "The person is a member already.", body = ErrorBody),
    )
)]
async fn invite(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<Invite>,
) -> ApiResult<(StatusCode, Json<InvitationAnswer>)> {
    let mut checks = Checks::new();
    let email = email(&mut checks, input.email);
    if input.role.is_none() {
        checks.wrong("role", "is missing");
    }
    checks.finish()?;
    let (email, role) = email.zip(input.role).ok_or_else(ApiError::internal)?;
    if !scope.role.may_grant(role) {
        return Err(ApiError::forbidden("Only an owner may invite an owner."));
    }
    let made = state
        .app
        .accounts
        .invite(scope.id(), email, role, scope.trail);
    let (token, invitation) = made.await.map_err(refuse)?;
    Ok((
        StatusCode::CREATED,
        Json(InvitationAnswer {
            ok: Success,
            invitation: invitation.into(),
            token: token.expose().to_owned(),
        }),
    ))
}

/// Take an invitation back
#[utoipa::path(
    delete, path = "/invitations/{id}", tag = "users",
    params(("id" = String, Path, description = "The id of the invitation")),
    responses((status = 200, description = "It is not good any more.", body = Done))
)]
async fn take_back(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<InvitationId>,
) -> ApiResult<Json<Done>> {
    let tenant = scope.id();
    let write = state.store.write(move |tx| {
        let gone = invitations::take(tx, tenant, id)?;
        if gone {
            let object = Object::one("invitation", id);
            scope.trail.record(tx, &object, &Change::untold())?;
        }
        Ok(gone)
    });
    if write.await? {
        return Ok(Json(Done::default()));
    }
    Err(ApiError::not_found("invitation"))
}
