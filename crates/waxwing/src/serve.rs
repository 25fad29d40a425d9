//! The server: everything wired together, started in order and ended in order.

mod api;
mod supervise;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use waxwing_api::routes::health::{self, Redis, WorkerState, Workers};
use waxwing_api::{ApiState, AppHandles};
use waxwing_app::accounts::Accounts;
use waxwing_app::converse::ConverseOptions;
use waxwing_app::dead_letters::DeadLetters;
use waxwing_app::deliver::{DeliverOptions, DeliveryInbox, DeliverySignal, SharedLimits};
use waxwing_app::directory::DirectoryHandle;
use waxwing_app::ingest::{self, InboxSignal, Ingest};
use waxwing_app::keys::{self, RotationOptions};
use waxwing_app::media::{self, FetchOptions, Files, MediaSignal, Vault};
use waxwing_app::message_templates::{self, MessageTemplates, SyncOptions};
use waxwing_app::privacy::{self, ErasureOptions};
use waxwing_app::retention::Retention;
use waxwing_app::runtime::{SystemClock, SystemIds};
use waxwing_app::send::Send;
use waxwing_app::unknown::{self as unknown_outcomes, LookupOptions};
use waxwing_app::upkeep::UpkeepOptions;
use waxwing_app::{Base, converse, deliver, upkeep};
use waxwing_core::ids::NodeId;
use waxwing_core::rates::RateCard;
use waxwing_providers::http::{HttpClient, HttpLimits};
use waxwing_providers::messaging::Endpoints;
use waxwing_store::domain::unknown;
use waxwing_store::{DatabaseUrl, Engine, Store, StoreConfig};

use self::supervise::{probe, supervise};
use crate::data_dir::{self, DataDir};
use crate::failure::Failure;
use crate::http::Listener;
use crate::master_key::MasterKey;
use crate::settings::Settings;
use crate::{limits, metrics, own_number};

/// How long workers may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(26);
/// How long the rest of the end may take.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// The folder of files in the data directory.
pub const MEDIA_FOLDER: &str = "media";
/// Whoever asks for metrics is few.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// Takes in webhooks and serves the API; others do the work.
    Web,
    /// Does the work; serves only its health and metrics.
    Worker,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }
}

/// A running server.
pub struct Server {
    /// Where the API is.
    pub api_url: String,
    /// Where the metrics are.
    pub metrics_url: String,
    base: Base,
    node: NodeId,
    stop: watch::Sender<bool>,
    leave: watch::Sender<bool>,
    /// Listeners and workers.
    tasks: JoinSet<()>,
    upkeep: JoinHandle<()>,
    /// Given back last.
    data: DataDir,
}

impl Server {
    /// Starts everything. When this returns, requests are answered.
    ///
    /// # Errors
    /// What is in the way, and what to do about it.
    pub async fn start(settings: &Settings, role: Role) -> Result<Self, Failure> {
        if role != Role::All && settings.database.engine() == Engine::Sqlite {
            return Err(Failure::setting(format!(
                "--role {} needs PostgreSQL: the embedded database belongs to one process, which has to do everything; set DATABASE_URL=postgres://… or leave --role out",
                role.word()
            )));
        }
        let data = DataDir::take(&settings.data_dir)?;
        let api = listen(settings, settings.port, "PORT").await?;
        let metrics_listener = listen(settings, settings.metrics_port, "METRICS_PORT").await?;
        let recorder = metrics::start();

        let master = MasterKey::find(settings)?;
        let store = open_store(settings).await?;
        let base = prepare(settings, store.clone(), &master).await?;
        let name = match &settings.node_name {
            Some(name) => name.clone(),
            None => data.node_name(store.engine())?,
        };
        let node = NodeId::new(&*base.ids);
        let unclean = upkeep::register(&base, node, &name, role.word()).await?;
        if unclean {
            tracing::warn!(
                "the process before this one did not end in order; it is taken over from"
            );
        }

        let platform = ingest::platform_secret_hash(&base, settings.meta.app_secret.as_ref());
        let directory = DirectoryHandle::load(&base, platform).await?;
        let shared = shared_limits(settings, &base, node).await?;
        let (delivery, delivery_inbox) = match &shared {
            Some(limits) => deliver::signal_sharing(limits),
            None => deliver::signal(),
        };
        let client = HttpClient::new(HttpLimits::default());
        let vault = vault(settings, &base, role, &client)?;
        let files = Files::new(base.clone(), vault.clone(), settings.files_keep());
        let (stop, stopped) = watch::channel(false);
        let (leave, left) = watch::channel(false);
        let wiring = Wiring {
            settings,
            base: base.clone(),
            directory,
            inbox: InboxSignal::default(),
            delivery,
            media: MediaSignal::default(),
            vault,
            files,
            client,
            endpoints: Arc::new(settings.endpoints()),
            rates: Arc::new(rate_card(settings)?),
            node,
            unclean,
            stop: stopped.clone(),
        };

        let mut tasks = JoinSet::new();
        let workers = wiring.start_workers(role, delivery_inbox, &mut tasks);
        let upkeep = tokio::spawn(upkeep::run(wiring.upkeep(name, role, left)));
        let state = wiring.api_state(&master);
        let router = match role {
            Role::All | Role::Web => waxwing_api::router(state),
            Role::Worker => health::router(state),
        };
        let mut router = router.layer(Extension(workers));
        if let Some(limits) = shared {
            let seen = limits.clone();
            router = router.layer(Extension(Redis(Arc::new(move || seen.is_up()))));
            tasks.spawn(limits.run(stopped.clone()));
        }
        let server = Self {
            api_url: api.url(),
            metrics_url: metrics_listener.url(),
            base,
            node,
            stop,
            leave,
            tasks,
            upkeep,
            data,
        };
        Ok(server.serve(api, router, metrics_listener, recorder, stopped))
    }

    fn serve(
        mut self,
        api: Listener,
        router: Router,
        metrics_listener: Listener,
        recorder: metrics_exporter_prometheus::PrometheusHandle,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        tracing::info!(api = %self.api_url, metrics = %self.metrics_url, "listening");
        self.tasks
            .spawn(api.serve(router, limits::connections_max(), stopped.clone()));
        let shown = recorder.clone();
        let metrics_router = Router::new().route(
            "/metrics",
            axum::routing::get(move || async move { shown.render() }),
        );
        self.tasks.spawn(metrics_listener.serve(
            metrics_router,
            METRICS_CONNECTIONS_MAX,
            stopped.clone(),
        ));
        let mut stopped = stopped;
        self.tasks.spawn(async move {
            tokio::select! {
                () = metrics::upkeep(recorder) => {}
                _ = stopped.changed() => {}
            }
        });
        self
    }

    /// Writes where the server is into a file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_ready_file(&self, path: &Path) -> Result<(), Failure> {
        let ready = serde_json::json!({
            "api": self.api_url,
            "metrics": self.metrics_url,
            "pid": std::process::id(),
        });
        data_dir::write_private(path, ready.to_string().as_bytes())
    }

    /// Ends in order: no new requests, those inside end, workers finish what they hold, this process takes its leave,
    /// the database is closed.
    pub async fn stop(mut self) {
        tracing::info!("ending: no new requests, finishing what is in hand");
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let drained = tokio::time::timeout(DRAIN_MAX, all).await.is_ok();
        if drained && self.settle_own().await {
            self.leave.send_replace(true);
            if tokio::time::timeout(LEAVE_MAX, &mut self.upkeep)
                .await
                .is_err()
            {
                tracing::warn!(
                    "this process could not take its leave in time; its work is taken over after a while"
                );
            }
        } else {
            // The next process finds what this one held by its registration.
            tracing::warn!("what was in hand is left to the next process");
        }
        self.upkeep.abort();
        if tokio::time::timeout(LEAVE_MAX, self.base.store.close())
            .await
            .is_err()
        {
            tracing::warn!("the database did not close in time");
        }
        drop(self.data);
        tracing::info!("ended");
    }

    /// Sends whose provider did not answer until the end have an unknown outcome. They are marked now, since nobody
    /// will look for the claims of a process that took its leave.
    async fn settle_own(&self) -> bool {
        let (node, now) = (self.node, self.base.clock.now());
        let settle = self
            .base
            .store
            .write(move |tx| unknown::recover(tx, node, now));
        match tokio::time::timeout(LEAVE_MAX, settle).await {
            Ok(Ok(unknown)) => {
                if !unknown.is_empty() {
                    tracing::warn!(
                        messages = unknown.len(),
                        "providers did not answer in time; outcomes are unknown"
                    );
                }
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was in flight could not be settled");
                false
            }
            Err(_) => false,
        }
    }
}

/// How the store of these settings is opened: a failed flush ends the process.
pub fn store_config(settings: &Settings) -> StoreConfig {
    let mut config = StoreConfig::new(settings.database.clone());
    config.schema.clone_from(&settings.schema);
    config
}

/// Opens the store of these settings.
///
/// # Errors
/// When the file cannot be opened or the connection string cannot be used.
pub async fn open_store(settings: &Settings) -> Result<Store, Failure> {
    if let DatabaseUrl::Sqlite(path) = &settings.database
        && let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
    {
        data_dir::create(parent)?;
    }
    Ok(Store::open(store_config(settings)).await?)
}

async fn listen(settings: &Settings, port: u16, name: &str) -> Result<Listener, Failure> {
    let address = SocketAddr::new(settings.bind, port);
    Listener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("stop the program that has it, or set {name} to another port")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "set BIND to an address of this machine".to_owned()
            }
            _ => format!("set {name} and BIND to something that may be used"),
        };
        Failure::new(format!(
            "{address} cannot be listened on ({error}): {advice}"
        ))
    })
}

/// Schema, keys, default tenant and its number.
async fn prepare(settings: &Settings, store: Store, master: &MasterKey) -> Result<Base, Failure> {
    if settings.migrate {
        for step in store.migrate_up().await? {
            tracing::info!(step = step.name, "the schema was brought up to date");
        }
    } else {
        store.check_schema().await?;
    }
    let base = Base {
        keyring: master.settle(&store).await?,
        store,
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds::new()),
    };
    own_number::ensure(settings, &base).await?;
    Ok(base)
}

/// Where the bytes of files are.
fn vault(
    settings: &Settings,
    base: &Base,
    role: Role,
    client: &HttpClient,
) -> Result<Vault, Failure> {
    if let Some(bucket) = &settings.media_bucket {
        return Vault::s3(base.keyring.clone(), client.clone(), bucket)
            .map_err(|error| Failure::setting(format!("MEDIA_URL cannot be used: {error}")));
    }
    let folder = settings.data_dir.join(MEDIA_FOLDER);
    if role != Role::All {
        tracing::warn!(
            folder = %folder.display(),
            "files are kept in a folder of this machine; all nodes have to see the same one"
        );
    }
    Vault::local(base.keyring.clone(), &folder).map_err(|error| {
        Failure::setting(format!(
            "{} cannot hold files ({error}): set DATA_DIR to a folder that can be written",
            folder.display()
        ))
    })
}

/// The limits that nodes share, where a Redis is named. One that is away holds nothing up.
async fn shared_limits(
    settings: &Settings,
    base: &Base,
    node: NodeId,
) -> Result<Option<SharedLimits>, Failure> {
    let Some(url) = &settings.redis else {
        return Ok(None);
    };
    let space = settings.schema.as_deref().unwrap_or("public");
    let limits = SharedLimits::start(url, space, node, Arc::clone(&base.clock)).await;
    limits
        .map(Some)
        .map_err(|error| Failure::setting(format!("REDIS_URL cannot be used: {error}")))
}

/// What the parts of the server are made of.
struct Wiring<'a> {
    settings: &'a Settings,
    base: Base,
    directory: DirectoryHandle,
    inbox: InboxSignal,
    delivery: DeliverySignal,
    media: MediaSignal,
    vault: Vault,
    files: Files,
    client: HttpClient,
    endpoints: Arc<Endpoints>,
    rates: Arc<RateCard>,
    node: NodeId,
    unclean: bool,
    stop: watch::Receiver<bool>,
}

impl Wiring<'_> {
    fn start_workers(
        &self,
        role: Role,
        delivery_inbox: DeliveryInbox,
        tasks: &mut JoinSet<()>,
    ) -> Workers {
        let mut running = Vec::new();
        if role != Role::Web {
            let converse = converse::run(ConverseOptions {
                base: self.base.clone(),
                directory: self.directory.clone(),
                inbox: self.inbox.clone(),
                delivery: self.delivery.clone(),
                media: self.media.clone(),
                files: self.settings.media.then(|| self.settings.files_keep()),
                flood: Some(self.settings.flood),
                node: self.node,
                unclean: self.unclean,
                rates: Arc::clone(&self.rates),
                probe: probe(),
                stop: self.stop.clone(),
            });
            let deliver = deliver::run(DeliverOptions {
                base: self.base.clone(),
                directory: self.directory.clone(),
                client: self.client.clone(),
                endpoints: Arc::clone(&self.endpoints),
                files: self.files.clone(),
                inbox: delivery_inbox,
                node: self.node,
                stop: self.stop.clone(),
            });
            running.push(supervise("converse", converse, self.stop.clone(), tasks));
            let fetch = media::run(FetchOptions {
                base: self.base.clone(),
                directory: self.directory.clone(),
                client: self.client.clone(),
                endpoints: Arc::clone(&self.endpoints),
                vault: self.vault.clone(),
                signal: self.media.clone(),
                node: self.node,
                enabled: self.settings.media,
                stop: self.stop.clone(),
            });
            running.push(supervise("deliver", deliver, self.stop.clone(), tasks));
            let look_up = unknown_outcomes::run(LookupOptions {
                base: self.base.clone(),
                directory: self.directory.clone(),
                delivery: self.delivery.clone(),
                client: self.client.clone(),
                endpoints: Arc::clone(&self.endpoints),
                wait: self.settings.unknown_wait,
                stop: self.stop.clone(),
            });
            running.push(supervise(
                "unknown outcomes",
                look_up,
                self.stop.clone(),
                tasks,
            ));
            if self.settings.message_templates {
                let job = message_templates::run(SyncOptions {
                    templates: self.message_templates(),
                    node: self.node,
                    every: self.settings.template_sync,
                    stop: self.stop.clone(),
                });
                running.push(supervise(
                    "message templates",
                    job,
                    self.stop.clone(),
                    tasks,
                ));
            }
            running.push(supervise("media", fetch, self.stop.clone(), tasks));
            let rotation = keys::run(RotationOptions {
                base: self.base.clone(),
                node: self.node,
                stop: self.stop.clone(),
            });
            running.push(supervise("keys", rotation, self.stop.clone(), tasks));
            let erasure = privacy::run(ErasureOptions {
                base: self.base.clone(),
                node: self.node,
                stop: self.stop.clone(),
            });
            running.push(supervise("erasure", erasure, self.stop.clone(), tasks));
        }
        Workers(Arc::new(move || {
            let state = |(name, ok): &(&'static str, Arc<AtomicBool>)| WorkerState {
                name,
                ok: ok.load(Ordering::Relaxed),
            };
            running.iter().map(state).collect()
        }))
    }

    fn retention(&self) -> Retention {
        let settings = self.settings;
        Retention::new(
            self.base.clone(),
            settings.retention_days,
            settings.contact_days,
        )
    }

    fn message_templates(&self) -> MessageTemplates {
        MessageTemplates::new(
            self.base.clone(),
            self.directory.clone(),
            self.client.clone(),
            Arc::clone(&self.endpoints),
            self.files.clone(),
        )
    }

    fn upkeep(&self, name: String, role: Role, stop: watch::Receiver<bool>) -> UpkeepOptions {
        UpkeepOptions {
            base: self.base.clone(),
            directory: self.directory.clone(),
            delivery: self.delivery.clone(),
            node: self.node,
            name,
            role: role.word(),
            unknown_wait: self.settings.unknown_wait,
            retention: self.retention(),
            stop,
        }
    }

    fn api_state(&self, master: &MasterKey) -> ApiState {
        let (base, settings) = (self.base.clone(), self.settings);
        let secret = settings.meta.app_secret.clone();
        ApiState {
            store: base.store.clone(),
            keyring: base.keyring.clone(),
            clock: Arc::clone(&base.clock),
            ids: Arc::clone(&base.ids),
            http: self.client.clone(),
            settings: Arc::new(api::settings(settings, master, &self.endpoints)),
            reads: Arc::default(),
            app: AppHandles {
                accounts: Accounts::new(base.clone()),
                directory: self.directory.clone(),
                files: self.files.clone(),
                ingest: Ingest::start(
                    base.clone(),
                    self.directory.clone(),
                    Arc::clone(&self.endpoints),
                    secret,
                    self.inbox.clone(),
                ),
                send: Send::new(base.clone(), self.directory.clone(), self.delivery.clone()),
                message_templates: self.message_templates(),
                retention: self.retention(),
                stop: self.stop.clone(),
                dead_letters: DeadLetters::new(base, self.delivery.clone(), self.inbox.clone()),
                verify_token: settings.meta.verify_token.clone(),
            },
        }
    }
}

/// What messages cost; without a card only free messages have a price.
fn rate_card(settings: &Settings) -> Result<RateCard, Failure> {
    let Some(file) = &settings.rate_card else {
        return Ok(RateCard::default());
    };
    let named = |what: String| {
        Failure::setting(format!(
            "RATE_CARD ({}) cannot be used: {what}",
            file.display()
        ))
    };
    let text = std::fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    RateCard::parse(&text).map_err(|error| named(error.to_string()))
}
