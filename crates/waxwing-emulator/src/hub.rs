//! The state that all parts of an emulator share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, SystemTime};

use crate::config::{EmulatorConfig, User};
use crate::faults::{FaultScript, Faults};
use crate::ids::Rng;
use crate::ledger::Ledger;
use crate::media::MediaStore;
use crate::state::{Number, UserState, lock, read, write};
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
    /// Meta's accounts.
    pub(crate) meta: crate::meta::Accounts,
    /// MSG91's counts of calls.
    pub(crate) msg91: crate::msg91::Keys,
    /// Twilio's accounts.
    pub(crate) twilio: crate::twilio::Accounts,
    numbers: RwLock<HashMap<String, Arc<Number>>>,
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
            meta: crate::meta::Accounts::default(),
            msg91: crate::msg91::Keys::default(),
            twilio: crate::twilio::Accounts::default(),
            numbers: RwLock::default(),
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

    /// Puts a number in the place of its id.
    pub(crate) fn insert(&self, number: Number) -> Arc<Number> {
        let number = Arc::new(number);
        write(&self.numbers).insert(number.id().to_owned(), Arc::clone(&number));
        number
    }

    /// The first number that fulfils a condition.
    pub(crate) fn find_number(
        &self,
        mut wanted: impl FnMut(&Number) -> bool,
    ) -> Option<Arc<Number>> {
        read(&self.numbers)
            .values()
            .find(|number| wanted(number))
            .cloned()
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
            Due::Call(call, busy) => {
                call.0(self);
                drop(busy);
            }
        }
    }

    /// Calls a function later.
    pub(crate) fn later(&self, delay: Duration, call: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let call = crate::timer::Call(Box::new(call));
        self.timer.after(delay, Due::Call(call, self.idle.busy()));
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
