//! Meta's own checks of a send request. Limits and codes: meta.md section 11.1 and `limits.json`.

mod interactive;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::meta::errors::GraphError;
use crate::meta::wire::{Body, ContactCard, Content, Location, Media, Reaction, Template, Text};

pub(crate) type Checked<T> = Result<T, GraphError>;

/// Length in code points; the documents do not define the unit.
fn length(text: &str) -> usize {
    if text.len() < 16 || text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

/// A text that must be there and have 1 to `max` characters.
fn required<'t>(name: &str, text: Option<&'t str>, max: usize) -> Checked<&'t str> {
    let text = text.ok_or_else(|| GraphError::missing(name))?;
    if text.is_empty() || length(text) > max {
        return Err(GraphError::value(format!(
            "{name} length invalid. Min length: 1, Max length: {max}"
        )));
    }
    Ok(text)
}

/// A text that may be absent and has at most `max` characters.
fn optional(name: &str, text: Option<&str>, max: usize) -> Checked<()> {
    match text {
        Some(text) if length(text) > max => Err(GraphError::value(format!(
            "{name} length invalid. Max length: {max}"
        ))),
        _ => Ok(()),
    }
}

fn read<'a, T: Deserialize<'a>>(name: &str, raw: Option<&'a RawValue>) -> Checked<T> {
    let raw = raw.ok_or_else(|| GraphError::missing(name))?;
    serde_json::from_str(raw.get())
        .map_err(|_| GraphError::invalid(format!("Param {name} has the wrong form")))
}

/// Reads the part that the type names and checks it. Callback data and recipient are checked by the caller.
pub(crate) fn content<'a>(body: &Body<'a>) -> Checked<Content<'a>> {
    if let Some(data) = body.biz_opaque_callback_data.as_deref() {
        optional("biz_opaque_callback_data", Some(data), 512)?;
    }
    if let Some(context) = &body.context {
        required("context.message_id", context.message_id.as_deref(), 512)?;
    }
    match body.kind.as_deref().unwrap_or("text") {
        "text" => text(read("text", body.text)?),
        "image" => media("image", read("image", body.image)?),
        "video" => media("video", read("video", body.video)?),
        "audio" => media("audio", read("audio", body.audio)?),
        "document" => media("document", read("document", body.document)?),
        "sticker" => media("sticker", read("sticker", body.sticker)?),
        "location" => location(read("location", body.location)?),
        "contacts" => contacts(read("contacts", body.contacts)?),
        "reaction" => reaction(read("reaction", body.reaction)?),
        "interactive" => {
            let value = read("interactive", body.interactive)?;
            interactive::check(&value)?;
            Ok(Content::Interactive(Box::new(value)))
        }
        "template" => template(read("template", body.template)?),
        _ => Err(GraphError::of(131_051)),
    }
}

fn text(text: Text<'_>) -> Checked<Content<'_>> {
    let body = text.body.ok_or_else(|| GraphError::missing("text.body"))?;
    if body.is_empty() {
        return Err(GraphError::invalid(
            "Parameter value is not valid: text.body is empty",
        ));
    }
    if length(&body) > 4096 {
        return Err(GraphError::invalid(
            "Parameter value is not valid: text.body exceeds 4096 characters",
        ));
    }
    Ok(Content::Text(body))
}

fn source(name: &str, media: &Media<'_>) -> Checked<()> {
    match (media.id.as_deref(), media.link.as_deref()) {
        (None | Some(""), None | Some("")) => {
            Err(GraphError::missing(&format!("{name}.id or {name}.link")))
        }
        (None | Some(""), Some(link)) => {
            if (link.starts_with("https://") || link.starts_with("http://")) && length(link) <= 2048
            {
                Ok(())
            } else {
                Err(GraphError::value(format!("{name}.link is not a valid URL")))
            }
        }
        _ => Ok(()),
    }
}

fn media<'a>(kind: &'static str, media: Media<'a>) -> Checked<Content<'a>> {
    source(kind, &media)?;
    if media.caption.is_some() && matches!(kind, "audio" | "sticker") {
        return Err(GraphError::invalid(format!(
            "Unexpected key \"caption\" on param \"{kind}\""
        )));
    }
    if media.filename.is_some() && kind != "document" {
        return Err(GraphError::invalid(format!(
            "Unexpected key \"filename\" on param \"{kind}\""
        )));
    }
    if media.voice.is_some() && kind != "audio" {
        return Err(GraphError::invalid(format!(
            "Unexpected key \"voice\" on param \"{kind}\""
        )));
    }
    optional("caption", media.caption.as_deref(), 1024)?;
    Ok(Content::Media(kind, media))
}

fn location(location: Location<'_>) -> Checked<Content<'_>> {
    for (name, value, limit) in [
        ("location.latitude", &location.latitude, 90.0),
        ("location.longitude", &location.longitude, 180.0),
    ] {
        let value = value.as_deref().ok_or_else(|| GraphError::missing(name))?;
        if !value
            .trim()
            .parse::<f64>()
            .is_ok_and(|v| (-limit..=limit).contains(&v))
        {
            return Err(GraphError::value(format!("{name} is not a coordinate")));
        }
    }
    Ok(Content::Location(location))
}

fn contacts(cards: Vec<ContactCard<'_>>) -> Checked<Content<'_>> {
    if cards.is_empty() || cards.len() > 257 {
        return Err(GraphError::value("contacts: Min: 1, Max: 257"));
    }
    for card in &cards {
        let name = card
            .name
            .as_ref()
            .ok_or_else(|| GraphError::missing("contacts.name"))?;
        required(
            "contacts.name.formatted_name",
            name.formatted_name.as_deref(),
            1024,
        )?;
        let parts = [
            &name.first_name,
            &name.last_name,
            &name.middle_name,
            &name.suffix,
            &name.prefix,
        ];
        if parts
            .iter()
            .all(|part| part.as_deref().is_none_or(str::is_empty))
        {
            return Err(GraphError::missing(
                "contacts.name: one of first_name, last_name, middle_name, suffix, prefix",
            ));
        }
    }
    Ok(Content::Contacts(cards))
}

fn reaction(reaction: Reaction<'_>) -> Checked<Content<'_>> {
    required("reaction.message_id", reaction.message_id.as_deref(), 512)?;
    if reaction.emoji.is_none() {
        return Err(GraphError::missing("reaction.emoji"));
    }
    optional("reaction.emoji", reaction.emoji.as_deref(), 32)?;
    Ok(Content::Reaction(reaction))
}

/// Reserved characters that Meta refuses in a text parameter: new line, tab, more than four blanks in a row.
fn bad_parameter(text: &str) -> bool {
    text.contains(['\n', '\r', '\t']) || text.contains("     ")
}

fn template(template: Template<'_>) -> Checked<Content<'_>> {
    let name = required("template.name", template.name.as_deref(), 512)?;
    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return Err(GraphError::detailed(
            132_001,
            format!("template name ({name}) does not exist"),
        ));
    }
    let language = template
        .language
        .as_ref()
        .ok_or_else(|| GraphError::missing("template.language"))?;
    required("template.language.code", language.code.as_deref(), 16)?;
    for component in template.components.iter().flatten() {
        let kind = component
            .kind
            .as_deref()
            .ok_or_else(|| GraphError::missing("template.components.type"))?;
        if kind.eq_ignore_ascii_case("button") {
            let sub = component
                .sub_type
                .as_deref()
                .ok_or_else(|| GraphError::missing("sub_type"))?;
            let index = component
                .index
                .as_deref()
                .ok_or_else(|| GraphError::missing("index"))?;
            if !index.parse::<u8>().is_ok_and(|i| i < 10) {
                return Err(GraphError::value(format!(
                    "button index {sub} must be 0 to 9"
                )));
            }
        }
        for parameter in component.parameters.iter().flatten() {
            let kind = parameter
                .kind
                .as_deref()
                .ok_or_else(|| GraphError::missing("parameters.type"))?;
            if kind == "text" {
                let text = parameter
                    .text
                    .as_deref()
                    .ok_or_else(|| GraphError::missing("parameters.text"))?;
                if bad_parameter(text) {
                    return Err(GraphError::detailed(
                        132_012,
                        "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
                    ));
                }
            }
        }
    }
    Ok(Content::Template(template))
}

#[cfg(test)]
mod tests;
