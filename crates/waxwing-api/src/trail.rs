//! What the audit log learns of a request: where it comes from, and who has looked at whose data.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::AuditEntryId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::Origin;

use crate::address::ClientAddress;
use crate::auth::{TenantScope, asked};
use crate::errors::ApiError;
use crate::state::ApiState;

/// A request and where it comes from, whoever asks.
pub struct Requested(pub Origin);

impl FromRequestParts<ApiState> for Requested {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let action = asked(parts)?.action.unwrap_or("none");
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let (id, now) = (AuditEntryId::new(&*state.ids), state.now());
        let keyring = state.keyring.clone();
        Ok(Self(Origin::new(id, now, address, action, keyring)))
    }
}

/// That somebody looks at the same thing is told once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(10 * 60);
/// Looks that are remembered; beyond, all are told anew.
const REMEMBERED_MAX: usize = 10_000;

/// Who has looked at what a short while ago.
#[derive(Debug, Default)]
pub struct Reads(Mutex<HashMap<(String, String), Timestamp>>);

impl Reads {
    /// Tells the audit log that the caller looks at people's data, before it is shown.
    pub(crate) async fn note(
        &self,
        state: &ApiState,
        scope: &TenantScope,
        action: &'static str,
        id: Option<&str>,
    ) -> Result<(), ApiError> {
        let kind = action.split('.').next().unwrap_or(action);
        let who = format!("{} {}", scope.id(), scope.caller.actor());
        let what = format!("{action} {}", id.unwrap_or_default());
        if !self.is_news((who, what), state.now()) {
            return Ok(());
        }
        // Only what can be one of our ids: anything may stand in a path.
        let plain = |id: &&str| {
            id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let object = match id.filter(plain) {
            Some(id) => Object::one(kind, id),
            None => Object::all(kind),
        };
        let trail = scope.trail.clone();
        let write = state
            .store
            .write(move |tx| trail.record(tx, &object, &Change::untold()));
        Ok(write.await?)
    }

    fn is_news(&self, look: (String, String), now: Timestamp) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&look).is_some_and(|at| at.plus(TOLD_EVERY) > now) {
            return false;
        }
        if told.len() >= REMEMBERED_MAX {
            told.clear();
        }
        told.insert(look, now);
        true
    }
}
