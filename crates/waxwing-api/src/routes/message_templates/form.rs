//! How message templates look in JSON, in and out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_core::content::Violation;
use waxwing_core::ids::{ChannelId, MessageTemplateId};
use waxwing_core::limits;
use waxwing_core::message_template::lint::{self, Finding};
use waxwing_core::message_template::{MessageTemplate, ParameterFormat, TemplateCategory};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::message_templates::MessageTemplateRecord;

use crate::check::Checks;

/// Something that the linter found.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// `error`: it would surely be refused; `warning`: it may be.
    #[schema(value_type = String, example = "error")]
    severity: lint::Severity,
    /// The name of the rule, for programs.
    #[schema(example = "variable_at_edge")]
    rule: String,
    /// The path of the field.
    #[schema(example = "components[1].text")]
    field: String,
    /// What is wrong.
    message: String,
    /// What to do about it.
    fix: String,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            severity: finding.severity,
            rule: finding.rule.to_owned(),
            field: finding.field,
            message: finding.message,
            fix: finding.fix,
        }
    }
}

/// A message template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplateView {
    /// Its id.
    #[schema(value_type = String, example = "mtp_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub id: MessageTemplateId,
    /// The channel through which it was made or found; it serves all channels of the account.
    #[schema(value_type = String)]
    channel_id: ChannelId,
    /// The provider's id.
    provider_id: Option<String>,
    /// Its name.
    name: String,
    /// Its language.
    language: String,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`, as WhatsApp sees it.
    #[schema(value_type = String, example = "UTILITY")]
    category: TemplateCategory,
    /// The category that WhatsApp announced for later.
    #[schema(value_type = Option<String>)]
    next_category: Option<TemplateCategory>,
    /// The category that the linter expects.
    #[schema(value_type = String, example = "UTILITY")]
    predicted_category: TemplateCategory,
    /// `draft`, `pending`, `approved`, `rejected`, `paused`, `disabled`, `in_appeal`, `pending_deletion`, `deleted`,
    /// `archived` or `limit_exceeded`.
    #[schema(value_type = String, example = "approved")]
    status: &'static str,
    /// `unknown`, `green`, `yellow` or `red`.
    #[schema(value_type = String, example = "green")]
    quality: &'static str,
    /// Why it is not approved, or what the provider remarked.
    reason: Option<String>,
    /// `POSITIONAL` or `NAMED`.
    #[schema(value_type = String, example = "POSITIONAL")]
    parameter_format: &'static str,
    /// How many seconds a message is kept for a phone that is off.
    ttl_seconds: Option<i64>,
    /// Its parts in Meta's form.
    #[schema(value_type = Vec<Object>)]
    components: Vec<serde_json::Value>,
    /// When it was last seen in the provider's list.
    #[schema(value_type = Option<String>, format = DateTime)]
    synced_at: Option<Timestamp>,
    /// When it was made here.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<MessageTemplateRecord> for MessageTemplateView {
    fn from(record: MessageTemplateRecord) -> Self {
        let template = record.template;
        Self {
            id: record.id,
            channel_id: record.channel_id,
            provider_id: record.provider_id,
            category: record.standing.category,
            next_category: record.standing.next_category,
            predicted_category: lint::predicted_category(&template),
            status: record.standing.status.as_str(),
            quality: record.standing.quality.as_str(),
            reason: record.standing.reason,
            parameter_format: template.format.as_str(),
            ttl_seconds: template.ttl_seconds,
            components: template.components_json(),
            name: template.name,
            language: template.language,
            synced_at: record.synced_at,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// A message template as a person writes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplateInput {
    /// Through which channel; the tenant's oldest one when not given. It stays.
    channel_id: Option<String>,
    /// Lower-case letters, digits and underscores.
    #[schema(example = "order_confirmation")]
    name: Option<String>,
    /// A language code.
    #[schema(example = "en_US")]
    language: Option<String>,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`.
    #[schema(example = "UTILITY")]
    category: Option<String>,
    /// `POSITIONAL` or `NAMED`; told from the variables when not given.
    parameter_format: Option<String>,
    /// How many seconds a message is kept for a phone that is off; -1 for 30 days.
    ttl_seconds: Option<i64>,
    /// Its parts in Meta's form: `HEADER`, `BODY`, `FOOTER`, `BUTTONS`, `CAROUSEL`, each variable with an example.
    /// A header of a picture, film or paper names its sample in `example.header_handle`: the id of an uploaded file, a
    /// link, or a handle of the provider. Submitting it brings the file there.
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Vec<serde_json::Value>>,
    /// With a change of one that was submitted: hand it in although the linter warns.
    #[serde(default)]
    pub accept_warnings: bool,
}

impl MessageTemplateInput {
    /// The channel that it names.
    pub fn channel(&self, checks: &mut Checks) -> Option<ChannelId> {
        let text = self.channel_id.as_ref()?;
        let id = text.parse().ok();
        if id.is_none() {
            checks.wrong("channelId", "is not the id of a channel");
        }
        id
    }

    /// The template that it describes; what is not given stays as `before` has it.
    pub fn template(
        self,
        before: Option<&MessageTemplate>,
        checks: &mut Checks,
    ) -> Option<MessageTemplate> {
        let name = self.name.or_else(|| before.map(|it| it.name.clone()));
        let language = self
            .language
            .or_else(|| before.map(|it| it.language.clone()));
        let name = checks.required("name", name);
        let language = checks.required("language", language);
        if name.len() > 512 {
            checks.wrong("name", "is longer than 512 characters");
        }
        if language.len() > 16 {
            checks.wrong("language", "must be a language code such as en_US");
        }
        let category = match &self.category {
            None => before.map(|it| it.category),
            Some(word) => TemplateCategory::parse(word),
        };
        if category.is_none() {
            let message = if self.category.is_some() {
                "must be MARKETING, UTILITY or AUTHENTICATION"
            } else {
                "is missing"
            };
            checks.wrong("category", message);
        }
        let format = self
            .parameter_format
            .as_ref()
            .and_then(|word| ParameterFormat::parse(word));
        if self.parameter_format.is_some() && format.is_none() {
            checks.wrong("parameterFormat", "must be POSITIONAL or NAMED");
        }
        let components = self
            .components
            .or_else(|| before.map(MessageTemplate::components_json));
        let components = checks.required("components", components);
        let bytes: usize = components.iter().map(|part| part.to_string().len()).sum();
        if bytes > limits::MESSAGE_TEMPLATE_BYTES {
            let most = limits::MESSAGE_TEMPLATE_BYTES;
            checks.wrong("components", format!("are longer than {most} bytes"));
        }
        for (at, part) in components.iter().enumerate() {
            if !part.is_object() {
                checks.wrong(format!("components[{at}]"), "must be an object");
            }
        }
        let mut template = MessageTemplate::new(name, &language, category?, format, &components);
        template.ttl_seconds = self
            .ttl_seconds
            .or_else(|| before.and_then(|it| it.ttl_seconds));
        Some(template)
    }
}

/// How a draft is handed in.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitInput {
    /// Hand it in although the linter warns.
    #[serde(default)]
    pub accept_warnings: bool,
}

/// What is read from the provider.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncInput {
    /// The account of this channel; all accounts of the tenant when not given.
    pub channel_id: Option<String>,
}

/// The findings of the linter as errors of fields.
pub fn violations(findings: Vec<Finding>) -> Vec<Violation> {
    let errors = lint::has_errors(&findings);
    findings
        .into_iter()
        .filter(|finding| !errors || finding.severity == lint::Severity::Error)
        .map(|finding| {
            let message = format!("{}. {}", finding.message, finding.fix);
            Violation::new(finding.field, message)
        })
        .collect()
}
