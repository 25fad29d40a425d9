//! Who calls, and for which tenant.

use std::fmt;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use ring::rand::SecureRandom as _;
use ring::{hmac, rand};
use waxwing_app::accounts::Known;
use waxwing_core::access::Role;
use waxwing_core::audit::{Actor, Change, Object};
use waxwing_core::ids::{ApiKeyId, TenantId};
use waxwing_core::secret::Secret;
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::keys;
use waxwing_store::domain::second_factors;
use waxwing_store::domain::sessions::SessionRecord;
use waxwing_store::domain::tenants::{self, DEFAULT_TENANT, TenantRecord};
use waxwing_store::domain::users;

use crate::access::{self, Access, Asked};
use crate::errors::ApiError;
use crate::state::ApiState;
use crate::trail::Requested;

/// The word in a path that stands for the default tenant.
pub const DEFAULT_TENANT_WORD: &str = "default";

/// The tokens of the platform admin, kept so that they can be compared but not read.
pub struct AdminTokens {
    key: hmac::Key,
    tag: Option<hmac::Tag>,
}

impl AdminTokens {
    /// The admin token decides. While there is none, the master key does, but never in production: there the key that
    /// seals the data is no credential.
    ///
    /// # Panics
    /// When the system's random generator does not work.
    #[must_use]
    pub fn new(
        admin_token: Option<&Secret>,
        master_key: Option<&Secret>,
        production: bool,
    ) -> Self {
        let mut bytes = [0; 32];
        rand::SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system's random generator works");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let set = |secret: &&Secret| !secret.is_empty();
        let token = admin_token
            .filter(set)
            .or_else(|| master_key.filter(set).filter(|_| !production));
        let tag = token.map(|token| hmac::sign(&key, token.expose().as_bytes()));
        Self { key, tag }
    }

    /// Whether the token is the admin's. Takes the same time for every token of the same length.
    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        self.tag
            .as_ref()
            .is_some_and(|tag| hmac::verify(&self.key, token.as_bytes(), tag.as_ref()).is_ok())
    }
}

impl fmt::Debug for AdminTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminTokens")
            .field("set", &self.tag.is_some())
            .finish_non_exhaustive()
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub enum Caller {
    /// The operator of the platform: may do everything in every tenant.
    PlatformAdmin,
    /// A person who is logged in.
    User(SessionRecord),
    /// A program.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// Its tenant.
        tenant_id: TenantId,
        /// What it may do there.
        role: Role,
    },
}

impl Caller {
    /// As the audit log names them.
    #[must_use]
    pub const fn actor(self) -> Actor {
        match self {
            Self::PlatformAdmin => Actor::PlatformAdmin,
            Self::User(session) => Actor::User(session.user_id),
            Self::ApiKey { id, .. } => Actor::ApiKey(id),
        }
    }

    /// The tenant of the routes that name none.
    #[must_use]
    pub const fn own_tenant(self) -> Option<TenantId> {
        match self {
            Self::PlatformAdmin => Some(DEFAULT_TENANT),
            Self::User(session) => session.tenant_id,
            Self::ApiKey { tenant_id, .. } => Some(tenant_id),
        }
    }
}

/// What the route of a request asks. Whoever forgot to say so lets nobody in.
pub(crate) fn asked(parts: &Parts) -> Result<Asked, ApiError> {
    let route = parts.extensions.get::<MatchedPath>();
    let asked = route.and_then(|route| access::of(&parts.method, route.as_str()));
    asked.ok_or_else(|| {
        tracing::error!("a route has no entry in the table of access");
        ApiError::forbidden("Nobody may do this.")
    })
}

/// A caller with a valid credential; 401 without. A browser's cookie is one only together with the proof that our own
/// page sent the request.
#[derive(Debug, Clone, Copy)]
pub struct Authorized(pub Caller);

impl FromRequestParts<ApiState> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        if let Some(token) = bearer(&parts.headers) {
            if state.settings.admin.accepts(token) {
                return Ok(Self(Caller::PlatformAdmin));
            }
            return known(state, token).await.map(Self);
        }
        // A header that is there and cannot be read is not made good by a cookie.
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(ApiError::unauthorized());
        }
        let token = session_cookie(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let caller = known(state, token).await?;
        if !parts.method.is_safe() && !is_from_our_page(&parts.headers) {
            return Err(ApiError::forbidden(format!(
                "A request with a cookie needs the header `{CSRF_HEADER}: 1`."
            )));
        }
        Ok(Self(caller))
    }
}

async fn known(state: &ApiState, token: &str) -> Result<Caller, ApiError> {
    let (caller, credential) = match state.app.accounts.known(token).await? {
        None => return Err(ApiError::unauthorized()),
        Some(Known::User(session)) => (Caller::User(session), session.id.uuid()),
        Some(Known::ApiKey {
            id,
            tenant_id,
            role,
        }) => {
            let caller = Caller::ApiKey {
                id,
                tenant_id,
                role,
            };
            (caller, id.uuid())
        }
    };
    let tenant = caller.own_tenant().map(TenantId::uuid);
    let rates = &state.settings.rates;
    match rates.take(credential, tenant, state.now()) {
        None => Ok(caller),
        Some(wait) => Err(ApiError::throttled(wait).hint(
            "Wait as long as Retry-After says. API_REQUESTS_PER_MINUTE sets how many requests a login or key may make.",
        )),
    }
}

/// The platform admin; 401 without a valid credential, 403 for everybody else.
#[derive(Debug, Clone)]
pub struct PlatformAdmin {
    /// Records what is done.
    pub trail: Trail,
}

impl FromRequestParts<ApiState> for PlatformAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let asked = asked(parts)?;
        match Authorized::from_request_parts(parts, state).await?.0 {
            caller @ Caller::PlatformAdmin if asked.access == Access::Platform => {
                let Requested(origin) = Requested::from_request_parts(parts, state).await?;
                Ok(Self {
                    trail: origin.by(caller.actor(), None),
                })
            }
            _ => Err(ApiError::forbidden("Only the platform admin may do this.")),
        }
    }
}

/// A person who is logged in; 401 without a valid credential, 403 for programs and the platform admin.
#[derive(Debug, Clone)]
pub struct Person {
    /// The login.
    pub session: SessionRecord,
    /// Records what is done.
    pub trail: Trail,
}

impl FromRequestParts<ApiState> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let asked = asked(parts)?;
        match Authorized::from_request_parts(parts, state).await?.0 {
            caller @ Caller::User(session) if asked.access == Access::Person => {
                let Requested(origin) = Requested::from_request_parts(parts, state).await?;
                Ok(Self {
                    session,
                    trail: origin.by(caller.actor(), None),
                })
            }
            _ => Err(ApiError::forbidden(
                "Only a person who is logged in may do this.",
            )),
        }
    }
}

pub(crate) async fn record(
    state: &ApiState,
    trail: &Trail,
    object: Object,
    change: Change,
) -> Result<(), ApiError> {
    let trail = trail.clone();
    let write = state
        .store
        .write(move |tx| trail.record(tx, &object, &change));
    Ok(write.await?)
}

/// The cookie of a browser's session. The prefix makes browsers insist on `Secure`, on this very host and on `/`.
pub const SESSION_COOKIE: &str = "__Host-waxwing";
/// What only a page of our own can add to a request: other sites' pages may not set headers.
pub const CSRF_HEADER: &str = "x-waxwing-csrf";

/// The only session in the cookies of a request.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value);
    found.next().filter(|_| found.next().is_none())
}

fn is_from_our_page(headers: &HeaderMap) -> bool {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values
            .next()
            .filter(|_| values.next().is_none())
            .map(HeaderValue::as_bytes)
    };
    let site = headers
        .contains_key("sec-fetch-site")
        .then(|| one("sec-fetch-site"));
    one(CSRF_HEADER) == Some(b"1")
        && site.is_none_or(|site| matches!(site, Some(b"same-origin" | b"none")))
}

/// The only token of an `Authorization: Bearer` header; `None` when there is none, or more than one header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The tenant that the request is about: `{tenant}` of the path (an id, or `default`), or the caller's own where the
/// path names none. 404 for a tenant that does not exist or that the caller has nothing to do with, 403 for what the
/// caller's role there does not allow.
#[derive(Debug, Clone)]
pub struct TenantScope {
    /// The tenant.
    pub tenant: TenantRecord,
    /// Who calls.
    pub caller: Caller,
    /// What the caller is in the tenant; the platform admin is an owner everywhere.
    pub role: Role,
    /// Records what is done.
    pub trail: Trail,
}

impl TenantScope {
    /// The tenant's id.
    #[must_use]
    pub fn id(&self) -> TenantId {
        self.tenant.id
    }

    /// Tells the audit log of something before it is done: for what is not one transaction of ours, such as what is
    /// asked of a provider.
    ///
    /// # Errors
    /// What the database says.
    pub async fn record(
        &self,
        state: &ApiState,
        object: Object,
        change: Change,
    ) -> Result<(), ApiError> {
        record(state, &self.trail, object, change).await
    }
}

/// Whether people of this role need a second factor in a tenant.
fn needs_factor(tenant: &TenantRecord, role: Role) -> bool {
    tenant.settings.require_second_factor && matches!(role, Role::Owner | Role::Manager)
}

impl FromRequestParts<ApiState> for TenantScope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let asked = asked(parts)?;
        let Authorized(caller) = Authorized::from_request_parts(parts, state).await?;
        let unknown = || ApiError::not_found("tenant");
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| unknown())?;
        let named = params
            .iter()
            .find(|(name, _)| *name == "tenant")
            .map(|(_, value)| value);
        let id = match named {
            None => caller.own_tenant().ok_or_else(unknown)?,
            Some(DEFAULT_TENANT_WORD) => DEFAULT_TENANT,
            Some(text) => text.parse().map_err(|_| unknown())?,
        };
        let keyring = state.keyring.clone();
        let read = state.store.read(move |tx| {
            let role = match caller {
                Caller::PlatformAdmin => Some(Role::Owner),
                Caller::User(session) => users::role(tx, id, session.user_id)?,
                Caller::ApiKey {
                    tenant_id, role, ..
                } => (tenant_id == id).then_some(role),
            };
            match role {
                Some(role) => {
                    let Some(tenant) = tenants::get(tx, id)? else {
                        return Ok(None);
                    };
                    keys::ensure(tx, &keyring, id)?;
                    let lacks_factor = match caller {
                        Caller::User(session) if needs_factor(&tenant, role) => {
                            !second_factors::is_on(tx, session.user_id)?
                        }
                        _ => false,
                    };
                    Ok(Some((tenant, role, lacks_factor)))
                }
                None => Ok(None),
            }
        });
        let (tenant, role, lacks_factor) = read.await?.ok_or_else(unknown)?;
        tracing::Span::current().record("tenant", tracing::field::display(id));
        if lacks_factor {
            return Err(ApiError::forbidden(
                "This tenant asks its owners and managers for a second factor.",
            )
            .hint("Set one up with POST /api/auth/second-factor."));
        }
        match asked.access {
            Access::Tenant(action) if role.may(action) => {}
            _ => {
                let text = format!("The role {role} does not allow this.");
                return Err(ApiError::forbidden(text));
            }
        }
        let Requested(origin) = Requested::from_request_parts(parts, state).await?;
        let scope = Self {
            trail: origin.by(caller.actor(), Some(id)),
            tenant,
            caller,
            role,
        };
        let looks = |action: &&str| parts.method.is_safe() && action.ends_with(".read");
        if let Some(action) = asked.action.filter(looks) {
            let named = params.iter().find(|(name, _)| *name == "id");
            let object = named.map(|(_, value)| value);
            state.reads.note(state, &scope, action, object).await?;
        }
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_is_a_credential_only_outside_of_production_and_without_an_admin_token() {
        let (admin, master) = (Secret::new("admin"), Secret::new("master"));
        let cases = [
            (Some(&admin), Some(&master), false, ["admin"].as_slice()),
            (Some(&admin), Some(&master), true, &["admin"]),
            (None, Some(&master), false, &["master"]),
            (None, Some(&master), true, &[]),
            (None, None, false, &[]),
        ];
        for (admin, master, production, accepted) in cases {
            let tokens = AdminTokens::new(admin, master, production);
            for token in ["admin", "master", "", "adminx", "admi", "ADMIN"] {
                assert_eq!(
                    tokens.accepts(token),
                    accepted.contains(&token),
                    "{token} {accepted:?} {production}"
                );
            }
        }
        assert!(!AdminTokens::new(Some(&Secret::new("")), None, false).accepts(""));
        assert!(!format!("{:?}", AdminTokens::new(Some(&admin), None, true)).contains("admin\""));
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_cookie_is_a_credential() {
        let cookie = |lines: &[(&'static str, &'static str)]| {
            session_cookie(&headers(lines)).map(ToOwned::to_owned)
        };
        let found = cookie(&[("cookie", "a=b; __Host-waxwing=token; c=d")]);
        assert_eq!(found.as_deref(), Some("token"));
        assert_eq!(cookie(&[("cookie", "waxwing=token")]), None);
        let two = [
            ("cookie", "__Host-waxwing=a"),
            ("cookie", "__Host-waxwing=b"),
        ];
        assert_eq!(cookie(&two), None);
        assert_eq!(
            cookie(&[("cookie", "__Host-waxwing=a; __Host-waxwing=b")]),
            None
        );
    }

    #[test]
    fn only_our_own_page_may_change_something_with_a_cookie() {
        let csrf = (CSRF_HEADER, "1");
        for (pairs, ours) in [
            (&[csrf][..], true),
            (&[csrf, ("sec-fetch-site", "same-origin")], true),
            (&[csrf, ("sec-fetch-site", "none")], true),
            (&[csrf, ("sec-fetch-site", "same-site")], false),
            (&[csrf, ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[(CSRF_HEADER, "0")], false),
            (&[csrf, csrf], false),
            (&[], false),
        ] {
            assert_eq!(is_from_our_page(&headers(pairs)), ours, "{pairs:?}");
        }
    }

    #[test]
    fn one_bearer_header_is_a_credential() {
        let token = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(ToOwned::to_owned)
        };
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["bearer  abc "]).as_deref(), Some("abc"));
        for none in [
            &[][..],
            &["Bearer "],
            &["Bearer"],
            &["Basic abc"],
            &["abc"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }
}
