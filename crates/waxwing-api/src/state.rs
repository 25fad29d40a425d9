//! What handlers work with.

use std::fmt;
use std::sync::Arc;

use waxwing_app::Base;
use waxwing_app::accounts::Accounts;
use waxwing_app::dead_letters::DeadLetters;
use waxwing_app::directory::DirectoryHandle;
use waxwing_app::ingest::Ingest;
use waxwing_app::message_templates::MessageTemplates;
use waxwing_core::ids::IdSource;
use waxwing_core::secret::Secret;
use waxwing_core::time::{Clock, Timestamp};
use waxwing_providers::http::HttpClient;
use waxwing_providers::messaging::Endpoints;
use waxwing_store::Store;
use waxwing_store::domain::crypto::Keyring;

use crate::address::Network;
use crate::auth::AdminTokens;
use crate::rates::CallerRates;
use crate::trail::Reads;

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
    /// Who has looked at whose data a short while ago.
    pub reads: Arc<Reads>,
}

/// Settings of the API.
#[derive(Debug)]
pub struct ApiSettings {
    /// Who is the platform admin.
    pub admin: AdminTokens,
    /// Whether anybody may make an account with a tenant.
    pub registration: bool,
    /// How fast callers may be.
    pub rates: CallerRates,
    /// The proxies that are believed about where a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Whether the platform has an app secret, so that a channel needs none of its own.
    pub platform_app_secret: bool,
    /// Whether message templates are managed and sent.
    pub message_templates: bool,
    /// Whether media are fetched and sent.
    pub media: bool,
    /// Where the providers are, and where they reach this server.
    pub endpoints: Arc<Endpoints>,
    /// The app through which businesses connect their numbers.
    pub signup: Option<SignupApp>,
}

/// The platform's app at Meta, for Embedded Signup.
#[derive(Debug, Clone)]
pub struct SignupApp {
    /// The app's id.
    pub app_id: String,
    /// The configuration of its Facebook Login for Business.
    pub config_id: String,
    /// Exchanges codes; never goes to a browser.
    pub app_secret: Secret,
}

/// The use cases and workers of this process that handlers reach.
#[derive(Clone)]
pub struct AppHandles {
    /// People and programs that use the API.
    pub accounts: Accounts,
    /// The channels as ingest and delivery see them.
    pub directory: DirectoryHandle,
    /// Takes in webhooks.
    pub ingest: Ingest,
    /// The files of tenants.
    pub files: waxwing_app::media::Files,
    /// Queues messages.
    pub send: waxwing_app::send::Send,
    /// Message templates and their providers.
    pub message_templates: MessageTemplates,
    /// What is deleted by age.
    pub retention: waxwing_app::retention::Retention,
    /// Turns true when the process has to end.
    pub stop: tokio::sync::watch::Receiver<bool>,
    /// Retries what failed for good.
    pub dead_letters: DeadLetters,
    /// What Meta has to know for the webhook handshake; without it every handshake is refused.
    pub verify_token: Option<Secret>,
}

impl ApiState {
    /// Reads the channels again after one was changed, so that the very next webhook finds it. When that fails, it is
    /// tried again every second.
    pub async fn channels_changed(&self) {
        if let Err(error) = self.app.directory.refresh(&self.base()).await {
            tracing::warn!(%error, "the channels could not be read again; that is tried every second");
        }
    }

    /// The tools of use cases.
    #[must_use]
    pub fn base(&self) -> Base {
        Base {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }
    }

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
