//! Who calls, and for which tenant.

use std::fmt;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, header};
use ring::rand::SecureRandom as _;
use ring::{hmac, rand};
use waxwing_core::ids::TenantId;
use waxwing_core::secret::Secret;
use waxwing_store::domain::tenants::{self, DEFAULT_TENANT, TenantRecord};

use crate::errors::ApiError;
use crate::state::ApiState;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The operator of the platform: may do everything in every tenant.
    PlatformAdmin,
}

impl Caller {
    /// The tenant of the routes that name none.
    #[must_use]
    pub const fn own_tenant(self) -> TenantId {
        match self {
            Self::PlatformAdmin => DEFAULT_TENANT,
        }
    }
}

/// A caller with a valid credential; 401 without.
#[derive(Debug, Clone, Copy)]
pub struct Authorized(pub Caller);

impl FromRequestParts<ApiState> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        if state.settings.admin.accepts(token) {
            return Ok(Self(Caller::PlatformAdmin));
        }
        Err(ApiError::unauthorized())
    }
}

/// The platform admin; 401 without a valid credential, 403 for everybody else.
#[derive(Debug, Clone, Copy)]
pub struct PlatformAdmin;

impl FromRequestParts<ApiState> for PlatformAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        match Authorized::from_request_parts(parts, state).await?.0 {
            Caller::PlatformAdmin => Ok(Self),
        }
    }
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
/// path names none. 404 for a tenant that does not exist or that the caller has nothing to do with.
#[derive(Debug, Clone)]
pub struct TenantScope {
    /// The tenant.
    pub tenant: TenantRecord,
    /// Who calls.
    pub caller: Caller,
}

impl TenantScope {
    /// The tenant's id.
    #[must_use]
    pub fn id(&self) -> TenantId {
        self.tenant.id
    }
}

impl FromRequestParts<ApiState> for TenantScope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
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
            None => caller.own_tenant(),
            Some(DEFAULT_TENANT_WORD) => DEFAULT_TENANT,
            Some(text) => text.parse().map_err(|_| unknown())?,
        };
        let tenant = state
            .store
            .read(move |tx| tenants::get(tx, id))
            .await?
            .ok_or_else(unknown)?;
        tracing::Span::current().record("tenant", tracing::field::display(id));
        Ok(Self { tenant, caller })
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
