//! Events of an account and its templates (protocols/meta.md 8).

use serde_json::{Map, Value};
use waxwing_core::event::{Detail, TemplateNews};
use waxwing_core::time::Timestamp;

use super::envelope::Values;
use super::wire;
use crate::messaging::cloud::wire::{Raw, fields};

fields! {
    /// Why a template was paused or disabled.
    OtherInfo { "title" => title, "description" => description }
}

fields! {
    /// What an account may not do.
    Restriction { "restriction_type" => kind }
}

fields! {
    /// What an account did.
    Violation { "violation_type" => kind }
}

fields! {
    /// How an account is barred.
    Ban { "waba_ban_state" => state }
}

fields! {
    /// A warning.
    Alert { "alert_severity" => severity, "alert_type" => kind, "alert_description" => description }
}

/// The explanation of a pause.
fn explained(values: &Values<'_>) -> Option<String> {
    let info: OtherInfo<'_> = wire::object_or_empty(values.other_info);
    let words = wire::owned(info.description).or_else(|| wire::owned(info.title))?;
    Some(crate::messaging::cloud::scrub::scrub(&words))
}

/// What else an event of the account or the number says, as far as it is acted on.
pub(super) fn detail(values: &Values<'_>) -> Option<Detail> {
    let mut facts = Map::new();
    let mut put = |name: &str, raw: Raw<'_>| {
        if let Some(text) = wire::owned(raw) {
            facts.insert(name.to_owned(), text.into());
        }
    };
    put("displayPhoneNumber", values.display_phone_number);
    put("phoneNumber", values.phone_number);
    put(
        "messagingLimit",
        values.max_daily_conversations.or(values.current_limit),
    );
    put(
        "violation",
        wire::object_or_empty::<Violation<'_>>(values.violation_info).kind,
    );
    put(
        "banState",
        wire::object_or_empty::<Ban<'_>>(values.ban_info).state,
    );
    let alert: Alert<'_> = wire::object_or_empty(values.alert_info);
    put("severity", alert.severity);
    put("alert", alert.kind);
    put("description", alert.description);
    let restrictions: Vec<Value> = wire::list(values.restriction_info)
        .into_iter()
        .take(20)
        .filter_map(|raw| wire::owned(wire::object_or_empty::<Restriction<'_>>(Some(raw)).kind))
        .map(Value::from)
        .collect();
    if !restrictions.is_empty() {
        facts.insert("restrictions".to_owned(), restrictions.into());
    }
    (!facts.is_empty()).then_some(Detail(Value::Object(facts)))
}

/// News of a template, if it is that. The properties decide before the name of the field: a quality event is
/// documented under the field of status events.
pub(super) fn template(
    values: &Values<'_>,
    field: &str,
    at: Option<Timestamp>,
) -> Option<TemplateNews> {
    let template_id = wire::owned(values.template_id)?;
    let (about, value, detail) = if values.new_quality_score.is_some() {
        ("quality", values.new_quality_score, None)
    } else if values.new_category.is_some() {
        ("category", values.new_category, values.correct_category)
    } else if field == "message_template_components_update" {
        ("components", None, None)
    } else if values.event.is_some() {
        ("status", values.event, values.reason)
    } else {
        return None;
    };
    Some(TemplateNews {
        about: about.to_owned(),
        template_id,
        name: wire::owned(values.template_name),
        // Webhooks write `en-US` where the API writes `en_US`.
        language: wire::text(values.template_language).map(|language| language.replace('-', "_")),
        value: wire::owned(value),
        detail: wire::owned(detail)
            .filter(|detail| detail != "NONE")
            .or_else(|| explained(values)),
        at,
    })
}

/// The word for what happened, from whichever property holds it.
pub(super) fn event(values: &Values<'_>) -> Option<String> {
    wire::owned(values.event)
        .or_else(|| wire::owned(values.decision))
        .or_else(|| wire::owned(values.status))
}
