//! Numbers and users that the emulator knows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::User;
use crate::dialog360::Dialog360Line;
use crate::meta::MetaLine;
use crate::msg91::Msg91Line;
use crate::provider::{Line, Parcel, Provider, Wire};
use crate::shown::{ShownMessage, Tick};
use crate::status::Batch;
use crate::twilio::TwilioLine;

/// Locks without caring for poison: the data stays consistent between statements, and a panic is reported elsewhere.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// A business phone number.
#[derive(Debug)]
pub(crate) struct Number {
    /// The number's id in the emulator, shared with ledger records.
    pub(crate) shared_id: Arc<str>,
    /// What its provider keeps about it.
    pub(crate) line: Line,
    pub(crate) throughput: Mutex<Option<Instant>>,
    pub(crate) batch: Mutex<Batch>,
    users: RwLock<Users>,
}

#[derive(Debug, Default)]
struct Users {
    by_phone: HashMap<String, Arc<UserState>>,
    by_user_id: HashMap<String, Arc<UserState>>,
    order: Vec<Arc<UserState>>,
}

impl Number {
    pub(crate) fn new(id: &str, line: Line) -> Self {
        Self {
            shared_id: id.into(),
            line,
            throughput: Mutex::new(None),
            batch: Mutex::new(Batch::default()),
            users: RwLock::new(Users::default()),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.shared_id
    }

    pub(crate) fn wire(&self) -> &dyn Wire {
        self.line.wire()
    }

    pub(crate) fn provider(&self) -> Provider {
        self.wire().provider()
    }

    /// The line of a number of Meta's.
    pub(crate) const fn meta(&self) -> Option<&MetaLine> {
        match &self.line {
            Line::Meta(line) => Some(line),
            _ => None,
        }
    }

    /// The number as Meta knows it: Meta's own numbers, and those that 360dialog resells.
    pub(crate) const fn cloud(&self) -> Option<&MetaLine> {
        match &self.line {
            Line::Meta(line) => Some(line),
            Line::Dialog360(line) => Some(&line.meta),
            Line::Msg91(_) | Line::Twilio(_) => None,
        }
    }

    /// A webhook of Meta's in the form that this number's receiver gets.
    pub(crate) fn forward(&self, parcel: Parcel) -> Option<Parcel> {
        match &self.line {
            Line::Dialog360(line) => line.forward(parcel),
            _ => Some(parcel),
        }
    }

    /// The line of a number at 360dialog.
    pub(crate) const fn dialog360(&self) -> Option<&Dialog360Line> {
        match &self.line {
            Line::Dialog360(line) => Some(line),
            _ => None,
        }
    }

    /// The line of a number at MSG91.
    pub(crate) const fn msg91(&self) -> Option<&Msg91Line> {
        match &self.line {
            Line::Msg91(line) => Some(line),
            _ => None,
        }
    }

    /// The line of a number of Twilio's.
    pub(crate) const fn twilio(&self) -> Option<&TwilioLine> {
        match &self.line {
            Line::Twilio(line) => Some(line),
            _ => None,
        }
    }

    /// Finds a user by phone digits or business-scoped id.
    pub(crate) fn user(&self, key: &str) -> Option<Arc<UserState>> {
        let users = read(&self.users);
        users
            .by_phone
            .get(key)
            .or_else(|| users.by_user_id.get(key))
            .cloned()
    }

    /// All users in order of appearance.
    pub(crate) fn users(&self) -> Vec<Arc<UserState>> {
        read(&self.users).order.clone()
    }

    /// Finds or adds a user; `None` when `max` users exist already. A known user takes over new identifiers and names.
    pub(crate) fn add_user(&self, user: &User, max: usize) -> Option<Arc<UserState>> {
        let mut users = write(&self.users);
        let known = user
            .wa_id
            .as_ref()
            .and_then(|id| users.by_phone.get(id))
            .or_else(|| {
                user.user_id
                    .as_ref()
                    .and_then(|id| users.by_user_id.get(id))
            })
            .cloned();
        let state = match known {
            Some(state) => {
                {
                    let mut old = write(&state.user);
                    old.wa_id = user.wa_id.clone().or_else(|| old.wa_id.take());
                    old.user_id = user.user_id.clone().or_else(|| old.user_id.take());
                    old.username = user.username.clone().or_else(|| old.username.take());
                    if !user.name.is_empty() {
                        old.name.clone_from(&user.name);
                    }
                }
                state
            }
            None if users.order.len() >= max => return None,
            None => {
                let state = Arc::new(UserState::new(user.clone()));
                users.order.push(Arc::clone(&state));
                state
            }
        };
        let merged = read(&state.user).clone();
        if let Some(id) = merged.wa_id {
            users.by_phone.insert(id, Arc::clone(&state));
        }
        if let Some(id) = merged.user_id {
            users.by_user_id.insert(id, Arc::clone(&state));
        }
        drop(users);
        Some(state)
    }

    /// Moves a user to another phone. The old number no longer reaches anybody.
    pub(crate) fn change_phone(&self, state: &Arc<UserState>, new: &str) -> Option<String> {
        let mut users = write(&self.users);
        let old = write(&state.user).wa_id.replace(new.to_owned());
        if let Some(old) = &old {
            users.by_phone.remove(old);
        }
        users.by_phone.insert(new.to_owned(), Arc::clone(state));
        drop(users);
        old
    }

    /// Gives a user another business-scoped id, as Meta does after a change of number.
    pub(crate) fn change_user_id(&self, state: &Arc<UserState>, new: &str) -> Option<String> {
        let mut users = write(&self.users);
        let old = write(&state.user).user_id.replace(new.to_owned());
        if let Some(old) = &old {
            users.by_user_id.remove(old);
        }
        users.by_user_id.insert(new.to_owned(), Arc::clone(state));
        drop(users);
        old
    }
}

/// How a user can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Messages arrive.
    #[default]
    Online,
    /// Messages stay at `sent` until the phone is online again.
    Offline,
    /// Not on WhatsApp: messages fail, with Meta's 131026 or Twilio's 63024.
    NotOnWhatsApp,
}

/// A user of one number.
#[derive(Debug)]
pub(crate) struct UserState {
    pub(crate) user: RwLock<User>,
    pub(crate) inner: Mutex<UserInner>,
    rev: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct UserInner {
    /// End of the customer service window, in milliseconds of the emulator's clock.
    pub(crate) window_until: u64,
    /// Theoretical arrival time of the pair rate limit.
    pub(crate) pair: Option<Instant>,
    pub(crate) opted_out: bool,
    pub(crate) reach: Reach,
    /// Messages that wait for the phone to come online.
    pub(crate) held: Vec<Arc<crate::status::OutMessage>>,
    pub(crate) thread: VecDeque<ShownMessage>,
    seq: u64,
    rev: u64,
}

impl UserState {
    fn new(user: User) -> Self {
        Self {
            user: RwLock::new(user),
            inner: Mutex::default(),
            rev: watch::Sender::new(0),
        }
    }

    /// Appends a bubble and wakes the listeners.
    pub(crate) fn show(&self, mut message: ShownMessage, keep: usize) {
        let mut inner = lock(&self.inner);
        inner.seq += 1;
        inner.rev += 1;
        message.seq = inner.seq;
        message.rev = inner.rev;
        inner.thread.push_back(message);
        while inner.thread.len() > keep {
            inner.thread.pop_front();
        }
        let rev = inner.rev;
        drop(inner);
        self.rev.send_replace(rev);
    }

    /// Raises the ticks of a message; `failed` replaces only what was not delivered.
    pub(crate) fn tick(&self, id: &str, tick: Tick, error: Option<i64>) {
        let mut inner = lock(&self.inner);
        let rev = inner.rev + 1;
        let Some(message) = inner.thread.iter_mut().rev().find(|m| m.id == id) else {
            return;
        };
        let rises = match (message.tick, tick) {
            (Tick::Failed, Tick::Delivered | Tick::Read | Tick::Played) => true,
            (Tick::Failed, _) => false,
            (old, Tick::Failed) => old < Tick::Delivered,
            (old, new) => new > old,
        };
        if !rises {
            return;
        }
        message.tick = tick;
        message.error = error;
        message.rev = rev;
        inner.rev = rev;
        drop(inner);
        self.rev.send_replace(rev);
    }

    /// The business read a message: it and the user's earlier ones get their blue ticks.
    pub(crate) fn read_by_business(&self, id: &str) {
        let mut inner = lock(&self.inner);
        let Some(seq) = inner
            .thread
            .iter()
            .find(|m| !m.from_business && m.id == id)
            .map(|m| m.seq)
        else {
            return;
        };
        let rev = inner.rev + 1;
        let mut changed = false;
        for message in inner
            .thread
            .iter_mut()
            .filter(|m| !m.from_business && m.seq <= seq && m.tick < Tick::Read)
        {
            message.tick = Tick::Read;
            message.rev = rev;
            changed = true;
        }
        if changed {
            inner.rev = rev;
            drop(inner);
            self.rev.send_replace(rev);
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.rev.subscribe()
    }

    /// Current revision and the bubbles changed after `rev`.
    pub(crate) fn since(&self, rev: u64) -> (u64, Vec<ShownMessage>) {
        let inner = lock(&self.inner);
        (
            inner.rev,
            inner
                .thread
                .iter()
                .filter(|m| m.rev > rev)
                .cloned()
                .collect(),
        )
    }

    /// Takes one message from the pair bucket: one in six seconds, 45 ahead (meta.md section 17).
    pub(crate) fn take_pair(&self, now: Instant) -> bool {
        const EVERY: Duration = Duration::from_secs(6);
        let mut inner = lock(&self.inner);
        let arrival = inner.pair.filter(|at| *at > now).unwrap_or(now);
        if arrival.duration_since(now) > EVERY * 44 {
            return false;
        }
        inner.pair = Some(arrival + EVERY);
        true
    }
}

impl Number {
    /// Takes one message from the throughput bucket of `rate` a second, with one second's burst.
    pub(crate) fn take_throughput(&self, rate: u32, now: Instant) -> bool {
        let every = Duration::from_secs(1) / rate.max(1);
        let mut bucket = lock(&self.throughput);
        let arrival = bucket.filter(|at| *at > now).unwrap_or(now);
        if arrival.duration_since(now) + every > Duration::from_secs(1) {
            return false;
        }
        *bucket = Some(arrival + every);
        true
    }
}
