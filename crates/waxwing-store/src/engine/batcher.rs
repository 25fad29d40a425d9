//! Many small writes as one.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::error::StoreError;
use super::store::Store;
use super::tx::Tx;

/// How a [`Batcher`] works.
#[derive(Debug, Clone, Copy)]
pub struct BatcherOptions {
    /// The largest batch.
    pub max_batch: usize,
    /// How many items may wait; beyond, [`Batcher::submit`] fails with [`StoreError::Full`].
    pub capacity: usize,
    /// Behind the interactive writes.
    pub bulk: bool,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        Self {
            max_batch: 256,
            capacity: 4096,
            bulk: false,
        }
    }
}

struct Entry<I, O> {
    item: I,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

/// Collects items of many callers, writes what waits in one transaction and answers each caller after the commit.
///
/// There is no timer: an item that comes alone is written at once, and while a batch is being written the next one
/// gathers. Items are written in the order of their submission.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Entry<I, O>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<I, O> fmt::Debug for Batcher<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("free", &self.queue.capacity())
            .finish_non_exhaustive()
    }
}

impl<I, O> Batcher<I, O>
where
    I: Send + Sync + 'static,
    O: Send + 'static,
{
    /// Starts the task of a batcher on the present runtime. `write` gets the items of a batch in order and gives one
    /// result for each, in the same order; it may run more than once for the same items. The task ends when all
    /// handles are gone and what waited is written.
    pub fn start<F>(store: Store, options: BatcherOptions, write: F) -> Self
    where
        F: Fn(&mut Tx<'_>, &[I]) -> Result<Vec<O>, StoreError> + Send + Sync + 'static,
    {
        let (queue, waiting) = mpsc::channel(options.capacity.max(1));
        tokio::spawn(work(store, options, Arc::new(write), waiting));
        Self { queue }
    }

    /// Hands over an item and waits until it is committed. Once handed over it is written even when the caller goes
    /// away.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] at once when too many items wait; else the error of this item's write.
    pub async fn submit(&self, item: I) -> Result<O, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send(Entry { item, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Full,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn work<I, O, F>(
    store: Store,
    options: BatcherOptions,
    write: Arc<F>,
    mut waiting: mpsc::Receiver<Entry<I, O>>,
) where
    I: Send + Sync + 'static,
    O: Send + 'static,
    F: Fn(&mut Tx<'_>, &[I]) -> Result<Vec<O>, StoreError> + Send + Sync + 'static,
{
    let max = options.max_batch.max(1);
    let mut entries = Vec::with_capacity(max);
    while waiting.recv_many(&mut entries, max).await > 0 {
        let (items, replies): (Vec<I>, Vec<_>) = entries
            .drain(..)
            .map(|entry| (entry.item, entry.reply))
            .unzip();
        let items = Arc::new(items);
        let all = 0..items.len();
        match run(&store, options.bulk, &write, &items, all).await {
            Ok(outputs) => {
                for (reply, output) in replies.into_iter().zip(outputs) {
                    // A caller that went away does not need the answer.
                    let _ = reply.send(Ok(output));
                }
            }
            Err(error)
                if items.len() == 1 || error.retriable() || error == StoreError::UnknownCommit =>
            {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
            // One of them is bad. Each on its own, the others come through, still in order.
            Err(_) => {
                for (at, reply) in replies.into_iter().enumerate() {
                    let result = run(&store, options.bulk, &write, &items, at..at + 1).await;
                    let _ = reply.send(
                        result.and_then(|mut outputs| outputs.pop().ok_or(StoreError::Panicked)),
                    );
                }
            }
        }
    }
}

async fn run<I, O, F>(
    store: &Store,
    bulk: bool,
    write: &Arc<F>,
    items: &Arc<Vec<I>>,
    range: std::ops::Range<usize>,
) -> Result<Vec<O>, StoreError>
where
    I: Send + Sync + 'static,
    O: Send + 'static,
    F: Fn(&mut Tx<'_>, &[I]) -> Result<Vec<O>, StoreError> + Send + Sync + 'static,
{
    let (write, items) = (Arc::clone(write), Arc::clone(items));
    let closure = move |tx: &mut Tx<'_>| {
        let batch = &items[range.clone()];
        let outputs = write(tx, batch)?;
        if outputs.len() == batch.len() {
            return Ok(outputs);
        }
        Err(StoreError::Driver(format!(
            "a batch of {} items gave {} results",
            batch.len(),
            outputs.len()
        )))
    };
    if bulk {
        store.write_bulk(closure).await
    } else {
        store.write(closure).await
    }
}
