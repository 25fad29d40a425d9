//! Message templates at MSG91 (protocols/msg91.md 3): create and list; no edit and no deletion, no ids.

use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use waxwing_core::channel::credential;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::message_template::{MessageTemplate, RemoteTemplate, TemplateStatus};
use waxwing_core::phone::Phone;

use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::call;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::templates as cloud;
use crate::messaging::template_api::{
    Created, TemplateApi, TemplateError, TemplateFailure, TemplatePage, read, reason, request,
    unreadable, word,
};

const KEY: HeaderName = HeaderName::from_static("authkey");

/// Templates at MSG91.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Msg91Templates;

fn number(account: &Account) -> Result<Phone, BuildError> {
    Phone::from_wa_id(&account.sender_id).map_err(|_| BuildError::Channel("integrated number"))
}

fn built(
    method: Method,
    account: &Account,
    endpoints: &Endpoints,
    path: &str,
    body: Option<&Value>,
) -> Result<HttpRequest, BuildError> {
    let value = call::credential_value(&account.credentials, credential::AUTH_KEY, "auth key")?;
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(KEY, value);
    let base = call::base_url(&endpoints.msg91_url, "MSG91 URL")?;
    Ok(request(
        method,
        format!("{base}/api/v5/whatsapp/{path}"),
        headers,
        body,
    ))
}

/// An answer's value, or MSG91's refusal, which may come with HTTP 200.
fn checked(status: u16, value: Value) -> Result<Value, TemplateError> {
    let failed = value["hasError"].as_bool() == Some(true)
        || ["fail", "error"].contains(&value["status"].as_str().unwrap_or_default());
    if (200..300).contains(&status) && !failed && (value.is_object() || value.is_array()) {
        return Ok(value);
    }
    let words = [
        &value["errors"],
        &value["message"],
        &value["data"]["message"],
    ]
    .into_iter()
    .find_map(|part| match part {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    let Some(words) = words else {
        return Err(unreadable(status));
    };
    let base = unreadable(status);
    let exists = words.to_ascii_lowercase().contains("already exist");
    let (failure, class) = if exists {
        (TemplateFailure::Exists, ErrorClass::Permanent)
    } else if (200..300).contains(&status) {
        (TemplateFailure::Refused, ErrorClass::Permanent)
    } else {
        (base.failure, base.error.class)
    };
    Err(TemplateError {
        failure,
        error: Box::new(ProviderError {
            class,
            code: None,
            message: scrub(&words),
        }),
        subcode: None,
        title: None,
        text: None,
    })
}

/// The languages of one listed template.
fn remotes(template: &Value) -> Vec<RemoteTemplate> {
    let languages = template["languages"].as_array();
    let one = |language: &Value| {
        let mut flat = json!({
            "name": &template["name"],
            "category": &template["category"],
            "language": &language["language"],
            "status": &language["status"],
            "components": &language["code"],
        });
        if language["code"].is_null() {
            flat["components"] = json!([]);
        }
        let mut remote = cloud::remote(&flat)?;
        remote.reason = reason(&language["rejection_reason"]);
        Some(remote)
    };
    languages.into_iter().flatten().filter_map(one).collect()
}

impl TemplateApi for Msg91Templates {
    fn tells(&self) -> bool {
        false
    }

    fn build_create(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        template: &MessageTemplate,
    ) -> Result<HttpRequest, BuildError> {
        let body = json!({
            "template_name": &template.name,
            "category": template.category.as_str(),
            "language": &template.language,
            "integrated_number": number(account)?.digits(),
            "components": template.components_json(),
        });
        built(
            Method::POST,
            account,
            endpoints,
            "client-panel-template/",
            Some(&body),
        )
    }

    fn interpret_create(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        if value["status"].as_str() != Some("success") {
            return Err(unreadable(status));
        }
        Ok(Created {
            provider_id: None,
            status: TemplateStatus::Pending,
            category: None,
            reason: None,
        })
    }

    fn build_list(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        _page: Option<&str>,
    ) -> Result<HttpRequest, BuildError> {
        let path = format!("get-template-client/{}", number(account)?.digits());
        built(Method::GET, account, endpoints, &path, None)
    }

    /// The list is the whole answer, or stands under `data` or `templates`. There are no pages.
    fn interpret_list(&self, answer: &HttpOutcome) -> Result<TemplatePage, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        let list = [
            &value,
            &value["data"],
            &value["templates"],
            &value["data"]["templates"],
        ]
        .into_iter()
        .find_map(Value::as_array)
        .ok_or_else(|| unreadable(status))?;
        let mut page = TemplatePage::default();
        for template in list {
            let found = remotes(template);
            page.unreadable += usize::from(found.is_empty() && word(&template["name"]).is_none());
            page.templates.extend(found);
        }
        Ok(page)
    }

    fn interpret_done(&self, answer: &HttpOutcome) -> Result<(), TemplateError> {
        let (status, value) = read(answer)?;
        checked(status, value).map(|_| ())
    }
}
