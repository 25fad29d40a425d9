//! Events to canonical items. The inner `messages` in Meta's form is read first, completed by the flat fields; without
//! it the flat fields are put into Meta's form (protocols/msg91.md 4).

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use waxwing_core::content::{Content, Media};
use waxwing_core::event::{Echo, InboundMessage, ItemBody, Parsed, Route, StatusUpdate};
use waxwing_core::identity::{Identity, ProviderMessageId};
use waxwing_core::limits;
use waxwing_core::phone::Phone;
use waxwing_core::status::DeliveryStatus;

use super::event::{Direction, Event, json_of, nested};
use super::verdict;
use crate::messaging::cloud::parse::{Items, Read, Unreadable, content_of, message_item, top};
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire;

/// Routes that a look at a body reports at most.
const ROUTES_MAX: usize = 64;
/// Messages that one event may hold.
const MESSAGES_MAX: usize = 1_000;
const MEDIA: [&str; 6] = ["image", "video", "audio", "voice", "document", "sticker"];
/// Kinds whose object stands under their own name in an event too.
const NAMED: [&str; 4] = ["interactive", "button", "reaction", "order"];
/// Words of reports. `received` is the word of a person's message.
const REPORTS: [&str; 9] = [
    "accepted",
    "submitted",
    "queued",
    "sent",
    "delivered",
    "read",
    "played",
    "failed",
    "deleted",
];

/// Reads a body: one event, a list of them, or either of it in a form.
pub(super) fn parse(body: &[u8]) -> Result<Parsed, Unreadable> {
    let text = text::readable(body);
    let json = json_of(&text);
    let mut items = Items::default();
    for raw in wire::list(Some(top(&json)?)) {
        match wire::object::<Event<'_>>(raw) {
            Some(event) => read(&event, &mut items),
            None => items.push(&Route::default(), Err("an event that is not an object")),
        }
    }
    Ok(items.parsed)
}

/// The numbers that a body names.
pub(super) fn peek(body: &[u8]) -> Vec<Route> {
    let text = text::readable(body);
    let json = json_of(&text);
    let mut routes = Vec::new();
    let Ok(top) = top(&json) else { return routes };
    for event in wire::list(Some(top)) {
        let Some(event) = wire::object::<Event<'_>>(event) else {
            continue;
        };
        let route = event.route();
        if route.sender_id.is_some() && !routes.contains(&route) {
            routes.push(route);
            if routes.len() == ROUTES_MAX {
                break;
            }
        }
    }
    routes
}

/// What an event is.
enum Kind {
    Report,
    Echo,
    Message,
    Strange,
}

/// The direction decides before the word: a person's message with the word `delivered` was seen.
fn kind(event: &Event<'_>, has_messages: bool) -> Kind {
    let word = event.word();
    let word = word.as_deref();
    let is_report = word.is_some_and(|word| REPORTS.contains(&word));
    let is_late = matches!(
        word,
        Some("delivered" | "read" | "played" | "failed" | "deleted")
    );
    let is_ours = event.request_id().is_some() || event.reference().is_some();
    let says_something = has_messages || event.words().is_some() || event.link().is_some();
    let from_us = event
        .customer()
        .is_some_and(|customer| event.integrated().is_some_and(|own| own == customer));
    match event.direction() {
        // News of a message that another program sent is no message once more.
        Some(Direction::Out) if says_something && !is_ours && !is_late => Kind::Echo,
        Some(Direction::Out) => Kind::Report,
        Some(Direction::In) if from_us => Kind::Echo,
        Some(Direction::In) => Kind::Message,
        None if is_report && !has_messages => Kind::Report,
        None if from_us => Kind::Echo,
        None if says_something || word == Some("received") => Kind::Message,
        None if word.is_some() && (is_ours || event.uuid().is_some()) => Kind::Report,
        None => Kind::Strange,
    }
}

fn read(event: &Event<'_>, items: &mut Items) {
    let route = event.route();
    let inner: Vec<Map<String, Value>> = match nested(event.messages) {
        Some(Value::Array(list)) => list
            .into_iter()
            .take(MESSAGES_MAX)
            .filter_map(|message| match message {
                Value::Object(map) => Some(map),
                _ => None,
            })
            .collect(),
        Some(Value::Object(map)) => vec![map],
        _ => Vec::new(),
    };
    match kind(event, !inner.is_empty()) {
        Kind::Report => items.push(&route, report(event)),
        Kind::Strange => items.push(&route, Err("an event of a form that is not understood")),
        Kind::Echo => {
            for message in or_one(inner) {
                items.push(&route, echo(event, message));
            }
        }
        Kind::Message => {
            for message in or_one(inner) {
                let read = if is_from_us(event, &message) {
                    echo(event, message)
                } else {
                    person(event, message)
                };
                items.push(&route, read);
            }
        }
    }
}

/// Without a readable inner message the flat fields are the message.
fn or_one(inner: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    if inner.is_empty() {
        vec![Map::new()]
    } else {
        inner
    }
}

fn is_from_us(event: &Event<'_>, message: &Map<String, Value>) -> bool {
    let from = message.get("from").and_then(Value::as_str);
    from.and_then(|from| Phone::from_wa_id(from).ok())
        .is_some_and(|from| event.integrated().is_some_and(|own| own == from))
}

/// A message that a person sent.
fn person(event: &Event<'_>, message: Map<String, Value>) -> Read {
    let message = raw(&completed(event, message))?;
    let contacts = nested(event.contacts).filter(|contacts| contacts.is_array());
    let contacts = contacts.and_then(|contacts| serde_json::value::to_raw_value(&contacts).ok());
    let mut item = message_item(&message, contacts.as_deref())?;
    if let Some(ItemBody::Message(message)) = &mut item {
        overlay(event, message);
    }
    Ok(item)
}

/// What only the flat fields know.
fn overlay(event: &Event<'_>, message: &mut InboundMessage) {
    if message.profile_name.is_none() {
        message.profile_name = event
            .customer_name()
            .map(|name| name.chars().take(limits::NAME).collect());
    }
    if message.sent_at.is_none() {
        message.sent_at = event.sent_at();
    }
    set_link(event, &mut message.content);
}

/// A message of our side that did not go through us: from the business app, or from another program.
fn echo(event: &Event<'_>, message: Map<String, Value>) -> Read {
    let own = event.integrated();
    let customer = event
        .customer()
        .filter(|customer| own.as_ref() != Some(customer));
    let message = completed(event, message);
    let phone = |key: &str| {
        let phone = Phone::from_wa_id(message.get(key)?.as_str()?).ok()?;
        (own.as_ref() != Some(&phone)).then_some(phone)
    };
    let recipient = Identity {
        phone: phone("to").or(customer),
        ..Identity::default()
    };
    let provider_id = id_of(&message).ok_or("an echo without an id")?;
    let message = raw(&message)?;
    let (mut content, target) = content_of(&message).ok_or("an echo that is not an object")?;
    set_link(event, &mut content);
    Ok(Some(ItemBody::Echo(Box::new(Echo {
        provider_id,
        recipient,
        sent_at: event.sent_at(),
        content,
        target,
    }))))
}

/// News of a message that we sent.
fn report(event: &Event<'_>) -> Read {
    // Nothing but the id of the request is known when the message is accepted, so it is the id by which we know it.
    let provider_id = event
        .request_id()
        .or_else(|| event.uuid())
        .and_then(|id| ProviderMessageId::parse(&id))
        .ok_or("a report without an id")?;
    let word = event.word().ok_or("a report without a word")?;
    let status = DeliveryStatus::parse(&word);
    let failure = (status == Some(DeliveryStatus::Failed)).then(|| {
        let words = event.reason_text();
        verdict::reason(words.as_deref().unwrap_or("the provider gave no reason"))
    });
    let (error, code) = failure.map_or((None, None), |(error, code)| (Some(error), code));
    Ok(Some(ItemBody::Status(Box::new(StatusUpdate {
        alias: event
            .uuid()
            .and_then(|id| ProviderMessageId::parse(&id))
            .filter(|id| *id != provider_id),
        provider_id,
        status,
        word,
        at: event.reported_at(),
        recipient: Identity {
            phone: event.customer(),
            ..Identity::default()
        },
        group_id: None,
        error,
        codes: code.into_iter().collect(),
        callback_data: event.reference().map(std::borrow::Cow::into_owned),
        pricing: None,
    }))))
}

fn id_of(message: &Map<String, Value>) -> Option<ProviderMessageId> {
    ProviderMessageId::parse(message.get("id")?.as_str()?)
}

fn raw(message: &Map<String, Value>) -> Result<Box<RawValue>, &'static str> {
    serde_json::value::to_raw_value(message).map_err(|_| "a message that cannot be read")
}

/// The message in Meta's form, with what the flat fields know and it does not.
fn completed(event: &Event<'_>, mut message: Map<String, Value>) -> Map<String, Value> {
    let mut missing = |key: &str, value: Option<Value>| {
        if let Some(value) = value
            && message.get(key).is_none_or(Value::is_null)
        {
            message.insert(key.to_owned(), value);
        }
    };
    let id = event.uuid().or_else(|| event.request_id());
    missing("id", id.map(|id| id.into_owned().into()));
    let customer = event.customer();
    missing("from", customer.map(|phone| phone.digits().into()));
    missing("referral", nested(event.referral).filter(Value::is_object));
    let context = nested(event.context);
    missing("context", context.filter(Value::is_object));
    missing("type", Some(flat_kind(event).into()));

    let in_context = message
        .get("context")
        .and_then(|context| context.get("referral"))
        .filter(|referral| referral.is_object())
        .cloned();
    if let Some(referral) = in_context {
        message.entry("referral").or_insert(referral);
    }
    if let Some(answered) = wire::text(event.reply_to) {
        let context = message.entry("context").or_insert_with(|| json!({}));
        if let Some(context) = context.as_object_mut() {
            context
                .entry("id")
                .or_insert_with(|| answered.into_owned().into());
        }
    }
    let kind = message
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !message.contains_key(&kind)
        && let Some(part) = flat_part(event, &kind)
    {
        message.insert(kind.clone(), part);
    }
    if MEDIA.contains(&kind.as_str())
        && let Some(Value::Object(part)) = message.get_mut(&kind)
    {
        for (key, value) in [
            ("caption", wire::text(event.caption)),
            ("filename", event.filename()),
        ] {
            if let Some(value) = value {
                part.entry(key).or_insert_with(|| value.into_owned().into());
            }
        }
    }
    message
}

/// The kind of a flat event: what it says of itself, else what it carries.
fn flat_kind(event: &Event<'_>) -> String {
    let said = event.kind_of_content();
    if let Some(said) = &said
        && (said == "text"
            || said == "location"
            || said == "contacts"
            || MEDIA.contains(&said.as_str())
            || NAMED.contains(&said.as_str()))
    {
        return said.clone();
    }
    let carried = [
        ("interactive", event.interactive),
        ("button", event.button),
        ("reaction", event.reaction),
        ("order", event.order),
    ];
    let carried = carried
        .into_iter()
        .find(|(_, part)| nested(*part).is_some())
        .map(|(kind, _)| kind);
    carried.map(str::to_owned).or(said).unwrap_or_else(|| {
        let kind = if event.link().is_some() {
            "document"
        } else if event.latitude.is_some() || nested(event.location).is_some() {
            "location"
        } else {
            "text"
        };
        kind.to_owned()
    })
}

/// What stands under the name of the kind, made of flat fields.
fn flat_part(event: &Event<'_>, kind: &str) -> Option<Value> {
    match kind {
        "text" => Some(json!({ "body": event.words()? })),
        "location" => nested(event.location).or_else(|| {
            Some(json!({
                "latitude": wire::float(event.latitude)?,
                "longitude": wire::float(event.longitude)?,
            }))
        }),
        // The same name holds the sender's profile: only what looks like a card is one.
        "contacts" => {
            let Some(Value::Array(mut cards)) = nested(event.contacts) else {
                return None;
            };
            cards.retain(|card| card.get("phones").is_some() || card.get("name").is_some());
            (!cards.is_empty()).then_some(Value::Array(cards))
        }
        "interactive" => nested(event.interactive),
        "button" => nested(event.button),
        "reaction" => nested(event.reaction),
        "order" => nested(event.order),
        kind if MEDIA.contains(&kind) => event.link().map(|_| json!({})),
        _ => None,
    }
}

/// MSG91 gives media by a link; the id inside is Meta's, with which nothing can be fetched here.
fn set_link(event: &Event<'_>, content: &mut Content) {
    let media: &mut Media = match content {
        Content::Image(media)
        | Content::Video(media)
        | Content::Audio(media)
        | Content::Document(media)
        | Content::Sticker(media) => media,
        _ => return,
    };
    if let Some(link) = event.link() {
        media.link = Some(link);
        media.id = None;
    }
}
