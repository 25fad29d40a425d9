//! The outside of a webhook body (protocols/meta.md 3): entries of accounts with changes of fields.

use std::borrow::Cow;

use serde_json::value::RawValue;
use waxwing_core::event::Route;
use waxwing_core::time::Timestamp;

use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, ITEMS_MAX, fields};

/// Routes that a look at a body reports at most. A real request names a handful of numbers.
const ROUTES_MAX: usize = 64;
/// Characters of an id that is worth looking up. Meta's have about 17 digits.
const ID_MAX: usize = 64;

/// Why a body cannot be read at all. Nothing of its content is in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No bytes, or only blanks.
    #[error("the body is empty")]
    Empty,
    /// It begins as JSON and stops in the middle.
    #[error("the body is cut off")]
    CutOff,
    /// It is not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// It is JSON, yet neither an object nor a list.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
}

fields! {
    /// A request.
    Top { "object" => object, "entry" => entry }
}

fields! {
    /// An account's part of a request. In one documented example `field` and `object` stand here.
    Entry { "id" => id, "time" => time, "changes" => changes, "field" => field, "object" => object }
}

fields! {
    /// A change of one field.
    ChangeWire { "field" => field, "value" => value }
}

fields! {
    /// Where a value of the messages family belongs.
    Metadata { "phone_number_id" => phone_number_id }
}

fields! {
    /// The account that a partner's event is about.
    PartnerAccount { "waba_id" => waba_id }
}

fields! {
    /// A value: lists of the messages family, properties of account events.
    Values {
        "metadata" => metadata,
        "contacts" => contacts,
        "messages" => messages,
        "statuses" => statuses,
        "errors" => errors,
        "message_echoes" => message_echoes,
        "user_preferences" => user_preferences,
        "user_id_update" => user_id_update,
        "calls" => calls,
        "groups" => groups,
        "history" => history,
        "state_sync" => state_sync,
        "user_actions" => user_actions,
        "automatic_events" => automatic_events,
        "event" => event,
        "decision" => decision,
        "status" => status,
        "waba_info" => waba_info,
        "message_template_id" => template_id,
        "message_template_name" => template_name,
        "message_template_language" => template_language,
        "reason" => reason,
        "new_quality_score" => new_quality_score,
        "new_category" => new_category,
        "correct_category" => correct_category,
        "other_info" => other_info,
        "display_phone_number" => display_phone_number,
        "phone_number" => phone_number,
        "current_limit" => current_limit,
        "max_daily_conversations_per_business" => max_daily_conversations,
        "restriction_info" => restriction_info,
        "violation_info" => violation_info,
        "ban_info" => ban_info,
        "alert_info" => alert_info,
    }
}

impl Values<'_> {
    /// Whether one of the lists is there, be it empty.
    pub(super) fn has_list(&self) -> bool {
        [
            self.messages,
            self.statuses,
            self.errors,
            self.message_echoes,
            self.user_preferences,
            self.user_id_update,
            self.calls,
            self.groups,
            self.history,
            self.state_sync,
            self.user_actions,
            self.automatic_events,
        ]
        .iter()
        .any(Option::is_some)
    }
}

/// The outermost value of a body: an object or a list.
pub(crate) fn top(text: &str) -> Result<&RawValue, Unreadable> {
    if text.trim_ascii().is_empty() {
        return Err(Unreadable::Empty);
    }
    let top: &RawValue = serde_json::from_str(text).map_err(|error| {
        if error.is_eof() {
            Unreadable::CutOff
        } else {
            Unreadable::NotJson
        }
    })?;
    if !matches!(top.get().as_bytes().first(), Some(b'{' | b'[')) {
        return Err(Unreadable::NotAnObject);
    }
    Ok(top)
}

/// One change that has a value.
pub(super) struct Change<'a> {
    pub(super) account_id: Option<String>,
    /// When Meta noticed it.
    pub(super) at: Option<Timestamp>,
    pub(super) field: Option<Cow<'a, str>>,
    pub(super) value: &'a RawValue,
}

/// The changes of a request in their order.
pub(super) struct Envelope<'a> {
    pub(super) changes: Vec<Change<'a>>,
}

impl<'a> Envelope<'a> {
    /// Splits a body. A request for another product of Meta has no changes for us.
    pub(super) fn read(text: &'a str) -> Result<Self, Unreadable> {
        let top = top(text)?;
        let mut changes = Vec::new();
        // Documented as an object, once shown as a list of one.
        for request in wire::list(Some(top)) {
            let request: Top<'_> = wire::object_or_empty(Some(request));
            if !is_whatsapp(request.object) {
                continue;
            }
            for entry in wire::list(request.entry) {
                read_entry(entry, &mut changes);
            }
        }
        Ok(Self { changes })
    }
}

fn is_whatsapp(object: wire::Raw<'_>) -> bool {
    wire::text(object).is_none_or(|object| object == "whatsapp_business_account")
}

fn read_entry<'a>(entry: &'a RawValue, changes: &mut Vec<Change<'a>>) {
    let entry: Entry<'_> = wire::object_or_empty(Some(entry));
    if !is_whatsapp(entry.object) {
        return;
    }
    let account_id = id(entry.id);
    let at = wire::moment(entry.time);
    for change in wire::list(entry.changes) {
        // One more than can be read shows that there were more.
        if changes.len() > ITEMS_MAX {
            return;
        }
        let change: ChangeWire<'_> = wire::object_or_empty(Some(change));
        // Absent, null, empty texts, lists and objects mean the same.
        let Some(value) = change.value else { continue };
        if matches!(value.get(), "\"\"" | "[]" | "{}") {
            continue;
        }
        changes.push(Change {
            account_id: account_id.clone(),
            at,
            field: wire::text(change.field).or_else(|| wire::text(entry.field)),
            value,
        });
    }
}

fn id(raw: wire::Raw<'_>) -> Option<String> {
    wire::text(raw)
        .filter(|id| id.len() <= ID_MAX)
        .map(Cow::into_owned)
}

/// The account named inside an event for partners, whose entry carries a business id (protocols/meta.md 8).
pub(super) fn partner_account(values: &Values<'_>) -> Option<String> {
    let account: PartnerAccount<'_> = wire::object(values.waba_info?)?;
    id(account.waba_id)
}

/// Bytes of a body that a first look reads into strict forms. Larger ones could hold so many empty entries that the
/// forms outweigh the body, and this happens before a signature is checked.
const GLANCE_MAX: usize = 64 * 1024;

/// The distinct places that a body names, without reading its items. Works on any bytes; an unreadable body names
/// none.
pub(crate) fn peek(body: &[u8]) -> Vec<Route> {
    if body.len() <= GLANCE_MAX
        && let Some(routes) = glance::routes(body)
    {
        return routes;
    }
    thorough(body)
}

/// Reads the envelope as [`Envelope::read`] does.
fn thorough(body: &[u8]) -> Vec<Route> {
    let text = text::readable(body);
    let Ok(envelope) = Envelope::read(&text) else {
        return Vec::new();
    };
    let mut routes = Routes::default();
    for change in &envelope.changes {
        let values: Values<'_> = wire::object_or_empty(Some(change.value));
        let metadata: Metadata<'_> = wire::object_or_empty(values.metadata);
        routes.add(
            id(metadata.phone_number_id),
            partner_account(&values).or_else(|| change.account_id.clone()),
        );
    }
    routes.0
}

/// Distinct routes in their order.
#[derive(Default)]
struct Routes(Vec<Route>);

impl Routes {
    fn add(&mut self, sender_id: Option<String>, account_id: Option<String>) {
        let route = Route {
            sender_id,
            account_id,
            ..Route::default()
        };
        let says_something = route.sender_id.is_some() || route.account_id.is_some();
        if says_something && self.0.len() < ROUTES_MAX && !self.0.contains(&route) {
            self.0.push(route);
        }
    }
}

/// The way for ordinary bodies: one pass instead of one for each level. Whatever is unusual in a body is left to
/// [`thorough`](super::thorough).
mod glance {
    use serde::Deserialize;
    use serde_json::value::RawValue;
    use waxwing_core::event::Route;

    use super::{Routes, id};

    #[derive(Deserialize)]
    struct Top<'a> {
        object: &'a str,
        #[serde(borrow)]
        entry: Vec<Entry<'a>>,
    }

    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        changes: Vec<Change<'a>>,
    }

    #[derive(Deserialize)]
    struct Change<'a> {
        #[serde(borrow)]
        value: Value<'a>,
    }

    #[derive(Deserialize)]
    struct Value<'a> {
        #[serde(borrow)]
        metadata: Option<Metadata<'a>>,
        #[serde(borrow)]
        waba_info: Option<Account<'a>>,
    }

    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        phone_number_id: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    struct Account<'a> {
        #[serde(borrow)]
        waba_id: Option<&'a RawValue>,
    }

    /// The routes of a body; `None` when it is not quite as documented.
    pub(super) fn routes(body: &[u8]) -> Option<Vec<Route>> {
        let top: Top<'_> = serde_json::from_slice(body).ok()?;
        if top.object != "whatsapp_business_account" {
            return None;
        }
        let mut routes = Routes::default();
        for entry in &top.entry {
            for change in &entry.changes {
                let (metadata, account) = (&change.value.metadata, &change.value.waba_info);
                let account = account.as_ref().and_then(|account| id(account.waba_id));
                routes.add(
                    metadata
                        .as_ref()
                        .and_then(|metadata| id(metadata.phone_number_id)),
                    account.or_else(|| id(entry.id)),
                );
            }
        }
        Some(routes.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_looking_see_the_same() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/inbound");
        let (mut fast, mut all) = (0, 0);
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap();
            let body = std::fs::read(file.path()).unwrap();
            let routes = glance::routes(&body);
            all += 1;
            if let Some(routes) = routes {
                fast += 1;
                assert_eq!(routes, thorough(&body), "{:?}", file.file_name());
            }
        }
        assert!(fast + 30 > all, "{fast} of {all}");
    }

    #[test]
    fn hostile_bodies_name_few_places() {
        let entry = |n| format!(r#"{{"id":"{n}","changes":[{{"value":{{"a":1}}}}]}}"#);
        let entries: Vec<String> = (0..5_000).map(entry).collect();
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#,
            entries.join(",")
        );
        assert_eq!(peek(body.as_bytes()).len(), ROUTES_MAX);
        let long = format!(
            r#"{{"entry":[{}]}}"#,
            entry(0).replace("\"0\"", &format!("\"{}\"", "1".repeat(65)))
        );
        assert_eq!(peek(long.as_bytes()), []);
    }
}
