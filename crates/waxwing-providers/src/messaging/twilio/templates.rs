//! Message templates at Twilio (protocols/twilio.md 7): a Content resource, and an approval asked for in a second call.
//!
//! Twilio counts variables through the whole resource, from 1: header, body, buttons. It has no names and no file for each
//! send, so the sample file of a header is the one that is sent.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};
use waxwing_core::errors::ErrorClass;
use waxwing_core::message_template::slots;
use waxwing_core::message_template::{
    Button, ButtonKind, Component, Example, HeaderFormat, MessageTemplate, ParameterFormat,
    RemoteTemplate, TemplateCategory, TemplateStatus,
};

use super::codes;
use super::parse::is_sid;
use super::request::{Caller, Host};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::template_api::{
    Created, SampleWay, TemplateApi, TemplateError, TemplateFailure, TemplatePage, read, reason,
    request, unreadable, word,
};

/// Templates of a page.
const PAGE: u32 = 50;
/// The path of a listed page; what follows is Twilio's own.
const LIST: &str = "/v1/ContentAndApprovals";

/// Templates at Twilio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TwilioTemplates;

const fn not_carried(what: &'static str) -> BuildError {
    BuildError::NotCarried {
        provider: "Twilio",
        what,
    }
}

fn call(
    method: Method,
    account: &Account,
    endpoints: &Endpoints,
    path: &str,
    body: Option<&Value>,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let url = caller.url(Host::Content, path)?;
    Ok(request(method, url, caller.headers()?, body))
}

fn content_path(sid: &str, rest: &str) -> Result<String, BuildError> {
    if sid.starts_with("HX") && is_sid(sid) {
        Ok(format!("/v1/Content/{sid}{rest}"))
    } else {
        Err(BuildError::Channel("ContentSid of the template"))
    }
}

/// The variables of a resource so far, with their samples.
#[derive(Default)]
struct Variables(Map<String, Value>);

impl Variables {
    /// The text with its variables counted on from those before.
    fn renumber(&mut self, text: &str, examples: &[Example]) -> String {
        let names = slots::names(text);
        let first = self.0.len();
        let numbers: Vec<String> = (1..=names.len())
            .map(|at| format!("{{{{{}}}}}", first + at))
            .collect();
        for (at, name) in names.iter().enumerate() {
            let sample = examples
                .iter()
                .find(|one| one.name == *name)
                .map_or("", |one| one.value.as_str());
            self.0.insert((first + at + 1).to_string(), sample.into());
        }
        slots::fill(text, |name| {
            let at = names.iter().position(|one| *one == name)?;
            Some(numbers[at].as_str())
        })
    }
}

/// An action, as Twilio calls a button.
fn action(button: &Button, variables: &mut Variables) -> Result<Value, BuildError> {
    let mut action = match &button.kind {
        ButtonKind::QuickReply => {
            json!({ "type": "QUICK_REPLY", "title": &button.text, "id": &button.text })
        }
        ButtonKind::Url => {
            // The sample is of the whole address; the variable is its end.
            let fixed = button.url().split("{{").next().unwrap_or_default();
            let sample = button.example().unwrap_or_default();
            let sample = sample.strip_prefix(fixed).unwrap_or(sample).to_owned();
            let name = slots::names(button.url())
                .first()
                .map(|name| (*name).to_owned());
            let examples: Vec<Example> = name
                .map(|name| Example {
                    name,
                    value: sample,
                })
                .into_iter()
                .collect();
            let url = variables.renumber(button.url(), &examples);
            json!({ "type": "URL", "title": &button.text, "url": url })
        }
        ButtonKind::PhoneNumber => json!({
            "type": "PHONE_NUMBER", "title": &button.text,
            "phone": button.property("phone_number").unwrap_or_default(),
        }),
        ButtonKind::CopyCode => {
            let examples = [Example {
                name: "1".to_owned(),
                value: button.example().unwrap_or_default().to_owned(),
            }];
            let code = variables.renumber("{{1}}", &examples);
            json!({ "type": "COPY_CODE", "title": &button.text, "code": code })
        }
        ButtonKind::VoiceCall => json!({ "type": "VOICE_CALL", "title": &button.text }),
        _ => return Err(not_carried("this kind of template button")),
    };
    if button.text.is_empty() {
        action["title"] = "Copy code".into();
    }
    Ok(action)
}

/// The type of a resource and its properties.
fn content(
    template: &MessageTemplate,
    variables: &mut Variables,
) -> Result<(&'static str, Value), BuildError> {
    if template.category == TemplateCategory::Authentication {
        return Ok(("whatsapp/authentication", authentication(template)));
    }
    let known = |part: &Component| {
        matches!(
            part,
            Component::Header(_)
                | Component::Body(_)
                | Component::Footer(_)
                | Component::Buttons(_)
        )
    };
    if !template.components.iter().all(known) {
        return Err(not_carried(
            "cards and limited offers in a template; make them in Twilio's console",
        ));
    }
    let mut header_text = None;
    let mut media = Vec::new();
    if let Some(header) = template.header() {
        match &header.format {
            HeaderFormat::Text => {
                header_text = Some(variables.renumber(&header.text, &header.examples));
            }
            format if format.is_media() => {
                let links = header.handles.iter().filter(|one| one.contains("://"));
                media = links.cloned().collect();
                if media.is_empty() {
                    return Err(BuildError::Content(
                        "Twilio takes the sample file of a header as a link".to_owned(),
                    ));
                }
            }
            _ => return Err(not_carried("this kind of template header")),
        }
    }
    let empty = [];
    let (text, examples) = template.body().map_or(("", &empty[..]), |body| {
        (body.text.as_str(), &body.examples)
    });
    let body = variables.renumber(text, examples);
    let buttons = template.buttons();
    let actions = buttons
        .iter()
        .map(|button| action(button, variables))
        .collect::<Result<Vec<_>, _>>()?;
    let footer = template.footer().map(|footer| footer.text.as_str());
    let quick = buttons
        .iter()
        .filter(|button| button.kind == ButtonKind::QuickReply)
        .count();
    let plain = header_text.is_none() && media.is_empty() && footer.is_none();
    Ok(if plain && actions.is_empty() {
        ("twilio/text", json!({ "body": body }))
    } else if plain && quick == actions.len() {
        (
            "twilio/quick-reply",
            json!({ "body": body, "actions": actions }),
        )
    } else if plain && quick == 0 {
        (
            "twilio/call-to-action",
            json!({ "body": body, "actions": actions }),
        )
    } else if header_text.is_none() && footer.is_none() && actions.is_empty() {
        ("twilio/media", json!({ "body": body, "media": media }))
    } else {
        let mut card = json!({ "body": body });
        if let Some(text) = header_text {
            card["header_text"] = text.into();
        }
        if let Some(text) = footer {
            card["footer"] = text.into();
        }
        if !media.is_empty() {
            card["media"] = media.into();
        }
        if !actions.is_empty() {
            card["actions"] = actions.into();
        }
        ("whatsapp/card", card)
    })
}

fn authentication(template: &MessageTemplate) -> Value {
    let label = template
        .buttons()
        .first()
        .map_or("", |button| button.text.as_str());
    let label = if label.is_empty() { "Copy code" } else { label };
    let mut properties = json!({ "actions": [{ "type": "COPY_CODE", "copy_code_text": label }] });
    if let Some(add) = template
        .body()
        .and_then(|body| body.security_recommendation)
    {
        properties["add_security_recommendation"] = add.into();
    }
    if let Some(minutes) = template.footer().and_then(|it| it.code_expiration_minutes) {
        properties["code_expiration_minutes"] = minutes.into();
    }
    properties
}

/// An answer's value, or Twilio's error object.
fn checked(status: u16, value: Value) -> Result<Value, TemplateError> {
    if (200..300).contains(&status) && value.is_object() {
        return Ok(value);
    }
    let Some(code) = value["code"].as_i64() else {
        return Err(unreadable(status));
    };
    let words = word(&value["message"]).unwrap_or_default();
    let error = codes::error(code, &scrub(&words));
    let failure = match (status, code) {
        (404, _) | (_, 20_404) => TemplateFailure::Gone,
        (429, _) | (_, 20_429) => TemplateFailure::Throttled,
        (500.., _) => TemplateFailure::Unknown,
        _ if error.class == ErrorClass::Retry => TemplateFailure::Unreachable,
        _ => TemplateFailure::Refused,
    };
    Err(TemplateError {
        failure,
        error: Box::new(error),
        subcode: None,
        title: None,
        text: None,
    })
}

/// What an approval says: the object of the channel, alone or under `whatsapp`.
fn approval(value: &Value) -> Option<Created> {
    let inner = &value["whatsapp"];
    let approval = if inner.is_object() { inner } else { value };
    let before = TemplateStatus::Pending;
    Some(Created {
        provider_id: None,
        status: before.after(approval["status"].as_str()?).unwrap_or(before),
        category: word(&approval["category"]).and_then(|word| TemplateCategory::parse(&word)),
        reason: reason(&approval["rejection_reason"]),
    })
}

/// A listed resource whose approval was asked for; others are no templates of WhatsApp.
fn remote(content: &Value) -> Option<RemoteTemplate> {
    let approvals = &content["approval_requests"];
    let approved = approval(approvals)?;
    if approved.status == TemplateStatus::Draft {
        return None;
    }
    let name = word(&approvals["name"]).or_else(|| word(&content["friendly_name"]))?;
    let (kind, properties) = content["types"].as_object()?.iter().next()?;
    let components = components(kind, properties, &content["variables"]);
    Some(RemoteTemplate {
        provider_id: Some(word(&content["sid"])?),
        template: MessageTemplate::new(
            name,
            &word(&content["language"])?,
            approved.category.unwrap_or(TemplateCategory::Marketing),
            Some(ParameterFormat::Positional),
            &components,
        ),
        status: approved.status,
        quality: None,
        reason: approved.reason,
    })
}

/// Meta's components of a resource; what has no form there stays what it is.
fn components(kind: &str, properties: &Value, samples: &Value) -> Vec<Value> {
    let mut parts = Vec::new();
    let sample = |text: &str| -> Vec<Value> {
        let names = slots::names(text);
        names
            .iter()
            .map(|name| samples[*name].as_str().unwrap_or_default().into())
            .collect()
    };
    if kind == "whatsapp/authentication" {
        parts.push(json!({
            "type": "BODY",
            "add_security_recommendation": properties["add_security_recommendation"].as_bool().unwrap_or(false),
        }));
        if let Some(minutes) = properties["code_expiration_minutes"].as_i64() {
            parts.push(json!({ "type": "FOOTER", "code_expiration_minutes": minutes }));
        }
        let label = word(&properties["actions"][0]["copy_code_text"]).unwrap_or_default();
        parts.push(json!({ "type": "BUTTONS",
            "buttons": [{ "type": "OTP", "otp_type": "COPY_CODE", "text": label }] }));
        return parts;
    }
    let Some(body) = word(&properties["body"]) else {
        return vec![json!({ "type": kind.to_ascii_uppercase(), "content": properties })];
    };
    if let Some(text) = word(&properties["header_text"]) {
        parts.push(json!({ "type": "HEADER", "format": "TEXT", "text": &text,
            "example": { "header_text": sample(&text) } }));
    }
    parts.push(
        json!({ "type": "BODY", "text": &body, "example": { "body_text": [sample(&body)] } }),
    );
    if let Some(text) = word(&properties["footer"]) {
        parts.push(json!({ "type": "FOOTER", "text": text }));
    }
    let actions = properties["actions"].as_array();
    let buttons: Vec<Value> = actions.into_iter().flatten().map(button).collect();
    if !buttons.is_empty() {
        parts.push(json!({ "type": "BUTTONS", "buttons": buttons }));
    }
    parts
}

fn button(action: &Value) -> Value {
    let kind = word(&action["type"]).unwrap_or_default();
    let mut button = json!({ "type": kind, "text": word(&action["title"]).unwrap_or_default() });
    for (ours, theirs) in [
        ("url", "url"),
        ("phone_number", "phone"),
        ("example", "code"),
    ] {
        if let Some(value) = word(&action[theirs]) {
            button[ours] = value.into();
        }
    }
    button
}

impl TemplateApi for TwilioTemplates {
    fn sample_way(&self) -> SampleWay {
        SampleWay::LastingLink
    }

    fn tells(&self) -> bool {
        false
    }

    fn build_create(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        template: &MessageTemplate,
    ) -> Result<HttpRequest, BuildError> {
        let mut variables = Variables::default();
        let (kind, properties) = content(template, &mut variables)?;
        let body = json!({
            "friendly_name": &template.name,
            "language": &template.language,
            "variables": variables.0,
            "types": { kind: properties },
        });
        call(Method::POST, account, endpoints, "/v1/Content", Some(&body))
    }

    /// The resource is there; its approval has not been asked for.
    fn interpret_create(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        let sid = word(&value["sid"]).filter(|sid| sid.starts_with("HX") && is_sid(sid));
        Ok(Created {
            provider_id: Some(sid.ok_or_else(|| unreadable(status))?),
            status: TemplateStatus::Draft,
            category: None,
            reason: None,
        })
    }

    fn build_approval(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        provider_id: &str,
        template: &MessageTemplate,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let path = content_path(provider_id, "/ApprovalRequests/whatsapp")?;
        let body = json!({ "name": &template.name, "category": template.category.as_str() });
        call(Method::POST, account, endpoints, &path, Some(&body)).map(Some)
    }

    fn interpret_approval(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        approval(&value).ok_or_else(|| unreadable(status))
    }

    fn build_list(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        page: Option<&str>,
    ) -> Result<HttpRequest, BuildError> {
        let first = format!("PageSize={PAGE}");
        let query = page.unwrap_or(&first);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=&-_.%~+".contains(&byte);
        if !query.bytes().all(plain) {
            return Err(BuildError::Content("a page of another provider".to_owned()));
        }
        call(
            Method::GET,
            account,
            endpoints,
            &format!("{LIST}?{query}"),
            None,
        )
    }

    fn interpret_list(&self, answer: &HttpOutcome) -> Result<TemplatePage, TemplateError> {
        let (status, value) = read(answer)?;
        let value = checked(status, value)?;
        let list = value["contents"]
            .as_array()
            .ok_or_else(|| unreadable(status))?;
        // The address of the next page has a host of its own; only its query is taken.
        let next = word(&value["meta"]["next_page_url"]);
        let next = next
            .as_deref()
            .and_then(|url| url.split_once('?'))
            .map(|(_, query)| query.to_owned());
        Ok(TemplatePage {
            templates: list.iter().filter_map(remote).collect(),
            unreadable: 0,
            next,
        })
    }

    fn build_status(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        provider_id: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let path = content_path(provider_id, "/ApprovalRequests")?;
        call(Method::GET, account, endpoints, &path, None).map(Some)
    }

    fn interpret_status(&self, answer: &HttpOutcome) -> Result<Created, TemplateError> {
        self.interpret_approval(answer)
    }

    fn build_delete(
        &self,
        account: &Account,
        endpoints: &Endpoints,
        provider_id: Option<&str>,
        _name: &str,
    ) -> Result<Option<HttpRequest>, BuildError> {
        let Some(sid) = provider_id else {
            return Ok(None);
        };
        let path = content_path(sid, "")?;
        call(Method::DELETE, account, endpoints, &path, None).map(Some)
    }

    fn interpret_done(&self, answer: &HttpOutcome) -> Result<(), TemplateError> {
        if let HttpOutcome::Response {
            status: 204, body, ..
        } = answer
            && body == &Bytes::new()
        {
            return Ok(());
        }
        let (status, value) = read(answer)?;
        checked(status, value).map(|_| ())
    }
}
