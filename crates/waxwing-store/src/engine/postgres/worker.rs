//! A thread with a connection.

use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::runtime::{Builder, Runtime};

use super::config::{Target, jittered};
use super::session::Session;
use crate::engine::error::StoreError;
use crate::engine::job::{Job, Kind, Message};
use crate::engine::tx::{Backend, Tx};

/// How often a closure runs at most, and the pause after the first failure; it doubles.
const MOST_TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Tries that a write makes beside others. Pauses do not part two that take the same rows in opposite order: the one
/// that PostgreSQL sacrifices meets the next one after its pause, and loses again as likely as not.
const TRIES_AMONG_OTHERS: u32 = 3;

pub(crate) fn run(target: Arc<Target>, queue: &Receiver<Message>) {
    let mut worker: Option<Worker> = None;
    while let Ok(Message::Job(job)) = queue.recv() {
        if job.abandoned() {
            continue;
        }
        if worker.is_none() {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    worker = Some(Worker {
                        target: Arc::clone(&target),
                        runtime: Rc::new(runtime),
                        session: None,
                    })
                }
                Err(error) => {
                    job.answer(Err(StoreError::Unavailable(format!(
                        "no runtime for the database: {error}"
                    ))));
                    continue;
                }
            }
        }
        if let Some(worker) = &mut worker {
            worker.work(job);
        }
    }
}

/// Among the writes of this process: beside the others, or alone. Reads take none.
enum Place<'a> {
    None,
    Beside(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "it is held")] RwLockWriteGuard<'a, ()>),
}

impl<'a> Place<'a> {
    fn take(writers: &'a RwLock<()>, kind: Kind, attempt: u32) -> Self {
        if !kind.writes() {
            Self::None
        } else if attempt <= TRIES_AMONG_OTHERS {
            Self::Beside(writers.read().unwrap_or_else(PoisonError::into_inner))
        } else {
            Self::Alone(writers.write().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

struct Worker {
    target: Arc<Target>,
    runtime: Rc<Runtime>,
    session: Option<Session>,
}

impl Worker {
    fn work(&mut self, mut job: Box<dyn Job>) {
        let target = Arc::clone(&self.target);
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MOST_TRIES {
            let tried = {
                let _place = Place::take(&target.writers, job.kind(), attempt);
                self.attempt(job.as_mut())
            };
            match tried {
                Ok(()) => return job.answer(Ok(())),
                Err((_, true)) if attempt < MOST_TRIES => {
                    metrics::counter!("waxwing_store_retries_total").increment(1);
                    std::thread::sleep(jittered(pause));
                    pause *= 2;
                }
                Err((error, _)) => return job.answer(Err(error)),
            }
        }
    }

    /// Runs the closure once and commits. The flag says whether another try is safe and may help.
    fn attempt(&mut self, job: &mut dyn Job) -> Result<(), (StoreError, bool)> {
        let session = self.session().map_err(|error| (error, false))?;
        session.start(match job.kind() {
            Kind::Read => None,
            Kind::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Kind::Write => Some("BEGIN"),
            Kind::Serializable => Some("BEGIN ISOLATION LEVEL SERIALIZABLE"),
        });
        let kind = job.kind();
        let result = match job.run(&mut Tx::new(Backend::Postgres(session), kind)) {
            Ok(()) => session.commit(),
            Err(error) => {
                session.rollback();
                Err((error, session.wants_retry()))
            }
        };
        if session.is_broken() {
            self.session = None;
        }
        result
    }

    fn session(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.as_ref().is_none_or(Session::is_broken) {
            self.target.may_connect()?;
            self.session = None;
            match Session::connect(&self.runtime, &self.target) {
                Ok(session) => {
                    self.target.connected();
                    self.session = Some(session);
                }
                Err(error) => {
                    self.target.failed(&error);
                    return Err(error);
                }
            }
        }
        self.session.as_mut().ok_or(StoreError::Closed)
    }
}
