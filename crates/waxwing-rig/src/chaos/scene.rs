//! What every kind of trouble but the kills needs: a provider, a server at a fixed address, tenants with the menu of
//! steps, a book, and one thread for the clients.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use waxwing_emulator::{EmulatorConfig, WebhookConfig};

use super::book::Book;
use super::settle;
use super::traffic::{Person, Traffic};
use crate::emu::Provider;
use crate::meta::{Does, Item};
use crate::server::{Engine, Ready, Server, Site, quiet_port};
use crate::stats::Dice;
use crate::world::{self, Menu};
use crate::{Outcome, meta, say};

/// How long a server may take to be ready.
pub const READY: Duration = Duration::from_secs(30);

/// The stage of a kind of trouble.
#[derive(Debug)]
pub struct Scene {
    /// Everybody who talks.
    pub traffic: Arc<Traffic>,
    /// What they noted.
    pub book: Arc<Book>,
    /// The provider.
    pub provider: Provider,
    /// Where the clients run.
    pub runtime: Runtime,
}

/// The provider of a scene: patient with the server, quick to try again.
#[must_use]
pub fn provider_config(book: &Arc<Book>) -> EmulatorConfig {
    let book = Arc::clone(book);
    EmulatorConfig {
        webhooks: WebhookConfig {
            retry_base: Duration::from_millis(10),
            retry_max: Duration::from_millis(200),
            timeout: Duration::from_secs(10),
            ..WebhookConfig::default()
        },
        threads: false,
        observer: Some(Arc::new(move |seen| book.show(seen))),
        ..EmulatorConfig::lenient()
    }
}

/// A place for a server that keeps its address over restarts.
///
/// # Errors
/// When there is no free port or no directory.
pub fn site(program: &Path, engine: &Engine, provider: &Provider) -> Outcome<Site> {
    let mut site = Site::new(program, engine, &provider.get().url())?;
    site.set("PORT", &quiet_port()?.to_string());
    site.set("LOG_LEVEL", "warn");
    site.set("UNKNOWN_OUTCOME_SECONDS", "2");
    Ok(site)
}

/// A runtime with one thread for the clients.
///
/// # Errors
/// What the system says.
pub fn runtime() -> Outcome<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))
}

impl Scene {
    /// Makes the tenants at a running server.
    ///
    /// # Errors
    /// When the server refuses something.
    pub fn build(
        server: &Server,
        ready: &Ready,
        provider: Provider,
        book: Arc<Book>,
        numbers: usize,
        seed: u64,
    ) -> Outcome<Self> {
        let runtime = runtime()?;
        let callback = format!("http://{}{}", ready.api, meta::PATH);
        let tenants = runtime.block_on(async {
            let tenants =
                world::build(ready.api, &provider, &callback, numbers, Menu::Chain, false).await?;
            world::hold_unknown(ready.api, &tenants).await?;
            Ok::<_, String>(tenants)
        });
        let tenants = tenants.map_err(|problem| format!("{problem}\n{}", server.last_words()))?;
        Ok(Self {
            traffic: Traffic::new(ready.api, Arc::clone(&book), tenants, seed),
            book,
            provider,
            runtime,
        })
    }

    /// People who chat with every number, and a program for each tenant.
    pub fn everybody(&self, users: u64, dice: &mut Dice) {
        for number in 0..self.traffic.tenants.len() {
            for user in 0..users {
                let alone = vec![Person { number, user }];
                self.runtime
                    .spawn(Arc::clone(&self.traffic).chat(alone, dice.fork()));
            }
            self.runtime
                .spawn(Arc::clone(&self.traffic).program(number, users, dice.fork()));
        }
        self.runtime
            .spawn(Arc::clone(&self.traffic).look(dice.fork()));
    }

    /// Lets the people of these phones write to every number, so that they may be written to.
    ///
    /// # Errors
    /// When a number does not show it in time.
    pub fn greeted(&self, phones: impl Iterator<Item = u64> + Clone) -> Outcome<()> {
        self.runtime.block_on(self.traffic.greeted(phones))
    }

    /// Lets everybody come to an end, and judges.
    pub fn judge(&self, wait: Duration) -> super::check::Findings {
        self.traffic.stop();
        let (ended, mut findings) = self.runtime.block_on(async {
            let ended = self.traffic.ended(wait).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let provider = self.provider.get();
            let (address, tenants) = (self.traffic.address, &self.traffic.tenants);
            (
                ended,
                settle::verdict(address, tenants, &self.book, provider, wait).await,
            )
        });
        if !ended {
            let text = format!("clients were still not answered after {wait:?}");
            findings.broken.push(text);
        }
        findings
    }

    /// A note of what one person says, not sent yet.
    #[must_use]
    pub fn says(&self, person: &Person, text: &str, step: Option<usize>) -> (usize, Item) {
        let item = self.traffic.item(person, Does::Says(text.to_owned()));
        let place = self.book.write([(item.clone(), step)]);
        (place, item)
    }
}

/// Ends a server, noting when it does not end well.
pub fn end(server: Server, broken: &mut Vec<String>) {
    if let Err(problem) = server.stop(Duration::from_secs(40)) {
        broken.push(problem);
    }
}

/// Whether a program is there.
#[must_use]
pub fn there(program: &str, argument: &str) -> bool {
    std::process::Command::new(program)
        .arg(argument)
        .output()
        .is_ok()
}

/// Says that something is left out, and why.
pub fn skipped(what: &str, why: &str) {
    say::result(&format!("SKIPPED {what}: {why}"));
}
