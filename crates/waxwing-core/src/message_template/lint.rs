//! The linter: what WhatsApp would refuse about a message template, and as what it would see it, before it is handed in.
//!
//! A refused template costs a day and, when it happens often, the account's trust. Errors are what would surely be
//! refused (protocols/meta.md 15); warnings are what often is, or what makes WhatsApp move it to another category.

mod category;
mod components;
mod text;

use serde::Serialize;

use super::{Component, MessageTemplate, ParameterFormat, TemplateCategory, slots};

pub use self::category::predicted_category;

/// How sure a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It would surely be refused.
    Error,
    /// It may be refused, moved to another category, or do badly.
    Warning,
}

/// One thing that the linter found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How sure a refusal is.
    pub severity: Severity,
    /// The name of the rule, for programs.
    pub rule: &'static str,
    /// The path of the field, such as `components[1].text`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// What has been found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(
            Severity::Error,
            rule,
            field.into(),
            message.into(),
            fix.into(),
        );
    }

    fn warning(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(
            Severity::Warning,
            rule,
            field.into(),
            message.into(),
            fix.into(),
        );
    }

    fn add(
        &mut self,
        severity: Severity,
        rule: &'static str,
        field: String,
        message: String,
        fix: String,
    ) {
        self.0.push(Finding {
            severity,
            rule,
            field,
            message,
            fix,
        });
    }
}

/// Everything that is wrong or doubtful, the errors first.
#[must_use]
pub fn lint(template: &MessageTemplate) -> Vec<Finding> {
    let mut found = Findings::default();
    head(template, &mut found);
    structure(template, &mut found);
    components::lint(template, &mut found);
    category::lint(template, &mut found);
    let mut findings = found.0;
    findings.sort_by_key(|finding| finding.severity == Severity::Warning);
    findings
}

/// Whether there is an error among findings.
#[must_use]
pub fn has_errors(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
}

/// Name, language and lifetime.
fn head(template: &MessageTemplate, found: &mut Findings) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name = &template.name;
    if name.is_empty() || name.len() > 512 || !name.chars().all(plain) {
        let better: String = name
            .to_lowercase()
            .chars()
            .map(|c| if plain(c) { c } else { '_' })
            .take(512)
            .collect();
        found.error(
            "name",
            "name",
            "must be 1 to 512 lower-case letters, digits and underscores",
            if better.is_empty() {
                "Give it a name such as order_confirmation.".to_owned()
            } else {
                format!("Call it {better}.")
            },
        );
    }
    if !is_language(&template.language) {
        found.error(
            "language",
            "language",
            "is not a language code",
            "Write it as en, en_US or pt_BR.",
        );
    }
    if let Some(seconds) = template.ttl_seconds {
        let range = template.category.ttl_seconds();
        if seconds != -1 && !range.contains(&seconds) {
            let (from, to) = (range.start(), range.end());
            let word = template.category.as_str();
            found.error(
                "ttl",
                "ttlSeconds",
                format!("{word} templates are kept {from} to {to} seconds, or -1 for 30 days"),
                "Leave it out, or take a value in that range.",
            );
        }
    }
}

/// `en`, `en_US`, `zh_CN`, `fil`, and scripts such as `uz_UZ` or `zh_Hant_HK`.
fn is_language(code: &str) -> bool {
    let mut parts = code.split('_');
    let first = parts.next().unwrap_or_default();
    let lower = (2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_lowercase());
    lower
        && code.len() <= 16
        && parts.all(|part| {
            (2..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

/// Which parts there are, and how often.
fn structure(template: &MessageTemplate, found: &mut Findings) {
    let mut seen: Vec<&'static str> = Vec::new();
    for (at, component) in template.components.iter().enumerate() {
        let word = match component {
            Component::Header(_) => "header",
            Component::Body(_) => "body",
            Component::Footer(_) => "footer",
            Component::Buttons(_) => "buttons",
            Component::Carousel(_) => "carousel",
            Component::Other { kind, .. } if kind == "LIMITED_TIME_OFFER" => "limited time offer",
            Component::Other { .. } => {
                found.error(
                    "component",
                    format!("components[{at}].type"),
                    "is not a kind of component",
                    "Use HEADER, BODY, FOOTER, BUTTONS, CAROUSEL or LIMITED_TIME_OFFER.",
                );
                continue;
            }
        };
        if seen.contains(&word) {
            found.error(
                "component_twice",
                format!("components[{at}]"),
                format!("a template has one {word}"),
                "Put both into one, or take one away.",
            );
        }
        seen.push(word);
    }
    if !seen.contains(&"body") {
        found.error(
            "body_missing",
            "components",
            "a template needs a body",
            "Add {\"type\": \"BODY\", \"text\": …}.",
        );
    }
    let texts = template.texts();
    let all: Vec<_> = texts.iter().flat_map(|text| slots::slots(text)).collect();
    let numbers = all.iter().any(|slot| slot.number().is_some());
    let names = all
        .iter()
        .any(|slot| slot.number().is_none() && !slot.name.is_empty());
    if numbers && names {
        found.error(
            "variables_mixed",
            "components",
            "numbered and named variables stand side by side",
            "Use either {{1}}, {{2}} … or {{name}} throughout.",
        );
    } else if numbers && template.format == ParameterFormat::Named
        || names && template.format == ParameterFormat::Positional
    {
        found.error(
            "variables_format",
            "parameterFormat",
            "does not agree with how the variables are written",
            "Write NAMED for {{name}} and POSITIONAL for {{1}}, or leave it out.",
        );
    }
    if template.category == TemplateCategory::Authentication {
        return;
    }
    if template.body().is_some_and(|body| body.text.is_empty()) {
        found.error(
            "body_missing",
            "components",
            "the body has no text",
            "Write the text of the message.",
        );
    }
}
