//! Events of an account and its templates (protocols/meta.md 8).

use waxwing_core::event::TemplateNews;

use super::envelope::Values;
use super::wire;

/// News of a template, if it is that. The properties decide before the name of the field: a quality event is
/// documented under the field of status events.
pub(super) fn template(values: &Values<'_>, field: &str) -> Option<TemplateNews> {
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
        detail: wire::owned(detail).filter(|detail| detail != "NONE"),
    })
}

/// The word for what happened, from whichever property holds it.
pub(super) fn event(values: &Values<'_>) -> Option<String> {
    wire::owned(values.event)
        .or_else(|| wire::owned(values.decision))
        .or_else(|| wire::owned(values.status))
}
