//! The state that all parts of an emulator share.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, SystemTime};

use crate::config::{EmulatorConfig, NumberConfig, User};
use crate::faults::{FaultScript, Faults};
use crate::ids::Rng;
use crate::ledger::Ledger;
use crate::media::MediaStore;
use crate::state::{Number, UserState, Waba, lock, read, write};
use crate::templates::TemplateStore;
use crate::timer::{Due, Idle, Timer};
use crate::webhook::Delivery;

pub(crate) struct Hub {
    pub(crate) config: EmulatorConfig,
    pub(crate) rng: Rng,
    pub(crate) base_url: OnceLock<String>,
    pub(crate) ledger: Ledger,
    pub(crate) timer: Timer,
    pub(crate) idle: Arc<Idle>,
    pub(crate) delivery: Delivery,
    pub(crate) media: Mutex<MediaStore>,
    numbers: RwLock<HashMap<String, Arc<Number>>>,
    wabas: RwLock<HashMap<String, Arc<Waba>>>,
    faults: RwLock<Arc<Faults>>,
}

impl Hub {
    pub(crate) fn new(config: EmulatorConfig) -> std::io::Result<Self> {
        Ok(Self {
            rng: Rng::new(config.seed),
            base_url: OnceLock::new(),
            ledger: Ledger::new(config.ledger, config.ledger_capacity),
            timer: Timer::default(),
            idle: Arc::default(),
            delivery: Delivery::new(config.webhooks)?,
            media: Mutex::new(MediaStore::new(config.media_bytes)),
            numbers: RwLock::default(),
            wabas: RwLock::default(),
            faults: RwLock::new(Arc::new(Faults::new(config.faults.clone(), config.seed))),
            config,
        })
    }

    /// Milliseconds since 1970 by the emulator's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = (self.config.clock)();
        now.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
    }

    pub(crate) fn url(&self) -> &str {
        self.base_url.get().map_or("", String::as_str)
    }

    pub(crate) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&read(&self.faults))
    }

    pub(crate) fn set_faults(&self, script: FaultScript) {
        *write(&self.faults) = Arc::new(Faults::new(script, self.rng.seed()));
    }

    pub(crate) fn number(&self, id: &str) -> Option<Arc<Number>> {
        read(&self.numbers).get(id).cloned()
    }

    pub(crate) fn numbers(&self) -> Vec<Arc<Number>> {
        let mut all: Vec<_> = read(&self.numbers).values().cloned().collect();
        all.sort_by(|a, b| a.id().cmp(b.id()));
        all
    }

    pub(crate) fn waba(&self, id: &str) -> Option<Arc<Waba>> {
        read(&self.wabas).get(id).cloned()
    }

    pub(crate) fn wabas(&self) -> Vec<Arc<Waba>> {
        read(&self.wabas).values().cloned().collect()
    }

    /// Numbers of an account.
    pub(crate) fn numbers_of(&self, waba: &str) -> Vec<Arc<Number>> {
        self.numbers()
            .into_iter()
            .filter(|n| n.config.waba_id == waba)
            .collect()
    }

    /// Adds a number, or replaces the one with the same id.
    pub(crate) fn add_number(&self, config: NumberConfig) -> Arc<Number> {
        let waba = {
            let mut wabas = write(&self.wabas);
            let waba = wabas.entry(config.waba_id.clone()).or_insert_with(|| {
                Arc::new(Waba {
                    id: config.waba_id.clone(),
                    subscribed: AtomicBool::new(config.subscribed),
                    callback: RwLock::new(None),
                    templates: Mutex::new(TemplateStore::with_hello_world(&self.rng)),
                })
            });
            Arc::clone(waba)
        };
        let number = Arc::new(Number::new(config, waba));
        write(&self.numbers).insert(number.id().to_owned(), Arc::clone(&number));
        number
    }

    /// Whether any number's token is this one.
    pub(crate) fn knows_token(&self, token: &str) -> bool {
        read(&self.numbers)
            .values()
            .any(|n| n.config.access_token == token)
    }

    /// The user behind a recipient, made known if threads are kept for everybody.
    pub(crate) fn recipient(
        &self,
        number: &Number,
        wa_id: Option<&str>,
        user_id: Option<&str>,
    ) -> Option<Arc<UserState>> {
        let key = wa_id.or(user_id)?;
        if let Some(user) = number.user(key) {
            return Some(user);
        }
        if !self.config.threads {
            return None;
        }
        let user = User {
            wa_id: wa_id.map(str::to_owned),
            user_id: user_id.map(str::to_owned),
            name: String::new(),
            username: None,
        };
        number.add_user(&user, self.config.max_users)
    }

    /// Lets something that was due happen.
    pub(crate) fn happen(self: &Arc<Self>, due: Due) {
        match due {
            Due::Status(message, stage, busy) => self.stage_due(message, stage, busy),
            Due::Emit(message, stage, busy) => {
                self.emit(&message, stage);
                drop(busy);
            }
            Due::Flush(number) => self.flush(&number),
            Due::Job(job) => self.delivery.push(job, &self.ledger),
            Due::Review(waba, template, busy) => {
                self.review_template(&waba, &template);
                drop(busy);
            }
        }
    }

    /// Puts a webhook into the queue, at once or later.
    pub(crate) fn send_webhook(
        &self,
        number: &Arc<Number>,
        body: Vec<u8>,
        about: crate::webhook::About,
        delay: Duration,
    ) {
        if let Some(job) = crate::webhook::job(self, number, body, about) {
            if delay.is_zero() {
                self.delivery.push(job, &self.ledger);
            } else {
                self.timer.after(delay, Due::Job(job));
            }
        }
    }

    /// Takes the messages that waited for a phone to come online.
    pub(crate) fn release(&self, user: &UserState) {
        let held = std::mem::take(&mut lock(&user.inner).held);
        for message in held {
            let due = Due::Status(message, crate::status::Stage::Delivered, self.idle.busy());
            self.timer
                .after(self.config.timing.delivered.draw(self.rng.share()), due);
        }
    }
}
