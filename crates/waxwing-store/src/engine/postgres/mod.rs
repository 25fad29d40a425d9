//! PostgreSQL: a fixed set of threads, each with one connection.

mod codec;
mod config;
mod session;
mod tls;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::error::StoreError;
use super::job::Message;
use super::store::StoreConfig;

pub(crate) use config::quoted_schema;
pub(crate) use session::Session;

/// Closures run on these stacks. They hold no large values, and there are many threads.
const STACK_BYTES: usize = 512 * 1024;

/// The threads of one database.
pub(crate) struct Pool {
    queue: Sender<Message>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Checks the settings and starts the threads; they connect when they get work.
    pub(crate) fn start(
        url: &str,
        config: &StoreConfig,
        room: usize,
    ) -> Result<(Self, Sender<Message>), StoreError> {
        let target = Arc::new(config::Target::new(url, config)?);
        let (queue, work) = bounded(room + config.pg_connections);
        let threads = (0..config.pg_connections.max(1))
            .map(|_| {
                let (target, work) = (Arc::clone(&target), work.clone());
                std::thread::Builder::new()
                    .name("waxwing-db".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn(move || worker::run(target, &work))
                    .map_err(|error| {
                        StoreError::Unavailable(format!("no thread for the database: {error}"))
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((
            Self {
                queue: queue.clone(),
                threads,
            },
            queue,
        ))
    }

    /// Lets the threads finish what waits and joins them.
    pub(crate) fn stop(self) {
        for _ in &self.threads {
            // A thread that has ended already needs no message.
            let _ = self.queue.send(Message::Stop);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a database thread ended by a panic");
            }
        }
    }
}
