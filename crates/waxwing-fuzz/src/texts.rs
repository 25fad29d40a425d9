//! What people, tenants and programs write: numbers, words, templates, rules, names of files, addresses.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_core::account::Email;
use waxwing_core::channel::ChannelKind;
use waxwing_core::consent::{ConsentSettings, Marketing};
use waxwing_core::flow::{CompiledFlowSet, FlowSet};
use waxwing_core::identity::Bsuid;
use waxwing_core::ids::{ContactId, MessageId};
use waxwing_core::media;
use waxwing_core::message_template::{MessageTemplate, TemplateCategory, lint, parameters, slots};
use waxwing_core::phone::Phone;
use waxwing_core::template::Template;
use waxwing_providers::http::guard::Guard;

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

pub(crate) fn phone(data: &[u8]) {
    let text = text(data);
    for country in [None, Some("DE"), Some("IN"), Some("US")] {
        if let Ok(phone) = Phone::parse(&text, country) {
            let again = Phone::parse(&phone.e164(), None);
            assert!(
                again.is_ok_and(|again| again == phone),
                "it is another number written out"
            );
            assert!(
                !phone.masked().contains(phone.digits()),
                "the mask shows the number"
            );
        }
    }
    if let Ok(phone) = Phone::from_wa_id(&text) {
        assert!(
            phone.digits().len() <= 15 && phone.digits().bytes().all(|one| one.is_ascii_digit())
        );
    }
}

/// A template, and values for its variables from the rest of the object.
pub(crate) fn template(data: &[u8]) {
    let Ok(template) = serde_json::from_slice::<Template>(data) else {
        return;
    };
    let violations = template.violations();
    let values: BTreeMap<String, String> = template
        .variables()
        .into_iter()
        .map(|name| (name, "{{again}}".to_owned()))
        .collect();
    let _ = template.render_lenient(&BTreeMap::new());
    let rendered = template.render(&values);
    if violations.is_empty() {
        assert!(
            rendered.is_ok(),
            "all variables are given and one is missing"
        );
        let _ = template.next("any");
    }
}

/// A set of rules as JSON; the text that they are tried with stands behind a line that is only `--`.
pub(crate) fn flow(data: &[u8]) {
    let text = text(data);
    let (rules, said) = text.split_once("\n--\n").unwrap_or((&text, &text));
    let Ok(set) = serde_json::from_str::<FlowSet>(rules) else {
        return;
    };
    let violations = set.violations();
    let compiled = CompiledFlowSet::new(&set);
    let _ = compiled.first_match(said, None);
    let _ = compiled.first_match(said, Some("told"));
    if violations.is_empty() {
        let written = serde_json::to_string(&set).expect("rules are plain data");
        let again: FlowSet = serde_json::from_str(&written).expect("what we wrote can be read");
        assert!(again == set, "rules change when they are stored");
    }
}

/// Components in Meta's form, as a list or under `components`; for `parameters`, what a send gives.
pub(crate) fn message_template(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        let _ = slots::slots(&text(data));
        let _ = slots::names(&text(data));
        return;
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let components = match &value {
        Value::Array(list) => list.clone(),
        _ => list(&value["components"]),
    };
    let template = MessageTemplate::new("a", "en", TemplateCategory::Utility, None, &components);
    let _ = lint::lint(&template);
    let _ = parameters::check(&template, &list(&value["parameters"]), "components");
    let _ = parameters::numbered(&template, &list(&value["parameters"]));
    let written = template.components_json();
    let again = MessageTemplate::new(
        "a",
        "en",
        TemplateCategory::Utility,
        Some(template.format),
        &written,
    );
    assert!(
        again.components_json() == written,
        "components change when they are read again"
    );
}

pub(crate) fn consent_word(data: &[u8]) {
    let text = text(data);
    let settings = ConsentSettings::default();
    for present in [None, Some(Marketing::OptedIn), Some(Marketing::OptedOut)] {
        if let Some(wish) = settings.wish(&text, present) {
            assert!(wish.word.chars().count() <= 40, "no word is that long");
        }
    }
    let _ = serde_json::from_slice::<ConsentSettings>(data);
}

pub(crate) fn media_type(data: &[u8]) {
    let claimed = text(&data[..data.len().min(40)]).into_owned();
    for claim in [None, Some(claimed.as_str())] {
        let found = media::sniff(data, claim);
        let shown = media::is_shown_inline(&found.mime);
        assert!(
            !(shown && (found.mime.contains("html") || found.mime.contains("svg"))),
            "what a browser runs is shown"
        );
        let _ = media::extension(&found.mime);
        let kind = media::kind_of(&found.mime);
        let _ = media::check(ChannelKind::Meta, kind, &found.mime, data.len() as u64);
    }
}

pub(crate) fn file_name(data: &[u8]) {
    if let Some(name) = media::clean_file_name(&text(data)) {
        assert!(
            !name.is_empty() && name.len() <= 1_024,
            "a name without end"
        );
        assert!(
            !name.contains(['/', '\\', '"']) && !name.chars().any(char::is_control),
            "a name that leads elsewhere or ends its header: {name:?}"
        );
        assert!(name != "." && name != "..", "a name that is a directory");
    }
}

pub(crate) fn url(data: &[u8]) {
    let guard = Guard::default();
    if let Ok(checked) = guard.check(&text(data)) {
        let _ = format!("{checked:?}");
    }
}

/// Words by which things are named: ids, addresses, user ids.
pub(crate) fn word(data: &[u8]) {
    let text = text(data);
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text, "two spellings of one id");
    }
    let _ = text.parse::<ContactId>();
    if let Some(email) = Email::parse(&text) {
        assert!(Email::parse(email.as_str()).is_some_and(|again| again == email));
    }
    if let Some(id) = Bsuid::parse(&text) {
        assert!(Bsuid::parse(id.as_str()).is_some_and(|again| again == id));
    }
}
