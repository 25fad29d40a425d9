//! `waxwing rotate-keys`.

use std::time::Duration;

use serde_json::Value;

use super::remote::{client, show};
use crate::cli::Remote;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::say;

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Begins the replacement of all keys and, unless told otherwise, waits for its end.
///
/// # Errors
/// What the server says.
pub async fn rotate(settings: &Settings, remote: &Remote, no_wait: bool) -> Result<(), Failure> {
    let client = client(settings, remote)?;
    let mut answer = client.act("/api/keys/rotate").await?;
    let left = |answer: &Value| answer["rotating"].as_u64().unwrap_or_default();
    let mut told = left(&answer);
    if !no_wait {
        while left(&answer) > 0 {
            tokio::time::sleep(ASK_EVERY).await;
            answer = client.get("/api/keys").await?;
            if left(&answer) != told && !remote.json {
                told = left(&answer);
                say(&format!("{told} to go"));
            }
        }
    }
    show(remote, &answer, || match left(&answer) {
        0 => "all keys are replaced".to_owned(),
        left => format!(
            "the keys of {left} are being replaced; waxwing rotate-keys shows how far it is"
        ),
    });
    Ok(())
}
