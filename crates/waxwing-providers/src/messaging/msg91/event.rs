//! One event, read under all the names that its fields may have: the customer writes the template of the body
//! (protocols/msg91.md 4).

use std::borrow::Cow;

use serde_json::{Map, Value};
use waxwing_core::event::Route;
use waxwing_core::phone::Phone;
use waxwing_core::time::Timestamp;

use crate::messaging::cloud::text::mend;
use crate::messaging::cloud::wire::{self, Raw, fields};

/// Characters of an id of a number that is worth looking up.
const ID_MAX: usize = 64;
/// Fields of a form that are looked at.
const PAIRS_MAX: usize = 200;
/// India's time: what a moment without a zone is in.
const INDIA: &str = "+05:30";

fields! {
    /// An event.
    Event {
        "customerNumber" => customer_number,
        "mobile" => mobile,
        "from" => from,
        "sender" => sender,
        "phone" => phone,
        "integratedNumber" => integrated_number,
        "integrated_number" => integrated_number_too,
        "to" => to,
        "receiver" => receiver,
        "direction" => direction,
        "eventName" => event_name,
        "status" => status,
        "event" => event,
        "uuid" => uuid,
        "requestId" => request_id,
        "request_id" => request_id_too,
        "crqid" => crqid,
        "CRQID" => crqid_too,
        "contentType" => content_type,
        "messageType" => message_type,
        "type" => kind,
        "text" => text,
        "content" => content,
        "message" => message,
        "body" => body,
        "messages" => messages,
        "contacts" => contacts,
        "button" => button,
        "interactive" => interactive,
        "reaction" => reaction,
        "order" => order,
        "location" => location,
        "url" => url,
        "media_url" => media_url,
        "mediaUrl" => media_url_too,
        "filename" => filename,
        "fileName" => filename_too,
        "caption" => caption,
        "latitude" => latitude,
        "longitude" => longitude,
        "customerName" => customer_name,
        "customer_name" => customer_name_too,
        "profile" => profile,
        "replyMsgId" => reply_to,
        "context" => context,
        "referral" => referral,
        "reason" => reason,
        "failureReason" => failure_reason,
        "statusUpdatedAt" => status_updated_at,
        "ts" => ts,
        "timestamp" => timestamp,
        "received_at" => received_at,
        "submittedAt" => submitted_at,
        "requestedAt" => requested_at,
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

fn first<'a>(raws: &[Raw<'a>]) -> Option<Cow<'a, str>> {
    raws.iter().find_map(|raw| wire::text(*raw))
}

fn phone(raws: &[Raw<'_>]) -> Option<Phone> {
    raws.iter()
        .filter_map(|raw| wire::text(*raw))
        .find_map(|text| Phone::from_wa_id(text.trim()).ok())
}

impl<'a> Event<'a> {
    /// The person.
    pub(super) fn customer(&self) -> Option<Phone> {
        phone(&[
            self.customer_number,
            self.mobile,
            self.from,
            self.sender,
            self.phone,
        ])
    }

    /// Our number.
    pub(super) fn integrated(&self) -> Option<Phone> {
        phone(&[
            self.integrated_number,
            self.integrated_number_too,
            self.to,
            self.receiver,
        ])
    }

    /// Where the event belongs. A number that is none is kept as it is written, if it is not too long.
    pub(super) fn route(&self) -> Route {
        let written = || {
            first(&[self.integrated_number, self.integrated_number_too])
                .filter(|id| id.len() <= ID_MAX)
                .map(Cow::into_owned)
        };
        Route {
            sender_id: self
                .integrated()
                .map(|number| number.digits().to_owned())
                .or_else(written),
            account_id: None,
            ..Route::default()
        }
    }

    pub(super) fn direction(&self) -> Option<Direction> {
        match wire::text(self.direction)?
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "0" | "inbound" => Some(Direction::In),
            "1" | "outbound" => Some(Direction::Out),
            _ => None,
        }
    }

    /// What happened, in lower case.
    pub(super) fn word(&self) -> Option<String> {
        first(&[self.event_name, self.status, self.event])
            .map(|word| word.trim().to_ascii_lowercase())
    }

    pub(super) fn uuid(&self) -> Option<Cow<'a, str>> {
        wire::text(self.uuid)
    }

    pub(super) fn request_id(&self) -> Option<Cow<'a, str>> {
        first(&[self.request_id, self.request_id_too])
    }

    pub(super) fn reference(&self) -> Option<Cow<'a, str>> {
        first(&[self.crqid, self.crqid_too])
    }

    /// The kind of the message, in lower case.
    pub(super) fn kind_of_content(&self) -> Option<String> {
        first(&[self.content_type, self.message_type, self.kind])
            .map(|kind| kind.trim().to_ascii_lowercase())
    }

    /// The text of the message. It may be a text, an object with a text in it, or that object written as text; any
    /// other text that looks like JSON is what the person wrote.
    pub(super) fn words(&self) -> Option<String> {
        [self.text, self.content, self.message, self.body]
            .into_iter()
            .find_map(|raw| {
                let source = raw?.get();
                if source.starts_with('{') {
                    let object: Map<String, Value> = serde_json::from_str(source).ok()?;
                    return inner_text(&object);
                }
                let text = wire::text(raw)?;
                let inner = text
                    .trim_start()
                    .starts_with('{')
                    .then(|| serde_json::from_str::<Map<String, Value>>(&mend(&text)).ok())
                    .flatten();
                inner
                    .and_then(|object| object.get("text")?.as_str().map(str::to_owned))
                    .or_else(|| Some(text.into_owned()))
            })
    }

    pub(super) fn link(&self) -> Option<String> {
        first(&[self.url, self.media_url, self.media_url_too])
            .filter(|link| link.starts_with("https://") || link.starts_with("http://"))
            .map(Cow::into_owned)
    }

    pub(super) fn filename(&self) -> Option<Cow<'a, str>> {
        first(&[self.filename, self.filename_too])
    }

    pub(super) fn customer_name(&self) -> Option<String> {
        let profile = || {
            let profile = nested(self.profile)?;
            profile.get("name")?.as_str().map(str::to_owned)
        };
        first(&[self.customer_name, self.customer_name_too])
            .map(Cow::into_owned)
            .or_else(profile)
    }

    pub(super) fn reason_text(&self) -> Option<Cow<'a, str>> {
        first(&[self.reason, self.failure_reason])
    }

    /// When a report says that it happened.
    pub(super) fn reported_at(&self) -> Option<Timestamp> {
        [
            self.status_updated_at,
            self.ts,
            self.timestamp,
            self.received_at,
            self.submitted_at,
            self.requested_at,
        ]
        .into_iter()
        .find_map(moment)
    }

    /// When a message was sent.
    pub(super) fn sent_at(&self) -> Option<Timestamp> {
        [self.ts, self.timestamp, self.received_at, self.requested_at]
            .into_iter()
            .find_map(moment)
    }
}

fn inner_text(object: &Map<String, Value>) -> Option<String> {
    ["text", "body"]
        .into_iter()
        .find_map(|key| object.get(key)?.as_str().map(str::to_owned))
}

/// An object or a list, as itself or as JSON in a text. Anything broken is absent.
pub(super) fn nested(raw: Raw<'_>) -> Option<Value> {
    let source = raw?.get();
    let value: Value = if source.starts_with(['{', '[']) {
        serde_json::from_str(source).ok()?
    } else {
        serde_json::from_str(&mend(&wire::text(raw)?)).ok()?
    };
    (value.is_object() || value.is_array()).then_some(value)
}

/// A moment: ISO with a zone, or without one in India's time, or seconds since 1970.
fn moment(raw: Raw<'_>) -> Option<Timestamp> {
    let text = wire::text(raw)?;
    let text = text.trim();
    wire::moment(raw)
        .or_else(|| Timestamp::parse(text))
        .or_else(|| Timestamp::parse(&format!("{text}{INDIA}")))
}

/// The JSON of a body. It may stand in the field `payload` of a form, or the form itself may be the event.
pub(super) fn json_of(body: &str) -> Cow<'_, str> {
    let start = body.trim_start();
    if start.is_empty() || start.starts_with(['{', '[']) || !start.contains('=') {
        return Cow::Borrowed(body);
    }
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body.trim().as_bytes()).take(PAIRS_MAX) {
        if name == "payload" {
            return Cow::Owned(mend(&value).into_owned());
        }
        fields.insert(name.into_owned(), value.into_owned().into());
    }
    let names = ["customerNumber", "mobile", "uuid", "requestId", "eventName"];
    if names.iter().any(|name| fields.contains_key(*name)) {
        // Written anew, so U+0000 and the like are escapes now.
        let json = Value::Object(fields).to_string();
        return Cow::Owned(mend(&json).into_owned());
    }
    Cow::Borrowed(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_a_zone_or_are_indias() {
        let cases = [
            (r#""2026-11-21T13:30:00+05:30""#, Some(1_795_248_000)),
            (r#""2026-11-21T08:00:00Z""#, Some(1_795_248_000)),
            (r#""2026-11-21 13:30:00""#, Some(1_795_248_000)),
            (r#""2026-11-21T13:30:00.000""#, Some(1_795_248_000)),
            (r#""1795248000""#, Some(1_795_248_000)),
            ("1795248000000", Some(1_795_248_000)),
            (r#""yesterday""#, None),
            ("null", None),
        ];
        for (source, expected) in cases {
            let raw = serde_json::from_str(source).ok();
            assert_eq!(moment(raw).map(Timestamp::seconds), expected, "{source}");
        }
    }
}
