//! What a server costs that has nothing to do, and how soon it is ready on a database that is there.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use waxwing_emulator::EmulatorConfig;

use super::stage::{READY, Stage};
use super::{Figure, Run};
use crate::Outcome;
use crate::api::Api;
use crate::server::Engine;
use crate::world::{self, Menu};

const IDLE: Duration = Duration::from_secs(5);
const MESSAGES: u64 = 500;
const STARTS: usize = 5;

/// Measures once.
///
/// # Errors
/// When it cannot be measured.
pub fn run(program: &Path, engine: &Engine) -> Outcome<Run> {
    let stage = Stage::set(program, engine, EmulatorConfig::bench(), 4, Menu::Answer)?;
    let fill = async {
        let mut api = Api::new(stage.ready.api);
        for count in 0..MESSAGES {
            let place = usize::try_from(count).unwrap_or(0) % stage.tenants.len();
            let path = format!("/api/tenants/{}/send/template", stage.tenants[place].id);
            let body = json!({"to": format!("+{}", world::SENT_TO + count), "messageTemplate": {"name": "hello", "language": "en"}});
            api.expect("POST", &path, Some(&body), 202).await?;
        }
        stage
            .provider
            .get()
            .webhooks_idle(Duration::from_secs(10))
            .await;
        Ok::<_, String>(())
    };
    stage.runtime.block_on(fill)?;
    let Stage {
        server,
        site,
        provider,
        ..
    } = stage;
    server.stop(Duration::from_secs(30))?;

    let mut run = Run::default();
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let (server, ready) = site.start_ready(READY)?;
        starts.push(ready.after.as_secs_f64() * 1e3);
        server.stop(Duration::from_secs(30))?;
    }
    run.add(Figure::Start, crate::stats::quantile(&mut starts, 0.5));
    let (server, _) = site.start_ready(READY)?;
    std::thread::sleep(IDLE);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mib = server.resident()? as f64 / (1024.0 * 1024.0);
    run.add(Figure::Memory, mib);
    server.stop(Duration::from_secs(30))?;
    drop(provider);
    Ok(run)
}
