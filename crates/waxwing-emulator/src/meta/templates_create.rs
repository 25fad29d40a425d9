//! Checks of template creation (meta.md section 15); errors carry their cause in the subcode.

use serde_json::{Value, json};

use crate::meta::errors::GraphError;
use crate::meta::templates::variables;

type Checked<T> = Result<T, GraphError>;

fn bad(
    subcode: i64,
    title: &'static str,
    text: impl Into<std::borrow::Cow<'static, str>>,
) -> GraphError {
    GraphError::template(subcode, title, text)
}

fn text<'v>(value: &'v Value, name: &str) -> Checked<&'v str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
        .ok_or_else(|| GraphError::invalid(format!("The parameter {name} is required.")))
}

/// Words that make Meta see marketing in a template that was handed in as utility. Ours is a coarse stand-in.
const MARKETING_WORDS: [&str; 7] = [
    "% off",
    "percent off",
    "discount",
    "sale",
    "promo",
    "coupon",
    "special offer",
];

/// Checks a request and gives name, language and the body as it will be listed, in upper case where Meta answers so.
pub(crate) fn checked(request: &Value) -> Checked<(String, String, Value)> {
    let name = text(request, "name")?;
    if name.len() > 512
        || !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return Err(GraphError::invalid(
            "Param name must match [a-z0-9_]{1,512}",
        ));
    }
    let language = text(request, "language")?;
    if language.len() > 16 {
        return Err(GraphError::invalid("Param language is not a known locale"));
    }
    let mut category = text(request, "category")?.to_ascii_uppercase();
    if !matches!(
        category.as_str(),
        "MARKETING" | "UTILITY" | "AUTHENTICATION"
    ) {
        return Err(GraphError::invalid(
            "Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}",
        ));
    }
    let list = request
        .get("components")
        .and_then(Value::as_array)
        .ok_or_else(|| GraphError::invalid("The parameter components is required."))?;
    let mut components = Vec::with_capacity(list.len());
    let mut has_body = false;
    for component in list {
        let component = self::component(component, &category)?;
        has_body |= component["type"] == "BODY";
        components.push(component);
    }
    if !has_body {
        return Err(bad(
            2_388_072,
            "Body format incorrect",
            "A template needs a body.",
        ));
    }
    let all = components
        .iter()
        .filter_map(|c| c["text"].as_str())
        .collect::<Vec<_>>()
        .join(" ")
        .to_ascii_lowercase();
    if category == "UTILITY" && MARKETING_WORDS.iter().any(|word| all.contains(word)) {
        category = "MARKETING".into();
    }
    let mut body = json!({
        "name": name, "language": language, "category": category, "components": components,
        "quality_score": { "score": "UNKNOWN" }, "rejected_reason": "NONE",
    });
    let format = request
        .get("parameter_format")
        .and_then(Value::as_str)
        .unwrap_or("positional")
        .to_ascii_uppercase();
    body["parameter_format"] = json!(format);
    Ok((name.to_owned(), language.to_owned(), body))
}

fn component(value: &Value, category: &str) -> Checked<Value> {
    let kind = text(value, "type")?.to_ascii_uppercase();
    let mut out = value.clone();
    out["type"] = json!(kind);
    if let Some(format) = value.get("format").and_then(Value::as_str) {
        out["format"] = json!(format.to_ascii_uppercase());
    }
    let words = value.get("text").and_then(Value::as_str);
    match kind.as_str() {
        "BODY" => {
            // Authentication bodies are Meta's own text.
            if category != "AUTHENTICATION" {
                body(words.unwrap_or(""), value)?;
            }
        }
        "HEADER" => header(
            out["format"].as_str().unwrap_or("TEXT"),
            words.unwrap_or(""),
            value,
        )?,
        "FOOTER" => {
            let words = words.unwrap_or("");
            if category != "AUTHENTICATION"
                && (words.is_empty() || words.chars().count() > 60 || words.contains("{{"))
            {
                return Err(bad(
                    2_388_073,
                    "Footer format incorrect",
                    "A footer has 1 to 60 characters and no variables.",
                ));
            }
        }
        "BUTTONS" => {
            let list = value
                .get("buttons")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            out["buttons"] = buttons(list)?;
        }
        "CAROUSEL" | "LIMITED_TIME_OFFER" => {}
        _ => return Err(GraphError::invalid("Param components.type is not known")),
    }
    Ok(out)
}

fn body(words: &str, value: &Value) -> Checked<()> {
    if words.is_empty() {
        return Err(bad(2_388_072, "Body format incorrect", "A body has text."));
    }
    if words.chars().count() > 1024 {
        return Err(bad(
            2_388_040,
            "Character limit exceeded",
            "The body has more than 1024 characters.",
        ));
    }
    let names = variables(words);
    let trimmed = words.trim();
    if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
        return Err(bad(
            2_388_299,
            "Leading or trailing params not allowed",
            "Variables can't be at the start or end of the template.",
        ));
    }
    // Our measure for "too many variables for the length": at least three words for each.
    if names.len() * 3 > words.split_whitespace().count() + 1 {
        return Err(bad(
            2_388_293,
            "This template has too many variables for its length",
            "Reduce the number of variables or increase the message length.",
        ));
    }
    if names.is_empty() {
        return Ok(());
    }
    let example = value.get("example");
    let positional = example
        .and_then(|e| e.pointer("/body_text/0"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let named = example
        .and_then(|e| e.get("body_text_named_params"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if positional.max(named) < names.len() {
        return Err(bad(
            2_388_043,
            "Message template is missing expected fields",
            "Every variable needs an example.",
        ));
    }
    Ok(())
}

fn header(format: &str, words: &str, value: &Value) -> Checked<()> {
    let wrong = |text: &'static str| Err(bad(2_388_047, "Header format incorrect", text));
    match format {
        "TEXT" if words.is_empty() || words.chars().count() > 60 => {
            wrong("A text header has 1 to 60 characters.")
        }
        "TEXT" if variables(words).len() > 1 => wrong("A header has at most one variable."),
        "IMAGE" | "VIDEO" | "DOCUMENT" => {
            let sample = value.pointer("/example/header_handle/0");
            match sample.and_then(Value::as_str) {
                Some(sample) if !sample.is_empty() => Ok(()),
                _ => Err(bad(
                    2_388_043,
                    "Message template is missing expected fields",
                    "A header of media needs a sample in example.header_handle.",
                )),
            }
        }
        "TEXT" | "LOCATION" | "PRODUCT" => Ok(()),
        _ => wrong("The format is not known."),
    }
}

fn buttons(list: &[Value]) -> Checked<Value> {
    if list.is_empty() || list.len() > 10 {
        return Err(GraphError::invalid("A template has 1 to 10 buttons"));
    }
    let mut out = list.to_vec();
    let (mut urls, mut phones, mut codes) = (0, 0, 0);
    for button in &mut out {
        let kind = text(button, "type")?.to_ascii_uppercase();
        match kind.as_str() {
            "URL" => urls += 1,
            "PHONE_NUMBER" => phones += 1,
            "COPY_CODE" => codes += 1,
            _ => {}
        }
        if button
            .get("text")
            .and_then(Value::as_str)
            .is_some_and(|label| label.chars().count() > 25)
        {
            return Err(bad(
                2_388_040,
                "Character limit exceeded",
                "A button label has at most 25 characters.",
            ));
        }
        button["type"] = json!(kind);
    }
    if urls > 2 || phones > 1 || codes > 1 {
        return Err(GraphError::invalid(
            "A template has at most two URL buttons, one phone button and one copy code button",
        ));
    }
    Ok(Value::Array(out))
}
