//! Message templates of an account: creation, review, listing, and the checks of a send (meta.md sections 12 and 15).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::hub::Hub;
use crate::ids::{Rng, object_id};
use crate::meta::Waba;
use crate::meta::errors::GraphError;
use crate::meta::hooks::Envelope;
use crate::meta::json::escaped;
use crate::meta::wire::{Component, Template};
use crate::provider::Parcel;
use crate::state::{Number, lock};
use crate::webhook::About;

/// A stored template. `body` holds what the API lists.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) status: String,
    pub(crate) body: Value,
}

impl Stored {
    /// Category as `pricing.category` names it.
    pub(crate) fn category_of_price(&self) -> &'static str {
        match self.body.get("category").and_then(Value::as_str) {
            Some("MARKETING") => "marketing",
            Some("AUTHENTICATION") => "authentication",
            _ => "utility",
        }
    }

    fn set_status(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        self.body["status"] = json!(status);
    }

    fn part(&self, kind: &str) -> Option<&Value> {
        self.body
            .get("components")?
            .as_array()?
            .iter()
            .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))
    }
}

/// Templates that an unverified account may have.
const MAX_TEMPLATES: usize = 250;

/// The templates of one account, in order of creation.
#[derive(Debug, Default)]
pub(crate) struct TemplateStore {
    all: Vec<Stored>,
}

/// Languages are compared with `-` and `_` folded.
fn same_language(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .all(|(a, b)| a == b || matches!((a, b), (b'-', b'_') | (b'_', b'-')))
}

impl TemplateStore {
    /// A new account starts with Meta's sample template.
    pub(crate) fn with_hello_world(rng: &Rng) -> Self {
        let id = object_id(rng);
        let body = json!({
            "name": "hello_world", "language": "en_US", "status": "APPROVED", "category": "UTILITY", "id": id,
            "components": [
                { "type": "HEADER", "format": "TEXT", "text": "Hello World" },
                { "type": "BODY", "text": "Welcome and congratulations!! This message demonstrates your ability to send a WhatsApp message notification from the Cloud API, hosted by Meta. Thank you for taking the time to test with us." },
                { "type": "FOOTER", "text": "WhatsApp Business Platform sample message" },
            ],
        });
        let stored = Stored {
            id,
            name: "hello_world".into(),
            language: "en_US".into(),
            status: "APPROVED".into(),
            body,
        };
        Self { all: vec![stored] }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Stored> {
        self.all.iter().find(|t| t.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.all.iter()
    }

    /// Creates a template from a request body; it waits for its review. Answers id, status and category.
    pub(crate) fn create(
        &mut self,
        request: &Value,
        rng: &Rng,
    ) -> Result<(String, Value), GraphError> {
        let (name, language, body) = crate::meta::templates_create::checked(request)?;
        if self
            .all
            .iter()
            .any(|t| t.name == name && same_language(&t.language, &language))
        {
            return Err(GraphError::template(
                2_388_024,
                "Content in this language already exists",
                format!(
                    "There is already {language} content for this template. You can create a new template and try again."
                ),
            ));
        }
        if self.all.len() >= MAX_TEMPLATES {
            return Err(GraphError::template(
                2_388_019,
                "Template limit exceeded",
                "The account has 250 templates.",
            ));
        }
        let id = object_id(rng);
        let mut body = body;
        body["id"] = json!(id);
        body["status"] = json!("PENDING");
        let answer = json!({ "id": id, "status": "PENDING", "category": body["category"] });
        self.all.push(Stored {
            id: id.clone(),
            name,
            language,
            status: "PENDING".into(),
            body,
        });
        Ok((id, answer))
    }

    /// Deletes all languages of a name, or one template by id and name.
    pub(crate) fn delete(&mut self, name: &str, id: Option<&str>) -> usize {
        let before = self.all.len();
        self.all
            .retain(|t| t.name != name || id.is_some_and(|id| t.id != id));
        before - self.all.len()
    }

    /// Replaces the components of a template, which then is reviewed again.
    pub(crate) fn edit(&mut self, id: &str, request: &Value) -> Option<Result<(), GraphError>> {
        let stored = self.all.iter_mut().find(|t| t.id == id)?;
        if !matches!(stored.status.as_str(), "APPROVED" | "REJECTED" | "PAUSED") {
            return Some(Err(GraphError::invalid(
                "Only approved, rejected or paused templates can be edited",
            )));
        }
        let mut merged = stored.body.clone();
        for name in ["components", "category"] {
            if let Some(value) = request.get(name) {
                merged[name] = value.clone();
            }
        }
        if stored.status == "APPROVED" && request.get("category").is_some() {
            return Some(Err(GraphError::invalid(
                "The category of an approved template cannot be edited",
            )));
        }
        Some(
            crate::meta::templates_create::checked(&merged).map(|(_, _, body)| {
                for name in ["components", "category"] {
                    stored.body[name] = body[name].clone();
                }
                stored.set_status("PENDING");
            }),
        )
    }

    /// Sets the status of a template and gives its data for the webhook.
    pub(crate) fn set_status(&mut self, id: &str, status: &str) -> Option<Stored> {
        let stored = self.all.iter_mut().find(|t| t.id == id)?;
        stored.set_status(status);
        Some(stored.clone())
    }

    /// Checks a send against the stored template. Without `strict`, unknown templates pass.
    pub(crate) fn check(
        &self,
        send: &Template<'_>,
        strict: bool,
    ) -> Result<Option<Stored>, GraphError> {
        let name = send.name.as_deref().unwrap_or("");
        let language = send
            .language
            .as_ref()
            .and_then(|l| l.code.as_deref())
            .unwrap_or("");
        let Some(stored) = self
            .all
            .iter()
            .find(|t| t.name == name && same_language(&t.language, language))
        else {
            return if strict {
                Err(unknown(name, language))
            } else {
                Ok(None)
            };
        };
        if strict {
            match stored.status.as_str() {
                "APPROVED" => {}
                "PAUSED" => return Err(GraphError::of(132_015)),
                "DISABLED" => return Err(GraphError::of(132_016)),
                _ => return Err(unknown(name, language)),
            }
            check_parameters(stored, send)?;
        }
        Ok(Some(stored.clone()))
    }
}

fn unknown(name: &str, language: &str) -> GraphError {
    let clip = |text: &str| text.chars().take(64).collect::<String>();
    GraphError::detailed(
        132_001,
        format!(
            "template name ({}) does not exist in {}",
            clip(name),
            clip(language)
        ),
    )
}

/// Names of the variables in a text.
pub(crate) fn variables(text: &str) -> BTreeSet<&str> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}").map(|(name, _)| name.trim()))
        .collect()
}

fn sent<'t>(send: &'t Template<'_>, kind: &str) -> Option<&'t Component<'t>> {
    send.components.iter().flatten().find(|c| {
        c.kind
            .as_deref()
            .is_some_and(|k| k.eq_ignore_ascii_case(kind))
    })
}

fn check_parameters(stored: &Stored, send: &Template<'_>) -> Result<(), GraphError> {
    for kind in ["BODY", "HEADER"] {
        let Some(part) = stored.part(kind) else {
            continue;
        };
        let lower = kind.to_ascii_lowercase();
        let parameters = sent(send, kind)
            .and_then(|c| c.parameters.as_deref())
            .unwrap_or(&[]);
        let format = part.get("format").and_then(Value::as_str).unwrap_or("TEXT");
        if format != "TEXT" {
            let got = parameters
                .first()
                .and_then(|p| p.kind.as_deref())
                .map_or(Cow::Borrowed("UNKNOWN"), |k| {
                    Cow::Owned(k.to_ascii_uppercase())
                });
            if got != format {
                return Err(GraphError::detailed(
                    132_012,
                    format!("{lower}: Format mismatch, expected {format}, received {got}"),
                ));
            }
            continue;
        }
        let wanted = variables(part.get("text").and_then(Value::as_str).unwrap_or(""));
        if parameters.len() != wanted.len() {
            return Err(GraphError::detailed(
                132_000,
                format!(
                    "{lower}: number of localizable_params ({}) does not match the expected number of params ({})",
                    parameters.len(),
                    wanted.len()
                ),
            ));
        }
        let named = wanted.iter().any(|name| name.parse::<u32>().is_err());
        if named
            && !parameters.iter().all(|p| {
                p.parameter_name
                    .as_deref()
                    .is_some_and(|n| wanted.contains(n))
            })
        {
            return Err(GraphError::detailed(
                132_012,
                format!("{lower}: Parameter name is missing or unknown"),
            ));
        }
    }
    Ok(())
}

impl Hub {
    /// Orders the review of a template.
    pub(crate) fn order_review(&self, waba: &Waba, id: &str) {
        let (waba, id) = (waba.id.clone(), id.to_owned());
        self.later(self.config.template_review, move |hub| {
            hub.review_template(&waba, &id);
        });
    }

    /// Reviews a template: names with `reject` in them are rejected, all others approved.
    pub(crate) fn review_template(&self, waba: &str, id: &str) {
        let Some(waba) = self.meta.waba(waba) else {
            return;
        };
        let pending = lock(&waba.templates)
            .get(id)
            .filter(|t| t.status == "PENDING")
            .map(|t| t.name.contains("reject"));
        match pending {
            Some(true) => {
                self.template_event(&waba, id, "REJECTED", json!("INVALID_FORMAT"), Map::new())
            }
            Some(false) => self.template_event(&waba, id, "APPROVED", json!("NONE"), Map::new()),
            None => {}
        }
    }

    /// Sets the status of a template and posts the webhook for it: at the app's own callback with Meta, at the number's
    /// with 360dialog. Whether 360dialog does so for customers who are no partners is not documented.
    pub(crate) fn template_event(
        &self,
        waba: &Waba,
        id: &str,
        event: &str,
        reason: Value,
        extra: Map<String, Value>,
    ) {
        let Some(stored) = lock(&waba.templates).set_status(id, event) else {
            return;
        };
        let mut numbers = self.numbers().into_iter();
        let of = |n: &Arc<Number>| n.cloud().is_some_and(|line| line.waba.id == waba.id);
        let Some(number) = numbers.find(of) else {
            return;
        };
        let mut value = json!({
            "event": event,
            // A number in webhooks, a string in the API (meta.md section 1).
            "message_template_id": stored.id.parse::<u64>().unwrap_or(0),
            "message_template_name": stored.name,
            "message_template_language": stored.language,
            "reason": reason,
            "message_template_category": stored.body["category"],
        });
        if let Some(object) = value.as_object_mut() {
            object.extend(extra);
        }
        let Some(line) = number.cloud() else { return };
        let mut envelope = json!(Envelope::new(line, "message_template_status_update", value));
        envelope["entry"][0]["time"] = json!(self.now_ms() / 1000);
        let parcel = Parcel {
            default_only: true,
            ..Parcel::new(escaped(&envelope))
        };
        let Some(parcel) = number.forward(parcel) else {
            return;
        };
        self.send_webhook(
            &Arc::clone(&number),
            parcel,
            About::default(),
            std::time::Duration::ZERO,
        );
    }
}
