//! `waxwing audit`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::remote::{client, part, text};
use crate::cli::{AuditAction, Remote};
use crate::client::Client;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::say;

/// The word for the chain that belongs to no tenant.
const PLATFORM: &str = "platform";

/// `waxwing audit`.
///
/// # Errors
/// What the server says; when a chain is not whole.
pub async fn run(settings: &Settings, action: &AuditAction) -> Result<(), Failure> {
    match action {
        AuditAction::Verify {
            tenant,
            checkpoint,
            remote,
        } => {
            let client = client(settings, remote)?;
            let known = match checkpoint {
                Some(file) => read(file)?,
                None => BTreeMap::new(),
            };
            let chains = match tenant {
                Some(tenant) => vec![part(tenant)?.to_owned()],
                None => all(&client).await?,
            };
            verify(&client, remote, &chains, &known).await
        }
    }
}

/// All chains: the platform's and those of all tenants.
async fn all(client: &Client) -> Result<Vec<String>, Failure> {
    let mut chains = vec![PLATFORM.to_owned()];
    let tenants = client.list("/api/tenants", "tenants").await?;
    chains.extend(tenants.iter().map(|tenant| text(tenant, "id")));
    Ok(chains)
}

async fn verify(
    client: &Client,
    remote: &Remote,
    chains: &[String],
    known: &BTreeMap<String, Value>,
) -> Result<(), Failure> {
    let mut broken = Vec::new();
    for chain in chains {
        let mut path = if chain == PLATFORM {
            "/api/platform/audit/verify".to_owned()
        } else {
            format!("/api/tenants/{chain}/audit/verify")
        };
        if let Some(point) = known.get(chain) {
            let (seq, link) = (text(point, "seq"), text(point, "link"));
            path.push_str(&format!(
                "?seq={}&link={}",
                part(&seq)?,
                part_or_empty(&link)?
            ));
        }
        let answer = client.get(&path).await?;
        if answer["whole"] != json!(true) {
            broken.push(format!("{chain}: {}", text(&answer, "problem")));
            continue;
        }
        // One JSON object a line: what `--checkpoint` reads.
        let mut point = answer["checkpoint"].clone();
        point["tenant"] = json!(chain);
        if remote.json {
            point["entries"] = answer["entries"].clone();
        }
        say(&point.to_string());
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the audit log is not as it was written\n  {}",
        broken.join("\n  ")
    )))
}

/// The link of an empty chain is empty.
fn part_or_empty(text: &str) -> Result<&str, Failure> {
    if text.is_empty() {
        Ok(text)
    } else {
        part(text)
    }
}

/// The checkpoints of a file by chain: what an earlier `waxwing audit verify` printed.
fn read(file: &Path) -> Result<BTreeMap<String, Value>, Failure> {
    let named = |what: &str| Failure::new(format!("{}: {what}", file.display()));
    let lines = std::fs::read_to_string(file).map_err(|error| named(&error.to_string()))?;
    let points = lines.lines().filter(|line| !line.trim().is_empty());
    points
        .map(|line| {
            let point: Value = serde_json::from_str(line)
                .map_err(|_| named("a line is not one that `waxwing audit verify` prints"))?;
            Ok((text(&point, "tenant"), point))
        })
        .collect()
}
