//! Webhook bodies: Meta's envelope, or the flat form of the old hosts (protocols/360dialog.md 4 and 6).

use serde_json::value::RawValue;
use waxwing_core::event::Parsed;

use crate::messaging::cloud::parse::{self as cloud_parse, Unreadable};
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, fields};

fields! {
    /// The outermost object, as far as it tells the two forms apart.
    Top { "entry" => entry, "messages" => messages, "statuses" => statuses }
}

/// Reads a body in either form.
pub(super) fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
    let text = text::readable(body);
    if is_flat(&text) {
        let wrapped =
            format!(r#"{{"entry":[{{"changes":[{{"field":"messages","value":{text}}}]}}]}}"#);
        return cloud_parse::parse(wrapped.as_bytes());
    }
    cloud_parse::parse(body)
}

/// The flat form has no entry, but a list of messages or statuses where the envelope has none.
fn is_flat(text: &str) -> bool {
    let is_list = |raw: wire::Raw<'_>| raw.is_some_and(|raw| raw.get().starts_with('['));
    serde_json::from_str::<&RawValue>(text)
        .ok()
        .and_then(wire::object::<Top<'_>>)
        .is_some_and(|top| top.entry.is_none() && (is_list(top.messages) || is_list(top.statuses)))
}
