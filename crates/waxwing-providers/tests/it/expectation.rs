//! What was parsed, in the words of `inbound-expectations.json`, which an independent reader wrote.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use waxwing_core::call::CallNews;
use waxwing_core::content::Content;
use waxwing_core::event::{InboundMessage, ItemBody, OtherItem, Parsed, Route, StatusUpdate};
use waxwing_core::identity::Identity;
use waxwing_core::time::Timestamp;

/// One item of a request, as far as it could be read.
pub enum Item {
    Good(Map<String, Value>),
    Broken(String),
}

/// All items of a request in their order.
pub fn items(parsed: &Parsed) -> Vec<Item> {
    let mut all: BTreeMap<u32, Item> = BTreeMap::new();
    for item in &parsed.items {
        all.insert(item.index, Item::Good(words(&item.route, &item.body)));
    }
    for item in &parsed.broken {
        all.insert(item.index, Item::Broken(item.reason.clone()));
    }
    assert_eq!(all.len(), parsed.items.len() + parsed.broken.len());
    assert!(all.keys().copied().eq(0..u32::try_from(all.len()).unwrap()));
    all.into_values().collect()
}

#[derive(Default)]
struct Words(Map<String, Value>);

impl Words {
    fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key.into(), value.into());
        self
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    fn at(&mut self, at: Option<Timestamp>) -> &mut Self {
        self.maybe("timestamp", at.map(Timestamp::seconds))
    }

    fn person(&mut self, phone: &str, user: &str, who: &Identity) -> &mut Self {
        self.maybe(phone, who.phone.as_ref().map(|phone| phone.digits()))
            .maybe(user, who.user_id.as_ref().map(|id| id.as_str()))
    }

    fn codes(&mut self, codes: &[i64]) -> &mut Self {
        self.maybe("errorCodes", (!codes.is_empty()).then(|| codes.to_vec()))
    }
}

fn words(route: &Route, body: &ItemBody) -> Map<String, Value> {
    let mut words = Words::default();
    if matches!(body, ItemBody::Template(_))
        || matches!(body, ItemBody::Other(other) if other.what == "other")
    {
        words.maybe("wabaId", route.account_id.clone());
    } else {
        words.maybe("phoneNumberId", route.sender_id.clone());
    }
    match body {
        ItemBody::Message(found) => message(&mut words, found),
        ItemBody::Status(found) => status(&mut words, found),
        ItemBody::Echo(found) => {
            words
                .put("kind", "echo")
                .put("id", found.provider_id.as_str())
                .at(found.sent_at)
                .person("toPhone", "toUserId", &found.recipient)
                .maybe("target", found.target.as_ref().map(|id| id.as_str()));
            content(&mut words, &found.content);
        }
        ItemBody::System(found) => {
            words
                .put("kind", "system")
                .put("type", "system")
                .put("id", found.provider_id.as_str())
                .put("subtype", found.subtype.clone())
                .person("fromPhone", "fromUserId", &found.sender)
                .maybe("newPhone", found.new_phone.as_ref().map(|p| p.digits()))
                .maybe(
                    "newUserId",
                    found.new_user_id.as_ref().map(|id| id.as_str()),
                )
                .at(found.at);
        }
        ItemBody::Preference(found) => {
            words
                .put("kind", "preference")
                .put("category", found.category.clone())
                .put("value", found.value.clone())
                .person("phone", "userId", &found.sender)
                .at(found.at);
        }
        ItemBody::UserIdUpdate(found) => {
            words
                .put("kind", "user-id-update")
                .maybe("phone", found.phone.as_ref().map(|p| p.digits()))
                .maybe(
                    "previousUserId",
                    found.previous.as_ref().map(|id| id.as_str()),
                )
                .maybe(
                    "currentUserId",
                    found.current.as_ref().map(|id| id.as_str()),
                );
        }
        ItemBody::ValueError(found) => {
            let code: i64 = found.code.as_ref().unwrap().parse().unwrap();
            words.put("kind", "value-error").put("code", code);
        }
        ItemBody::Template(found) => {
            let (value, detail) = match found.about.as_str() {
                "status" => ("event", None),
                "quality" => ("quality", None),
                "category" => ("category", Some("comingCategory")),
                _ => ("", None),
            };
            words
                .put("kind", format!("template-{}", found.about))
                .put("templateId", found.template_id.clone())
                .maybe("name", found.name.clone())
                .maybe("language", found.language.clone())
                .maybe(value, found.value.clone());
            if let Some(key) = detail {
                words.maybe(key, found.detail.clone());
            }
        }
        ItemBody::Call(found) => call(&mut words, found),
        ItemBody::Other(found) => other(&mut words, found),
    }
    words.0
}

fn message(words: &mut Words, found: &InboundMessage) {
    words
        .put("kind", "message")
        .put("id", found.provider_id.as_str())
        .person("fromPhone", "fromUserId", &found.sender)
        .maybe("name", found.profile_name.clone())
        .maybe("username", found.sender.username.clone())
        .at(found.sent_at)
        .maybe("replyTo", found.reply_to.as_ref().map(|id| id.as_str()))
        .maybe("target", found.target.as_ref().map(|id| id.as_str()))
        .maybe("forwarded", found.forwarded.then_some(true))
        .maybe("groupId", found.group_id.clone())
        .codes(&found.codes)
        .maybe(
            "referralSource",
            found.referral.as_ref().map(|ad| ad["source_id"].clone()),
        )
        .maybe(
            "referredProduct",
            found
                .product
                .as_ref()
                .map(|product| product["product_retailer_id"].clone()),
        );
    content(words, &found.content);
}

fn content(words: &mut Words, content: &Content) {
    let kind = match content {
        Content::ButtonReply { .. }
        | Content::ListReply { .. }
        | Content::FlowReply { .. }
        | Content::InteractiveReply { .. } => "interactive",
        other => other.kind(),
    };
    words.put("type", kind);
    if !matches!(content, Content::Reaction { .. }) {
        words.maybe("text", content.text());
    }
    if let Some((_, media)) = content.media() {
        words
            .maybe("mediaId", media.id.clone())
            .maybe("mimeType", media.mime_type.clone())
            .maybe("filename", media.filename.clone());
    }
    match content {
        Content::Button { payload, .. } => {
            words.maybe("payload", payload.clone());
        }
        Content::ButtonReply { id, .. } => {
            words
                .put("subtype", "button_reply")
                .put("replyId", id.clone());
        }
        Content::ListReply { id, .. } => {
            words
                .put("subtype", "list_reply")
                .put("replyId", id.clone());
        }
        Content::FlowReply { name, response, .. } => {
            let is_object = response.get("raw").is_none();
            words
                .put("subtype", "nfm_reply")
                .put("flowName", name.clone())
                .put("flowResponseIsObject", is_object);
        }
        Content::InteractiveReply { kind, data } => {
            words
                .put("subtype", kind.clone())
                .maybe("response", data.get("response").cloned());
        }
        Content::Contacts { contacts } => {
            words.put("contactCount", contacts.len());
        }
        Content::Order { items, .. } => {
            words.put("items", items.len());
        }
        Content::Location {
            latitude,
            longitude,
            ..
        } => {
            words
                .put("latitude", *latitude)
                .put("longitude", *longitude);
        }
        Content::Reaction { emoji } => {
            words
                .maybe("emoji", emoji.clone())
                .put("removed", emoji.is_none());
        }
        Content::Edit { content } => {
            words.put("editedType", content.kind());
        }
        Content::Unsupported { kind, .. } => {
            words.maybe("subtype", kind.clone());
        }
        _ => {}
    }
}

fn status(words: &mut Words, found: &StatusUpdate) {
    let phone = if found.group_id.is_some() {
        "participantPhone"
    } else {
        "recipientPhone"
    };
    words
        .put("kind", "status")
        .put("id", found.provider_id.as_str())
        .put("status", found.word.clone())
        .at(found.at)
        .person(phone, "recipientUserId", &found.recipient)
        .maybe("groupId", found.group_id.clone())
        .codes(&found.codes)
        .maybe("callbackData", found.callback_data.clone())
        .maybe(
            "pricingCategory",
            found
                .pricing
                .as_ref()
                .and_then(|price| price.category.clone()),
        );
    // The first error stands for all of them.
    assert_eq!(
        found.error.as_ref().and_then(|error| error.code.clone()),
        found.codes.first().map(i64::to_string)
    );
}

fn call(words: &mut Words, found: &CallNews) {
    words.put("id", found.provider_id.as_str());
    if matches!(found.word.as_str(), "connect" | "terminate") {
        let direction = if found.by_contact {
            "USER_INITIATED"
        } else {
            "BUSINESS_INITIATED"
        };
        words
            .put("kind", "call")
            .put("event", found.word.clone())
            .put("direction", direction);
    } else {
        words
            .put("kind", "call-status")
            .put("status", found.word.clone())
            .maybe(
                "recipientPhone",
                found.person.phone.as_ref().map(|phone| phone.digits()),
            )
            .maybe("callbackData", found.callback_data.clone())
            .at(found.at);
    }
}

fn other(words: &mut Words, found: &OtherItem) {
    let empty = Value::Null;
    let detail = found.detail.as_ref().map_or(&empty, |detail| &detail.0);
    let fact = |key: &str| detail.get(key).cloned();
    let digits = |value: Option<Value>| {
        value.map(|phone| phone.as_str().unwrap().trim_start_matches('+').to_owned())
    };
    let at = fact("at").map(|at| Timestamp::parse(at.as_str().unwrap()).unwrap());
    words.put("kind", found.what.clone());
    match found.what.as_str() {
        "group" => {
            words
                .put("field", found.field.clone())
                .maybe("groupId", found.id.clone())
                .maybe("type", found.event.clone())
                .maybe("errorCodes", fact("errorCodes"));
        }
        "history" => {
            words
                .maybe("phase", fact("phase"))
                .maybe("messages", fact("messages"))
                .maybe("errorCodes", fact("errorCodes"));
        }
        "history-message" => history_message(words, found, detail),
        "contact-sync" => {
            words
                .maybe("action", found.event.clone())
                .maybe("phone", digits(fact("phone")));
        }
        "user-action" => {
            words.maybe("action", found.event.clone()).at(at);
        }
        "automatic-event" => {
            words
                .maybe("id", found.id.clone())
                .maybe("event", found.event.clone());
        }
        "other" => {
            words
                .put("field", found.field.clone())
                .maybe("event", found.event.clone());
        }
        unknown => panic!("no such kind of item: {unknown}"),
    }
}

/// A message of the past is kept as the JSON of a message.
fn history_message(words: &mut Words, found: &OtherItem, detail: &Value) {
    let content_of = &detail["content"];
    let phone = detail["sender"]["phone"].as_str().unwrap();
    let sent = Timestamp::parse(detail["sentAt"].as_str().unwrap()).unwrap();
    words
        .maybe("id", found.id.clone())
        .put("type", content_of["type"].clone())
        .put("fromPhone", phone.trim_start_matches('+'))
        .put("text", content_of["caption"].clone())
        .put("mediaId", content_of["id"].clone())
        .put("mimeType", content_of["mimeType"].clone())
        .at(Some(sent));
    assert_eq!(found.event.as_deref(), content_of["type"].as_str());
    assert_ne!(*detail, json!(null));
}
