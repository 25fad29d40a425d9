//! What every measurement needs: a provider, a fresh database, a running server, tenants.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use waxwing_emulator::EmulatorConfig;

use crate::emu::Provider;
use crate::http::{self, Client};
use crate::server::{Engine, Ready, Server, Site};
use crate::world::{self, Menu, Tenant};
use crate::{Outcome, meta};

/// How long a server may take to be ready.
pub const READY: Duration = Duration::from_secs(30);

/// A running server with its surroundings. The fields end in this order.
#[derive(Debug)]
pub struct Stage {
    /// The server.
    pub server: Server,
    /// Where it listens.
    pub ready: Ready,
    /// The tenants.
    pub tenants: Vec<Tenant>,
    /// The provider.
    pub provider: Provider,
    /// Its data.
    pub site: Site,
    /// Where the clients of the measurement run: one thread.
    pub runtime: Runtime,
}

impl Stage {
    /// Sets everything up on an empty database.
    ///
    /// # Errors
    /// When something cannot be started.
    pub fn set(
        program: &Path,
        engine: &Engine,
        config: EmulatorConfig,
        numbers: usize,
        menu: Menu,
    ) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let provider = Provider::start(config)?;
        let site = Site::new(program, engine, &provider.get().url())?;
        let (server, ready) = site.start_ready(READY)?;
        let callback = format!("http://{}{}", ready.api, meta::PATH);
        let made = world::build(ready.api, &provider, &callback, numbers, menu, false);
        let tenants = runtime
            .block_on(made)
            .map_err(|problem| format!("{problem}\n{}", server.last_words()))?;
        Ok(Self {
            server,
            ready,
            tenants,
            provider,
            site,
            runtime,
        })
    }

    /// Ends the server as an operator does.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn end(self) -> Outcome<()> {
        self.server.stop(Duration::from_secs(30)).map(drop)
    }
}

/// The sum of a metric over all label sets that hold `label`.
///
/// # Errors
/// When the metrics cannot be read.
pub async fn metric(ready: &Ready, name: &str, label: &str) -> Outcome<f64> {
    let address = ready.metrics.ok_or("the ready file has no `metrics`")?;
    let mut client = Client::new(address, Duration::from_secs(10));
    let answer = client
        .call(&http::request("GET", "/metrics", &[], b""))
        .await
        .map_err(|error| format!("cannot read the metrics: {error}"))?;
    let text = String::from_utf8_lossy(&answer.body);
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}
