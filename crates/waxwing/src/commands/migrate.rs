//! `waxwing migrate`.

use waxwing_core::time::Timestamp;
use waxwing_store::{AppliedStep, StepState};

use crate::cli::Migrate;
use crate::failure::Failure;
use crate::serve;
use crate::settings::Settings;
use crate::terminal::say;

/// Moves the schema, or shows how it stands.
///
/// # Errors
/// What the database says.
pub async fn run(settings: &Settings, way: &Migrate) -> Result<(), Failure> {
    let store = serve::open_store(settings).await?;
    let done = match way {
        Migrate::Up => store
            .migrate_up()
            .await
            .map(|steps| told("applied", &steps)),
        Migrate::Down { count } => store
            .migrate_down(*count)
            .await
            .map(|steps| told("undone", &steps)),
        Migrate::Status => store.migrate_status().await.map(|lines| {
            let state = |state: &StepState| match state {
                StepState::Applied(at) => {
                    format!("applied {}", Timestamp::from_micros(*at).rfc3339())
                }
                StepState::Pending => "pending".to_owned(),
            };
            lines
                .iter()
                .map(|line| format!("{:40} {}", line.name, state(&line.state)))
                .collect()
        }),
    };
    store.close().await;
    for line in done? {
        say(&line);
    }
    Ok(())
}

fn told(what: &str, steps: &[AppliedStep]) -> Vec<String> {
    if steps.is_empty() {
        return vec!["nothing to do".to_owned()];
    }
    steps
        .iter()
        .map(|step| format!("{} {what}", step.name))
        .collect()
}
