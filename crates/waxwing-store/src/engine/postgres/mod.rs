//! PostgreSQL: a fixed set of threads, each with one connection.

mod codec;
mod config;
mod session;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

use super::error::StoreError;
use super::queue::{Stopper, WorkQueue};
use super::store::StoreConfig;

pub(crate) use config::quoted_schema;
pub(crate) use session::Session;

/// Closures run on these stacks. They hold no large values, and there are many threads.
const STACK_BYTES: usize = 512 * 1024;

/// The threads of one database.
pub(crate) struct Pool {
    stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Checks the settings and starts the threads; they connect when they get work.
    pub(crate) fn start(
        url: &str,
        config: &StoreConfig,
    ) -> Result<(Self, Arc<WorkQueue>), StoreError> {
        let target = Arc::new(config::Target::new(url, config)?);
        let count = config.pg_connections.max(1);
        let queue = Arc::new(WorkQueue::new(count));
        let stopper = Stopper(Arc::clone(&queue));
        let threads = (0..count)
            .map(|number| {
                let (target, queue) = (Arc::clone(&target), Arc::clone(&queue));
                std::thread::Builder::new()
                    .name("waxwing-db".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn(move || worker::run(&target, &queue, number))
                    .map_err(|error| {
                        StoreError::Unavailable(format!("no thread for the database: {error}"))
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((Self { stopper, threads }, queue))
    }

    /// Lets the threads finish what waits and joins them.
    pub(crate) fn stop(self) {
        drop(self.stopper);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a database thread ended by a panic");
            }
        }
    }
}
