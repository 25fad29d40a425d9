//! Message templates at 360dialog (protocols/360dialog.md 5): Meta's components, words in lower case, no edit.

use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;
use waxwing_core::channel::credential;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::message_template::MessageTemplate;

use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::call;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::templates as cloud;
use crate::messaging::template_api::{
    Created, TemplateApi, TemplateError, TemplatePage, read, request, unreadable, word,
};

/// Templates of a page.
const PAGE: usize = 50;
const KEY: HeaderName = HeaderName::from_static("d360-api-key");

/// Templates at 360dialog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialog360Templates;

fn built(
    method: Method,
    account: &Account,
    endpoints: &Endpoints,
    rest: &str,
    body: Option<&Value>,
) -> Result<HttpRequest, BuildError> {
    let value = call::credential_value(&account.credentials, credential::API_KEY, "API key")?;
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(KEY, value);
    let base = call::base_url(&endpoints.dialog360_url, "360dialog URL")?;
    let url = format!("{base}/v1/configs/templates{rest}");
    Ok(request(method, url, headers, body))
}

/// An answer's value, or 360dialog's error: Meta's object, or `meta.developer_message` beside it.
fn checked(status: u16, value: Value) -> Result<Value, TemplateError> {
    let developer = word(&value["meta"]["developer_message"]);
    if !(200..300).contains(&status)
        && !value["error"].is_object()
        && let Some(words) = developer
    {
        let mut error = unreadable(status);
        error.error = Box::new(ProviderError {
            class: error.error.class,
            code: Some(status.to_string()),
            message: scrub(&words),
        });
        return Err(error);
    }
    cloud::checked(status, value)
}

impl TemplateApi for Dialog360Templates {
    fn tells(&self) -> bool {
        // Template webhooks go to partners; whether customers get them is not documented.
        false
    }

    fn build_create(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        template: &MessageTemplate,
    ) -> Result<HttpRequest, BuildError> {
        let body = cloud::create_body(template);
        built(Method::POST, account, endpoints, "", Some(&body))
    }

    fn interpret_create(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        cloud::created(&value).ok_or_else(|| unreadable(status))
    }

    fn build_list(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        page: Option<&str>,
    ) -> Result<HttpRequest, BuildError> {
        let offset: usize = page
            .unwrap_or("0")
            .parse()
            .map_err(|_| BuildError::Content("a page of another provider".to_owned()))?;
        let rest = format!("?limit={PAGE}&offset={offset}");
        built(Method::GET, account, endpoints, &rest, None)
    }

    fn interpret_list(&self, answer: &HttpOutcome) -> Result<TemplatePage, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        let list = value["waba_templates"]
            .as_array()
            .ok_or_else(|| unreadable(status))?;
        let templates: Vec<_> = list.iter().filter_map(cloud::remote).collect();
        let number = |name: &str| {
            let number = value[name].as_u64()?;
            usize::try_from(number).ok()
        };
        let end = number("offset").unwrap_or(0).saturating_add(list.len());
        let more = match number("total") {
            Some(total) => end < total,
            None => list.len() >= PAGE,
        };
        Ok(TemplatePage {
            unreadable: list.len() - templates.len(),
            next: (more && !list.is_empty()).then(|| end.to_string()),
            templates,
        })
    }

    fn build_delete(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        _provider_id: Option<&str>,
        name: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(BuildError::Content(
                "the name of the template cannot stand in an address".to_owned(),
            ));
        }
        built(
            Method::DELETE,
            account,
            endpoints,
            &format!("/{name}"),
            None,
        )
        .map(Some)
    }

    fn deletes_all_languages(&self) -> bool {
        true
    }

    fn interpret_done(&self, answer: &HttpOutcome) -> Result<(), TemplateError> {
        let (status, value) = read(answer)?;
        if (200..300).contains(&status) && !value["error"].is_object() {
            return Ok(());
        }
        match checked(status, value) {
            Ok(_) => Err(TemplateError::own(
                crate::messaging::TemplateFailure::Unknown,
                ErrorClass::Unknown,
                format!("HTTP {status}"),
            )),
            Err(error) => Err(error),
        }
    }
}
