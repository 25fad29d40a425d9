//! Message templates in Meta's form, which 360dialog shares (protocols/meta.md 15, protocols/360dialog.md 5).

use serde_json::{Value, json};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::message_template::{
    MessageTemplate, ParameterFormat, RemoteTemplate, TemplateCategory, TemplateQuality,
    TemplateStatus,
};

use super::codes;
use super::scrub::scrub;
use crate::messaging::template_api::{
    Created, TemplateError, TemplateFailure, reason, unreadable, word,
};

/// Subcodes under which a name is taken: the name and language exist, or were deleted within 30 days.
const EXISTS: [i64; 2] = [2_388_024, 2_388_023];
/// The subcode of code 100 for an object that does not exist.
const NO_SUCH_OBJECT: i64 = 33;

/// The body that hands a template in.
pub(crate) fn create_body(template: &MessageTemplate) -> Value {
    let mut body = json!({
        "name": &template.name,
        "language": &template.language,
        "category": template.category.as_str(),
        "components": template.components_json(),
    });
    if template.format == ParameterFormat::Named {
        body["parameter_format"] = "NAMED".into();
    }
    if let Some(seconds) = template.ttl_seconds {
        body["message_send_ttl_seconds"] = seconds.into();
    }
    body
}

/// A listed template; `None` when it has no name or language.
pub(crate) fn remote(value: &Value) -> Option<RemoteTemplate> {
    let name = word(&value["name"])?;
    let language = word(&value["language"]).or_else(|| word(&value["language"]["code"]))?;
    let category = word(&value["category"]).and_then(|word| TemplateCategory::parse(&word));
    let format = word(&value["parameter_format"]).and_then(|word| ParameterFormat::parse(&word));
    let components = value["components"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let mut template = MessageTemplate::new(
        name,
        &language,
        // What is in no category is treated by the strictest rules.
        category.unwrap_or(TemplateCategory::Marketing),
        format,
        components,
    );
    template.ttl_seconds = value["message_send_ttl_seconds"].as_i64();
    let quality = &value["quality_score"];
    Some(RemoteTemplate {
        provider_id: word(&value["id"]),
        template,
        status: status(value),
        quality: word(&quality["score"])
            .or_else(|| word(quality))
            .map(|word| TemplateQuality::read(&word)),
        reason: reason(&value["rejected_reason"]),
    })
}

fn status(value: &Value) -> TemplateStatus {
    let before = TemplateStatus::Pending;
    word(&value["status"])
        .and_then(|word| before.after(&word))
        .unwrap_or(before)
}

/// What the answer to a creation says.
pub(crate) fn created(value: &Value) -> Option<Created> {
    Some(Created {
        provider_id: Some(word(&value["id"])?),
        status: status(value),
        category: word(&value["category"]).and_then(|word| TemplateCategory::parse(&word)),
        reason: reason(&value["rejected_reason"]),
    })
}

/// Reads an answer: the value, or the error object in it.
pub(crate) fn checked(status: u16, value: Value) -> Result<Value, TemplateError> {
    let error = &value["error"];
    if error.is_object() {
        return Err(refusal(status, error));
    }
    if (200..300).contains(&status) && (value.is_object() || value.is_array()) {
        Ok(value)
    } else {
        Err(unreadable(status))
    }
}

/// Meta's error object. What it says to people stands in `error_user_title` and `error_user_msg`.
fn refusal(status: u16, error: &Value) -> TemplateError {
    let code = error["code"].as_i64();
    let subcode = error["error_subcode"].as_i64();
    let meaning = code.and_then(codes::meaning);
    let class = match meaning {
        Some(meaning) => meaning.class.error_class(),
        None if status >= 500 => ErrorClass::Retry,
        None => ErrorClass::Permanent,
    };
    let failure = match class {
        _ if subcode.is_some_and(|code| EXISTS.contains(&code)) => TemplateFailure::Exists,
        _ if code == Some(100) && subcode == Some(NO_SUCH_OBJECT) => TemplateFailure::Gone,
        ErrorClass::Throttled => TemplateFailure::Throttled,
        ErrorClass::Retry | ErrorClass::Later => TemplateFailure::Unreachable,
        _ => TemplateFailure::Refused,
    };
    let words = |name: &str| word(&error[name]).map(|text| scrub(&text));
    let message = words("message").unwrap_or_else(|| "the provider gave no reason".to_owned());
    let details = word(&error["error_data"]["details"]).map(|text| scrub(&text));
    TemplateError {
        failure,
        error: Box::new(ProviderError {
            class,
            code: code.map(|code| code.to_string()),
            message: match details {
                Some(details) => format!("{message}: {details}"),
                None => message,
            },
        }),
        subcode: subcode.map(|code| code.to_string()),
        title: words("error_user_title"),
        text: words("error_user_msg"),
    }
}
