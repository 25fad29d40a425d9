//! A closure on its way to a database thread and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::StoreError;
use super::tx::{Hook, Tx};

/// In which kind of transaction a closure runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No transaction: each statement sees what is committed when it starts.
    Read,
    /// All statements see one snapshot.
    Snapshot,
    /// A transaction that changes data.
    Write,
    /// A transaction that behaves as if it were alone.
    Serializable,
}

impl Kind {
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Serializable)
    }
}

/// A closure with its type hidden. `run` may be called again after a failed try; `answer` comes once, at the end.
pub(crate) trait Job: Send {
    fn kind(&self) -> Kind;
    /// Nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    /// Runs the closure and keeps its result. A panic becomes an error.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Hands the kept result to the caller, or the error of the transaction.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// What a database thread takes from its queue.
pub(crate) enum Message {
    Job(Box<dyn Job>),
    /// Finish what waits, then end.
    Stop,
}

pub(crate) struct TypedJob<T, F> {
    kind: Kind,
    closure: F,
    value: Option<T>,
    hooks: Vec<Hook>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    /// The place in the queue, free again when the job is dropped.
    _slot: OwnedSemaphorePermit,
}

impl<T, F> TypedJob<T, F> {
    pub(crate) fn new(
        kind: Kind,
        closure: F,
        slot: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (
            Self {
                kind,
                closure,
                value: None,
                hooks: Vec::new(),
                reply,
                _slot: slot,
            },
            answer,
        )
    }
}

impl<T, F> Job for TypedJob<T, F>
where
    T: Send + 'static,
    F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.value = None;
        self.hooks.clear();
        // A closure borrows nothing from here but `tx`, which is thrown away after a panic.
        let result = catch_unwind(AssertUnwindSafe(|| (self.closure)(tx)))
            .unwrap_or(Err(StoreError::Panicked));
        // A statement that failed spoils the transaction, even when the closure looked away.
        let value = tx.verdict(result)?;
        self.value = Some(value);
        self.hooks = tx.take_hooks();
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self {
            value,
            hooks,
            reply,
            ..
        } = *self;
        let result = outcome.and_then(|()| value.ok_or(StoreError::Closed));
        if result.is_ok() {
            for hook in hooks {
                // A hook only wakes somebody; its panic must not take the database thread along.
                if catch_unwind(AssertUnwindSafe(hook)).is_err() {
                    tracing::error!("a hook after a commit panicked");
                }
            }
        }
        // A caller that went away does not need the answer.
        let _ = reply.send(result);
    }
}
