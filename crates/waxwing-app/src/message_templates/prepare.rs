//! What a send of a message template has to give, checked against what is known of the template.

use serde_json::Value;
use waxwing_core::channel::ChannelKind;
use waxwing_core::content::{Content, Violation};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::message_template::{TemplateCategory, fold_language, parameters};
use waxwing_store::domain::message_templates as store;

use super::{ManageError, MessageTemplates};

/// What a caller gives for the variables.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// In Meta's form.
    pub components: Option<Vec<Value>>,
    /// In the simple form.
    pub variables: Option<Value>,
}

/// A send of a message template.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What is sent.
    pub content: Content,
    /// It is marketing, which not everybody wants.
    pub marketing: bool,
}

impl MessageTemplates {
    /// The content of a send. A template that is not known here passes as it is, since it may exist at the provider.
    ///
    /// # Errors
    /// [`ManageError::NoChannel`]; what the database says. The inner error is what is wrong with the request, by field.
    pub async fn prepare(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
        given: Given,
    ) -> Result<Result<Prepared, Vec<Violation>>, ManageError> {
        let channel = self.channel(tenant, channel).await?;
        let channels = self.directory.current().siblings(&channel);
        let (name, language) = (given.name.clone(), fold_language(&given.language));
        let read = self
            .base
            .store
            .read(move |tx| store::by_name(tx, tenant, &channels, &name));
        let known = read.await?;
        let known = known
            .into_iter()
            .find(|record| record.template.language == language);
        if given.components.is_some() && given.variables.is_some() {
            let found = Violation::new(
                "messageTemplate.variables",
                "give either components or variables",
            );
            return Ok(Err(vec![found]));
        }
        let Some(record) = known else {
            if given.variables.is_some() {
                let found = Violation::new(
                    "messageTemplate.variables",
                    "need a template that is known here; synchronise, or give components",
                );
                return Ok(Err(vec![found]));
            }
            let content = Content::MessageTemplate {
                name: given.name,
                language: given.language,
                components: given.components.unwrap_or_default(),
            };
            // Whoever does not know its category lets the provider say whether the person wants it.
            let marketing = false;
            return Ok(Ok(Prepared { content, marketing }));
        };
        if let Some(why) = record.standing.status.why_not_sent() {
            return Ok(Err(vec![Violation::new("messageTemplate.name", why)]));
        }
        let components = match given.components {
            Some(components) => {
                let path = "messageTemplate.components";
                let found = parameters::check(&record.template, &components, path);
                if found.is_empty() {
                    Ok(components)
                } else {
                    Err(found)
                }
            }
            None => {
                let variables = given.variables.unwrap_or(Value::Null);
                let path = "messageTemplate.variables";
                parameters::components(&record.template, &variables, path)
            }
        };
        // Twilio knows a template by its ContentSid only.
        let name = match record.provider_id {
            Some(sid) if channel.kind == ChannelKind::Twilio => sid,
            _ => given.name,
        };
        let marketing = record.standing.category == TemplateCategory::Marketing;
        Ok(components.map(|components| Prepared {
            content: Content::MessageTemplate {
                name,
                language,
                components,
            },
            marketing,
        }))
    }
}
