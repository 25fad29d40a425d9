//! What handlers work with.

use std::fmt;
use std::sync::Arc;

use waxwing_core::ids::IdSource;
use waxwing_core::time::{Clock, Timestamp};
use waxwing_providers::http::HttpClient;
use waxwing_store::Store;
use waxwing_store::domain::crypto::Keyring;

use crate::auth::AdminTokens;

/// The state of the API. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub store: Store,
    /// The keys that seal personal data and credentials.
    pub keyring: Keyring,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// The only way out: calls to providers.
    pub http: HttpClient,
    /// What the operator set.
    pub settings: Arc<ApiSettings>,
    /// What the workers of this process want to hear of.
    pub app: AppHandles,
}

/// Settings of the API.
#[derive(Debug)]
pub struct ApiSettings {
    /// Who is the platform admin.
    pub admin: AdminTokens,
    /// Whether the platform has an app secret, so that a channel needs none of its own.
    pub platform_app_secret: bool,
    /// Scheme, host and port of Meta's Graph API.
    pub graph_url: String,
    /// The version of the Graph API, such as `v25.0`.
    pub graph_version: String,
}

/// How handlers wake what works in this process. Each call is quick and never waits; all of it is only a hint, since
/// the database tells the same a little later.
#[derive(Clone)]
pub struct AppHandles {
    /// A channel was made or changed.
    pub channels_changed: Arc<dyn Fn() + Send + Sync>,
}

impl Default for AppHandles {
    fn default() -> Self {
        Self {
            channels_changed: Arc::new(|| {}),
        }
    }
}

impl ApiState {
    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("store", &self.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
