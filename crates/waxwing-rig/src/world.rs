//! Tenants with numbers and menus, the same on both sides of the wire.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::emu::Provider;
use crate::{Outcome, meta};

/// The first phone of the users who write. The same people write to every tenant.
pub const USERS: u64 = 4_915_700_000_000;
/// The first phone of those who are only sent to.
pub const SENT_TO: u64 = 4_916_000_000_000;
/// The button that leads on in [`Menu::Chain`].
pub const NEXT: &str = "next";
/// The text that starts [`Menu::Chain`].
pub const START: &str = "start";
/// The steps of [`Menu::Chain`].
pub const STEPS: usize = 4;

/// A tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// The place of its number.
    pub number: usize,
    /// The secret that signs its webhooks, when it is not the platform's.
    pub secret: Option<String>,
}

/// How tenants answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// Not at all.
    Silent,
    /// One text to everything that holds `hi`.
    Answer,
    /// `start` leads to step 0; the button of a step leads to the next one, in a ring.
    Chain,
}

/// What a step of [`Menu::Chain`] says to a person.
#[must_use]
pub fn chain_text(number: usize, step: usize, name: &str) -> String {
    format!("n{number} step {step} for {name}")
}

/// The key of a step's template.
#[must_use]
pub fn chain_key(step: usize) -> String {
    format!("step-{step}")
}

fn chain_templates(number: usize) -> Vec<Value> {
    (0..STEPS)
        .map(|step| {
            let next = (step + 1) % STEPS;
            json!({
                "key": chain_key(step),
                "kind": "interactive_button",
                "body": chain_text(number, step, "{{name}}"),
                "buttons": [
                    {"id": NEXT, "title": "Next", "nextTemplateKey": chain_key(next), "nextState": format!("at-{next}")},
                    {"id": "rate", "title": "Fine"},
                ],
            })
        })
        .collect()
}

fn menu(menu: Menu, number: usize) -> (Vec<Value>, Value) {
    let rule = |kind: &str, value: &str, key: &str| {
        json!({"flows": [{
            "id": "first",
            "match": {"type": kind, "values": [value]},
            "action": {"type": "send_template", "templateKey": key},
        }]})
    };
    match menu {
        Menu::Silent => (Vec::new(), Value::Null),
        Menu::Answer => {
            let template = json!({"key": "answer", "kind": "text", "body": "Hello {{name}}, what can we do for you?"});
            (vec![template], rule("contains", "hi", "answer"))
        }
        Menu::Chain => (
            chain_templates(number),
            rule("equals", START, &chain_key(0)),
        ),
    }
}

/// Makes tenants for the numbers `0..count` on both sides. Every fifth has a secret of its own when `own_secrets`.
///
/// # Errors
/// When the server refuses something.
pub async fn build(
    api: SocketAddr,
    provider: &Provider,
    callback: &str,
    count: usize,
    answers: Menu,
    own_secrets: bool,
) -> Outcome<Vec<Tenant>> {
    for number in 0..count {
        let secret = secret_of(number, own_secrets);
        let secret = secret.as_deref().unwrap_or(meta::PLATFORM_SECRET);
        provider.add_number(number, secret, Some(callback.to_owned()));
    }
    let mut jobs = JoinSet::new();
    let lanes = count.min(16);
    for lane in 0..lanes {
        jobs.spawn(async move {
            let mut api = Api::new(api);
            let mut made = Vec::new();
            for number in (lane..count).step_by(lanes) {
                let secret = secret_of(number, own_secrets);
                made.push(one(&mut api, number, secret, answers).await?);
            }
            Ok::<_, String>(made)
        });
    }
    let mut tenants = Vec::with_capacity(count);
    while let Some(made) = jobs.join_next().await {
        tenants.extend(made.map_err(|error| error.to_string())??);
    }
    tenants.sort_by_key(|tenant: &Tenant| tenant.number);
    Ok(tenants)
}

fn secret_of(number: usize, own: bool) -> Option<String> {
    (own && number % 5 == 4).then(|| format!("rig-own-app-secret-{number}"))
}

async fn one(
    api: &mut Api,
    number: usize,
    secret: Option<String>,
    answers: Menu,
) -> Outcome<Tenant> {
    let id = api.register(number, secret.as_deref()).await?;
    let (templates, flows) = menu(answers, number);
    for template in templates {
        let path = format!("/api/tenants/{id}/templates");
        api.expect("POST", &path, Some(&template), 201).await?;
    }
    if !flows.is_null() {
        let path = format!("/api/tenants/{id}/flows");
        let (status, answer) = api.call("POST", &path, Some(&flows)).await?;
        if !matches!(status, 200 | 201) {
            return Err(format!("POST {path} answered {status}: {answer}"));
        }
    }
    Ok(Tenant { id, number, secret })
}

/// Lets unknown outcomes of all tenants stay with a person instead of being sent once more.
///
/// # Errors
/// When the server refuses.
pub async fn hold_unknown(api: SocketAddr, tenants: &[Tenant]) -> Outcome<()> {
    let mut api = Api::new(api);
    for tenant in tenants {
        let path = format!("/api/tenants/{}/settings", tenant.id);
        let settings = json!({"unknownOutcome": "hold"});
        api.expect("PATCH", &path, Some(&settings), 200).await?;
    }
    Ok(())
}

/// The signers of the numbers.
#[must_use]
pub fn signers(tenants: &[Tenant]) -> Vec<Arc<meta::Signer>> {
    let platform = Arc::new(meta::Signer::new(meta::PLATFORM_SECRET));
    tenants
        .iter()
        .map(|tenant| match &tenant.secret {
            Some(secret) => Arc::new(meta::Signer::new(secret)),
            None => Arc::clone(&platform),
        })
        .collect()
}
