//! The provider: an emulator on a thread of its own, so that it and the clients do not wait for each other.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig};

use crate::{Outcome, api, meta, server};

/// A running emulator; it ends when this is dropped.
#[derive(Debug)]
pub struct Provider {
    emulator: Option<Arc<Emulator>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts an emulator.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(config: EmulatorConfig) -> Outcome<Self> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("provider".to_owned())
            .spawn(move || run(config, &started, stopped))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let emulator = start
            .recv()
            .map_err(|_| "the emulator's thread ended".to_owned())??;
        Ok(Self {
            emulator: Some(emulator),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The emulator.
    ///
    /// # Panics
    /// Never: it is there until this is dropped.
    #[must_use]
    pub fn get(&self) -> &Arc<Emulator> {
        self.emulator.as_ref().expect("it is there until the end")
    }

    /// Makes a number known. Its webhooks go to `callback`.
    pub fn add_number(&self, number: usize, secret: &str, callback: Option<String>) {
        self.get().add_number(NumberConfig {
            phone_number_id: meta::phone_number_id(number),
            waba_id: meta::waba_id(number),
            display_phone_number: meta::display_phone(number),
            verified_name: format!("Business {number}"),
            access_token: api::access_token(number),
            app_secret: secret.to_owned(),
            webhook_url: callback,
            verify_token: server::VERIFY_TOKEN.to_owned(),
            subscribed: true,
        });
    }
}

fn run(
    config: EmulatorConfig,
    started: &mpsc::Sender<Outcome<Arc<Emulator>>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(format!("cannot start a runtime: {error}")));
            return;
        }
    };
    runtime.block_on(async {
        let answer = Emulator::start(config)
            .await
            .map(Arc::new)
            .map_err(|error| format!("the emulator does not start: {error}"));
        // Whoever started this waits for the answer, and drops the sender at the end.
        if started.send(answer).is_ok() {
            let _ = stopped.await;
        }
    });
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.emulator = None;
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
