//! Accounts of people: making one, logging in and out, passwords, sessions, invitations.

mod invitations;
mod passwords;
mod second_factor;

use crate::trail::Requested;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::accounts::{AccountError, NewAccount, Opened};
use waxwing_core::account::{Email, SESSION_LIFE, password_problem};
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::{SessionId, TenantId, UserId};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::second_factors;
use waxwing_store::domain::sessions::{self, SessionKind, SessionRecord};
use waxwing_store::domain::users::{self, TenantOf, UserRecord};

use super::tenants::TenantView;
use crate::answer::{Done, Success};
use crate::auth::{Person, SESSION_COOKIE};
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::state::ApiState;

/// The routes of this module, relative to `/api`.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(choose_tenant))
        .routes(routes!(list_sessions))
        .routes(routes!(end_session))
        .merge(invitations::routes())
        .merge(passwords::routes())
        .merge(second_factor::routes())
}

/// How a session is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// The token is in the answer, for the header `Authorization: Bearer`; the cookie is set as well.
    #[default]
    Token,
    /// Only in a cookie that no script can read: for pages in a browser.
    Cookie,
}

impl Held {
    const fn kind(self) -> SessionKind {
        match self {
            Self::Token => SessionKind::Bearer,
            Self::Cookie => SessionKind::Browser,
        }
    }
}

/// A person who makes an account and a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Register {
    /// The address to log in with.
    #[schema(required, value_type = String, format = Email, max_length = 254)]
    email: Option<String>,
    /// At least 12 characters. Length counts, not kinds of characters.
    #[schema(required, value_type = String, format = Password, write_only, min_length = 12, max_length = 128)]
    password: Option<Secret>,
    /// The person's name; without it, what stands before the @.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The tenant's name; without it, the person's.
    #[schema(min_length = 1, max_length = 200)]
    tenant_name: Option<String>,
    /// How the session is held.
    #[serde(default)]
    session: Held,
}

/// Address and password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The address.
    #[schema(required, value_type = String, format = Email)]
    email: Option<String>,
    /// The password.
    #[schema(required, value_type = String, format = Password, write_only)]
    password: Option<Secret>,
    /// For who has a second factor: six digits from the app, or a recovery code.
    #[schema(value_type = Option<String>, write_only)]
    code: Option<Secret>,
    /// How the session is held.
    #[serde(default)]
    session: Held,
}

/// A person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    #[schema(value_type = String)]
    id: UserId,
    email: String,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<UserRecord> for UserView {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            created_at: user.created_at,
        }
    }
}

/// A tenant of a person.
#[derive(Serialize, ToSchema)]
pub struct TenantOfView {
    #[schema(value_type = String)]
    id: TenantId,
    name: String,
    /// What the person is there.
    #[schema(value_type = String, example = "owner")]
    role: &'static str,
}

impl From<TenantOf> for TenantOfView {
    fn from(of: TenantOf) -> Self {
        Self {
            id: of.tenant_id,
            name: of.name,
            role: of.role.as_str(),
        }
    }
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    user: UserView,
    /// The tenants of the person.
    tenants: Vec<TenantOfView>,
    /// The tenant of the routes that name none.
    #[schema(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    /// For `Authorization: Bearer`; absent when only the cookie was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// When the session ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The tenant that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantView>,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    user: UserView,
    tenants: Vec<TenantOfView>,
    #[schema(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    session: SessionView,
    /// Whether a login needs a code.
    second_factor: bool,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    #[schema(value_type = String)]
    id: SessionId,
    /// `browser` or `bearer`.
    kind: &'static str,
    /// Whether it is the one of this request.
    current: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To a few minutes.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
}

impl SessionView {
    fn new(session: &SessionRecord, current: SessionId) -> Self {
        Self {
            id: session.id,
            kind: session.kind.as_str(),
            current: session.id == current,
            created_at: session.created_at,
            seen_at: session.seen_at,
        }
    }
}

/// Sessions.
#[derive(Serialize, ToSchema)]
pub struct SessionList {
    #[schema(value_type = bool)]
    ok: Success,
    sessions: Vec<SessionView>,
}

pub(super) fn refuse(error: AccountError) -> ApiError {
    match error {
        AccountError::WrongLogin => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "The address or the password is wrong.",
        ),
        AccountError::CodeMissing => second_step("is missing"),
        AccountError::WrongCode => second_step("is wrong or was used before"),
        AccountError::HasSecondFactor => {
            ApiError::conflict("There is a second factor already.").hint("Remove it first.")
        }
        AccountError::TooFast(wait) => ApiError::throttled(wait),
        AccountError::EmailTaken => ApiError::conflict_field("email", "is used by another account"),
        AccountError::StaleLink => ApiError::invalid_field("token", "is not good any more")
            .hint("A link works once and for a limited time. Ask for a new one."),
        AccountError::Member => ApiError::conflict_field("email", "is a member already"),
        AccountError::Full => ApiError::conflict("There are as many as a tenant may have."),
        AccountError::Ending(_) => ApiError::unavailable(
            "The server is about to end.",
            std::time::Duration::from_secs(2),
        ),
        AccountError::Store(error) => error.into(),
    }
}

/// The password is right, the code is not: `details` names it, so that a page asks for it.
fn second_step(problem: &str) -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "A code of the second factor is needed.",
    )
    .field("code", problem)
    .hint("Give six digits of the authenticator app as `code`, or a recovery code.")
}

/// Reads an address that has to be one.
pub(super) fn email(checks: &mut Checks, text: Option<String>) -> Option<Email> {
    let email = Email::parse(&checks.required("email", text));
    if email.is_none() {
        checks.wrong("email", "must be an e-mail address");
    }
    email
}

fn password(
    checks: &mut Checks,
    field: &str,
    password: Option<Secret>,
    email: Option<&Email>,
) -> Secret {
    let Some(password) = password else {
        checks.wrong(field, "is missing");
        return Secret::new("");
    };
    if let Some(problem) = email.and_then(|email| password_problem(&password, email)) {
        checks.wrong(field, problem);
    }
    password
}

/// The answer that begins a session, with its cookie.
async fn began(
    state: &ApiState,
    status: StatusCode,
    opened: Opened,
    held: Held,
    tenant: Option<TenantView>,
) -> ApiResult<Response> {
    let session = opened.session;
    let (user, tenants) = person(state, session.user_id).await?;
    let token = opened.token.expose();
    let cookie = cookie(token, SESSION_LIFE.as_secs());
    let answer = LoginAnswer {
        ok: Success,
        user: user.into(),
        tenants: tenants.into_iter().map(Into::into).collect(),
        tenant_id: session.tenant_id,
        token: (held == Held::Token).then(|| token.to_owned()),
        expires_at: session.created_at.plus(SESSION_LIFE),
        tenant,
    };
    Ok((status, [cookie], Json(answer)).into_response())
}

fn cookie(token: &str, seconds: u64) -> (HeaderName, HeaderValue) {
    let line = format!(
        "{SESSION_COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}"
    );
    let mut value = HeaderValue::from_str(&line).expect("a token is visible ASCII");
    value.set_sensitive(true);
    (header::SET_COOKIE, value)
}

async fn person(state: &ApiState, id: UserId) -> ApiResult<(UserRecord, Vec<TenantOf>)> {
    let read = state.store.read(move |tx| {
        let tenants = users::tenants_of(tx, id)?;
        Ok(users::get(tx, id)?.map(|user| (user, tenants)))
    });
    read.await?.ok_or_else(ApiError::unauthorized)
}

/// Make an account and a tenant
///
/// The person owns the tenant and is logged in. Closed where the operator set `REGISTRATION=closed`; then people come by
/// invitation.
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts", security(()), request_body = Register,
    responses(
        (status = 201, description = "The account, its tenant and a session.", body = LoginAnswer),
        (status = 403, description = "Registration is closed.", body = ErrorBody),
        (status = 409, description = "Another account has the address.", body = ErrorBody),
        (status = 429, description = "Too many accounts from one place; wait `Retry-After` seconds.", body = ErrorBody),
        (status = 503, description = "The database is away or busy.", body = ErrorBody),
    )
)]
async fn register(
    State(state): State<ApiState>,
    Requested(origin): Requested,
    ApiJson(input): ApiJson<Register>,
) -> ApiResult<Response> {
    if !state.settings.registration {
        return Err(
            ApiError::forbidden("Registration is closed on this server.")
                .hint("Ask somebody of the tenant for an invitation."),
        );
    }
    let mut checks = Checks::new();
    let email = email(&mut checks, input.email);
    let password = password(&mut checks, "password", input.password, email.as_ref());
    let before_the_at = || {
        let email = email.as_ref().map(Email::as_str).unwrap_or_default();
        email.split('@').next().unwrap_or_default().to_owned()
    };
    let name = input.name.unwrap_or_else(before_the_at);
    if email.is_some() {
        checks.name("name", &name);
    }
    let tenant_name = input.tenant_name.unwrap_or_else(|| name.clone());
    if email.is_some() {
        checks.name("tenantName", &tenant_name);
    }
    checks.finish()?;
    let account = NewAccount {
        email: email.ok_or_else(ApiError::internal)?,
        name: name.trim().to_owned(),
        password,
    };
    let tenant_name = tenant_name.trim().to_owned();
    let made = state
        .app
        .accounts
        .register(account, tenant_name, origin, input.session.kind());
    let (opened, tenant) = made.await.map_err(refuse)?;
    tracing::info!(tenant = %tenant.id, user = %opened.session.user_id, "a person made an account and a tenant");
    let tenant = Some(tenant.into());
    began(&state, StatusCode::CREATED, opened, input.session, tenant).await
}

/// Log in
#[utoipa::path(
    post, path = "/auth/login", tag = "accounts", security(()), request_body = Login,
    responses(
        (status = 200, description = "A session has begun.", body = LoginAnswer),
        (status = 401, description = "The address or the password is wrong. Where `details` names `code`, they are right \
            and a code of the second factor is needed.", body = ErrorBody),
        (status = 429, description = "Too many tries; wait `Retry-After` seconds.", body = ErrorBody),
        (status = 503, description = "The database is away or busy.", body = ErrorBody),
    )
)]
async fn login(
    State(state): State<ApiState>,
    Requested(origin): Requested,
    ApiJson(input): ApiJson<Login>,
) -> ApiResult<Response> {
    let mut checks = Checks::new();
    let email = email(&mut checks, input.email);
    let password = password(&mut checks, "password", input.password, None);
    checks.finish()?;
    let email = email.ok_or_else(ApiError::internal)?;
    let opened =
        state
            .app
            .accounts
            .login(email, password, input.code, origin, input.session.kind());
    let opened = opened.await.map_err(refuse)?;
    began(&state, StatusCode::OK, opened, input.session, None).await
}

/// Log out
///
/// The session ends at once, everywhere.
#[utoipa::path(
    post, path = "/auth/logout", tag = "accounts",
    responses((status = 200, description = "The session has ended.", body = Done))
)]
async fn logout(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
) -> ApiResult<Response> {
    let end = move |tx: &mut waxwing_store::Tx<'_>| {
        let object = Object::one("session", session.id);
        trail.record(tx, &object, &Change::untold())?;
        sessions::end(tx, session.user_id, session.id)
    };
    state.store.write(end).await?;
    Ok(([cookie("", 0)], Json(Done::default())).into_response())
}

/// Who am I
#[utoipa::path(
    get, path = "/auth/me", tag = "accounts",
    responses((status = 200, description = "The person and their tenants.", body = MeAnswer))
)]
async fn me(
    State(state): State<ApiState>,
    Person { session, .. }: Person,
) -> ApiResult<Json<MeAnswer>> {
    let (user, tenants) = person(&state, session.user_id).await?;
    let read = state
        .store
        .read(move |tx| second_factors::is_on(tx, session.user_id));
    let second_factor = read.await?;
    Ok(Json(MeAnswer {
        ok: Success,
        user: user.into(),
        tenants: tenants.into_iter().map(Into::into).collect(),
        tenant_id: session.tenant_id,
        session: SessionView::new(&session, session.id),
        second_factor,
    }))
}

/// A tenant to work in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChooseTenant {
    /// One of the person's tenants.
    #[schema(required, value_type = String)]
    tenant_id: Option<String>,
}

/// Choose the tenant of the session
///
/// It is meant by routes that name no tenant.
#[utoipa::path(
    post, path = "/auth/tenant", tag = "accounts", request_body = ChooseTenant,
    responses((status = 200, description = "The session works in the tenant.", body = Done))
)]
async fn choose_tenant(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    ApiJson(input): ApiJson<ChooseTenant>,
) -> ApiResult<Json<Done>> {
    let mut checks = Checks::new();
    let text = checks.required("tenantId", input.tenant_id);
    checks.finish()?;
    let not_theirs = || ApiError::invalid_field("tenantId", "is none of your tenants");
    let tenant: TenantId = text.parse().map_err(|_| not_theirs())?;
    let write = state.store.write(move |tx| {
        if users::role(tx, tenant, session.user_id)?.is_none() {
            return Ok(false);
        }
        let object = Object::one("session", session.id);
        let change = Change::made(json!({ "tenantId": tenant.to_string() }));
        trail.record(tx, &object, &change)?;
        sessions::set_tenant(tx, session.id, tenant).map(|()| true)
    });
    if write.await? {
        Ok(Json(Done::default()))
    } else {
        Err(not_theirs())
    }
}

/// List the sessions of the person
#[utoipa::path(
    get, path = "/auth/sessions", tag = "accounts",
    responses((status = 200, description = "Sessions, the latest first.", body = SessionList))
)]
async fn list_sessions(
    State(state): State<ApiState>,
    Person { session, .. }: Person,
) -> ApiResult<Json<SessionList>> {
    let now = state.now();
    let read = state
        .store
        .read(move |tx| sessions::of_user(tx, session.user_id, now));
    let sessions = read.await?;
    let view = |one: &SessionRecord| SessionView::new(one, session.id);
    Ok(Json(SessionList {
        ok: Success,
        sessions: sessions.iter().map(view).collect(),
    }))
}

/// End a session of the person
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "accounts",
    params(("id" = String, Path, description = "The id of the session")),
    responses((status = 200, description = "The session has ended.", body = Done))
)]
async fn end_session(
    State(state): State<ApiState>,
    Person { session, trail }: Person,
    IdParam(id): IdParam<SessionId>,
) -> ApiResult<Json<Done>> {
    let end = state.store.write(move |tx| {
        let ended = sessions::end(tx, session.user_id, id)?;
        if ended {
            trail.record(tx, &Object::one("session", id), &Change::untold())?;
        }
        Ok(ended)
    });
    if end.await? {
        Ok(Json(Done::default()))
    } else {
        Err(ApiError::not_found("session"))
    }
}
