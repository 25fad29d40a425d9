//! A server without a socket: requests go straight into the router.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;
use waxwing_api::auth::AdminTokens;
use waxwing_api::rates::CallerRates;
use waxwing_api::state::SignupApp;
use waxwing_api::{ApiSettings, ApiState, AppHandles, router};
use waxwing_app::Base;
use waxwing_app::accounts::Accounts;
use waxwing_app::dead_letters::DeadLetters;
use waxwing_app::deliver::signal;
use waxwing_app::directory::DirectoryHandle;
use waxwing_app::ingest::{InboxSignal, Ingest, platform_secret_hash};
use waxwing_app::media::{Files, Vault};
use waxwing_app::message_templates::MessageTemplates;
use waxwing_app::send::Send;
use waxwing_core::ids::IdSource;
use waxwing_core::secret::Secret;
use waxwing_core::settings::TenantSettings;
use waxwing_core::time::{Clock, Timestamp};
use waxwing_providers::http::{HttpClient, HttpLimits};
use waxwing_providers::messaging::Endpoints;
use waxwing_store::domain::crypto::{Master, Masters};
use waxwing_store::domain::{keys, tenants};
use waxwing_store::testing::TestDb;
use zeroize::Zeroizing;
/// The platform admin's token in these tests.
pub const ADMIN: &str = "admin-token-of-the-tests";

/// Ids in a row, and a clock that stands still until a test moves it.
#[derive(Default)]
struct Steps {
    ids: AtomicU64,
    later: AtomicU64,
}

impl IdSource for Steps {
    fn next(&self) -> Uuid {
        let n = 1 + self.ids.fetch_add(1, Ordering::Relaxed);
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
    }
}

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        let later = Duration::from_secs(self.later.load(Ordering::Relaxed));
        Timestamp::from_seconds(1_795_219_200).plus(later)
    }
}

/// What an authenticator app with this secret shows, by the standard (RFC 6238) and not by the code under test.
pub fn authenticator(secret: &str, now: Timestamp) -> String {
    let secret = data_encoding::BASE32_NOPAD
        .decode(secret.as_bytes())
        .unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    let step = now.micros() / 30_000_000;
    let tag = ring::hmac::sign(&key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let word: [u8; 4] = tag.as_ref()[at..at + 4].try_into().unwrap();
    format!(
        "{:06}",
        (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000
    )
}

/// The API on a fresh database.
pub struct Api {
    db: TestDb,
    /// The state behind the router.
    pub state: ApiState,
    router: Router,
    steps: Arc<Steps>,
}

/// The use cases behind the handlers, without workers: what is queued stays queued.
async fn handles(base: &Base, endpoints: Arc<Endpoints>) -> AppHandles {
    let directory = DirectoryHandle::load(base, platform_secret_hash(base, None))
        .await
        .unwrap();
    let inbox = InboxSignal::default();
    let (delivery, _) = signal();
    let files = Files::new(
        base.clone(),
        Vault::in_memory(base.keyring.clone()),
        Duration::from_secs(3_600),
    );
    AppHandles {
        accounts: Accounts::new(base.clone()),
        directory: directory.clone(),
        files: files.clone(),
        ingest: Ingest::start(
            base.clone(),
            directory.clone(),
            Arc::default(),
            None,
            inbox.clone(),
        ),
        send: Send::new(base.clone(), directory.clone(), delivery.clone()),
        message_templates: MessageTemplates::new(
            base.clone(),
            directory,
            HttpClient::new(HttpLimits::default()),
            endpoints,
            files,
        ),
        retention: waxwing_app::retention::Retention::new(base.clone(), 90, 180),
        stop: tokio::sync::watch::channel(false).1,
        dead_letters: DeadLetters::new(base.clone(), delivery, inbox),
        verify_token: None,
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The fields that an error blames, in order.
    pub fn fields(&self) -> Vec<&str> {
        let details = self.body["details"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        details
            .iter()
            .filter_map(|detail| detail["field"].as_str())
            .collect()
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Fails unless this is a documented error body that blames these fields.
    #[track_caller]
    pub fn expect_error(self, status: u16, fields: &[&str]) -> Self {
        let answer = self.expect(status);
        let error = answer.status.canonical_reason().unwrap();
        assert_eq!(answer.body["error"], error, "{}", answer.text);
        assert!(
            answer.body["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{}",
            answer.text
        );
        assert_eq!(answer.fields(), fields, "{}", answer.text);
        answer
    }
}

impl Api {
    /// With an app secret of the platform.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of the test's own.
    pub async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let db = TestDb::sqlite().await;
        let steps = Arc::new(Steps::default());
        let mut settings = ApiSettings {
            admin: AdminTokens::new(Some(&Secret::new(ADMIN)), None, true),
            registration: true,
            rates: CallerRates::new(1_000_000),
            trusted_proxies: Vec::new(),
            platform_app_secret: true,
            signup: Some(SignupApp {
                app_id: "236484624622562".into(),
                config_id: "1".into(),
                app_secret: Secret::new("the secret of the app"),
            }),
            message_templates: true,
            media: true,
            endpoints: Arc::new(Endpoints {
                graph_url: "http://127.0.0.1:9".into(),
                ..Endpoints::default()
            }),
        };
        change(&mut settings);
        let now = steps.now();
        let made = db.store().write(move |tx| {
            tenants::ensure_default(tx, &TenantSettings::default(), now)?;
            let masters = Masters::new(Master::new(&Zeroizing::new([3; 32])), None);
            keys::adopt(tx, &masters, now)
        });
        let base = Base {
            store: db.store().clone(),
            keyring: made.await.unwrap().unwrap(),
            clock: Arc::clone(&steps) as Arc<dyn Clock>,
            ids: Arc::clone(&steps) as Arc<dyn IdSource>,
        };
        let app = handles(&base, Arc::clone(&settings.endpoints)).await;
        let state = ApiState {
            store: base.store,
            keyring: base.keyring,
            clock: base.clock,
            ids: base.ids,
            http: HttpClient::new(HttpLimits::default()),
            settings: Arc::new(settings),
            app,
            reads: Arc::default(),
        };
        Self {
            db,
            router: router(state.clone()),
            state,
            steps,
        }
    }

    /// Moves the clock on.
    pub fn later(&self, time: Duration) {
        self.steps
            .later
            .fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            text,
        }
    }

    /// Calls a route as the platform admin.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(Some(ADMIN), method, path, body).await
    }

    /// Calls a route with a token, or with none.
    pub async fn call_as(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// Registers a tenant with a number; the answer is its id.
    pub async fn tenant(&self, name: &str, number: &str) -> String {
        let body = json!({"name": name, "phoneNumberId": number, "accessToken": "EAAtoken"});
        let answer = self.post("/tenants/register", body).await.expect(201);
        answer.body["tenant"]["id"].as_str().unwrap().to_owned()
    }

    /// The router, for a look at its routes.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Closes the database.
    pub async fn end(self) {
        self.db.destroy().await;
    }
}
