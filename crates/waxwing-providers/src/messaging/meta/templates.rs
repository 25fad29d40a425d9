//! Message templates at Meta (protocols/meta.md 15): they belong to the account.

use http::Method;
use serde_json::json;
use waxwing_core::message_template::MessageTemplate;

use super::request::Caller;
use super::samples;
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::cloud::templates as cloud;
use crate::messaging::template_api::{
    Created, Sample, SampleWay, TemplateApi, TemplateError, TemplatePage, read, request,
    unreadable, word,
};

/// What is asked of each template.
const FIELDS: &str = "id,name,status,category,language,components,quality_score,rejected_reason,parameter_format,\
    message_send_ttl_seconds";
/// Templates of a page: with their components they stay well below what is read of an answer.
const PAGE: u32 = 50;

/// Templates at Meta.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetaTemplates;

fn account_id(account: &Account) -> Result<&str, BuildError> {
    account
        .account_id
        .as_deref()
        .ok_or(BuildError::Channel("business account id (wabaId)"))
}

fn edge(
    method: Method,
    account: &Account,
    endpoints: &Endpoints,
    rest: &str,
    body: Option<&serde_json::Value>,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let rest = format!("/message_templates{rest}");
    let url = caller.object_url(account_id(account)?, "business account id (wabaId)", &rest)?;
    Ok(request(method, url, caller.headers()?, body))
}

fn query(pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    format!("?{query}")
}

impl TemplateApi for MetaTemplates {
    fn tells(&self) -> bool {
        true
    }

    fn build_create(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        template: &MessageTemplate,
    ) -> Result<HttpRequest, BuildError> {
        let body = cloud::create_body(template);
        edge(Method::POST, account, endpoints, "", Some(&body))
    }

    fn interpret_create(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        let (status, value) = read(answer)?;
        let value = cloud::checked(status, value)?;
        cloud::created(&value).ok_or_else(|| unreadable(status))
    }

    fn build_list(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        page: Option<&str>,
    ) -> Result<HttpRequest, BuildError> {
        let limit = PAGE.to_string();
        let mut pairs = vec![("fields", FIELDS), ("limit", limit.as_str())];
        pairs.extend(page.map(|page| ("after", page)));
        edge(Method::GET, account, endpoints, &query(&pairs), None)
    }

    fn interpret_list(&self, answer: &HttpOutcome) -> Result<TemplatePage, TemplateError> {
        let (status, value) = read(answer)?;
        let value = cloud::checked(status, value)?;
        let list = value["data"].as_array().ok_or_else(|| unreadable(status))?;
        let templates: Vec<_> = list.iter().filter_map(cloud::remote).collect();
        let paging = &value["paging"];
        // `next` is an address with whatever host; only the cursor is taken.
        let next = paging["next"]
            .is_string()
            .then(|| word(&paging["cursors"]["after"]))
            .flatten();
        Ok(TemplatePage {
            unreadable: list.len() - templates.len(),
            templates,
            next,
        })
    }

    fn build_edit(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        provider_id: &str,
        template: &MessageTemplate,
        category: bool,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let caller = Caller::new(account, endpoints)?;
        let mut body = json!({ "components": template.components_json() });
        if category {
            body["category"] = template.category.as_str().into();
        }
        if let Some(seconds) = template.ttl_seconds {
            body["message_send_ttl_seconds"] = seconds.into();
        }
        let url = caller.object_url(provider_id, "id of the template", "")?;
        Ok(Some(request(
            Method::POST,
            url,
            caller.headers()?,
            Some(&body),
        )))
    }

    fn build_delete(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        provider_id: Option<&str>,
        name: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let mut pairs = Vec::new();
        pairs.extend(provider_id.map(|id| ("hsm_id", id)));
        pairs.push(("name", name));
        edge(Method::DELETE, account, endpoints, &query(&pairs), None).map(Some)
    }

    fn sample_way(&self) -> SampleWay {
        SampleWay::Handle
    }

    fn build_sample(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        sample: Sample<'_>,
    ) -> Result<HttpRequest, BuildError> {
        samples::open(account, endpoints, sample)
    }

    fn interpret_sample(&self, answer: &HttpOutcome) -> Result<String, TemplateError> {
        samples::opened(answer)
    }

    fn build_sample_bytes(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        upload: &str,
    ) -> Result<HttpRequest, BuildError> {
        samples::fill(account, endpoints, upload)
    }

    fn interpret_sample_bytes(&self, answer: &HttpOutcome) -> Result<String, TemplateError> {
        samples::filled(answer)
    }

    fn interpret_done(&self, answer: &HttpOutcome) -> Result<(), TemplateError> {
        let (status, value) = read(answer)?;
        cloud::checked(status, value).map(|_| ())
    }
}
