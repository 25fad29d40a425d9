//! `waxwing retention`.

use serde_json::Value;

use super::remote::{client, list};
use crate::cli::{Remote, RetentionAction};
use crate::failure::Failure;
use crate::settings::Settings;

/// Shows what is due, or deletes it.
///
/// # Errors
/// What the server says.
pub async fn run(settings: &Settings, action: &RetentionAction) -> Result<(), Failure> {
    match action {
        RetentionAction::Show { remote } => {
            let answer = client(settings, remote)?
                .get("/api/platform/retention")
                .await?;
            show(remote, answer);
        }
        RetentionAction::Run { dry_run, remote } => {
            let path = format!("/api/platform/retention/run?dryRun={dry_run}");
            let answer = client(settings, remote)?.act(&path).await?;
            show(remote, answer);
        }
    }
    Ok(())
}

fn show(remote: &Remote, mut answer: Value) {
    let rules = match answer["rules"].take() {
        Value::Array(rules) => rules,
        _ => Vec::new(),
    };
    list(remote, "rules", rules, &["table", "keptDays", "rows"]);
}
