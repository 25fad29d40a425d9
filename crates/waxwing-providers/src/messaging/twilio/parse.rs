//! Webhooks to canonical items: a message of a person (protocols/twilio.md 2) or news of one of ours (5).

use serde_json::{Map, Value, json};
use waxwing_core::content::{Content, Media};
use waxwing_core::errors::ProviderError;
use waxwing_core::event::{
    BrokenItem, InboundItem, InboundMessage, ItemBody, Parsed, Route, StatusUpdate,
};
use waxwing_core::identity::{Bsuid, Identity, ProviderMessageId};
use waxwing_core::limits;
use waxwing_core::phone::Phone;
use waxwing_core::status::DeliveryStatus;

use super::codes;
use super::params::{FILES_MAX, Params, marker};
use crate::messaging::Unreadable;
use crate::messaging::adapter::Recorded;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::text::mend;

/// What stands before an address on WhatsApp. SMS, Messenger and others have none or another one.
pub(super) const PREFIX: &str = "whatsapp:";
/// Characters of an id. Twilio's have 34; test systems have others.
const SID_MAX: usize = 64;

/// Stands before the number of a further file in its id; no id of Twilio's has it.
const PART: char = '/';

/// Whether a text can be the id of something at Twilio.
pub(super) fn is_sid(text: &str) -> bool {
    (1..=SID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Where a request belongs; nothing when it cannot be read or names no account. One about SMS or another channel names
/// its account, so that it can be authenticated and acknowledged like any other: else Twilio would report a fault.
pub(super) fn peek(request: Recorded<'_>) -> Vec<Route> {
    let Ok(params) = Params::read(request) else {
        return Vec::new();
    };
    let of_account = || Route {
        account_id: account_id(&params),
        ..Route::default()
    };
    let route = route(&params).unwrap_or_else(of_account);
    if route.account_id.is_some() {
        vec![route]
    } else {
        Vec::new()
    }
}

fn account_id(params: &Params<'_>) -> Option<String> {
    params.owned("AccountSid").filter(|sid| is_sid(sid))
}

/// Reads a webhook: none when it is not about WhatsApp, else one item, and one more for each further file.
pub(super) fn parse(request: Recorded<'_>) -> Result<Parsed, Unreadable> {
    let params = Params::read(request)?;
    let mut parsed = Parsed::default();
    let Some(route) = route(&params) else {
        return Ok(parsed);
    };
    let bodies = match status_word(&params) {
        Some(word) => status(&params, word, request.query).map(|status| vec![status]),
        None => messages(&params),
    };
    match bodies {
        Ok(bodies) => {
            for (index, body) in (0..).zip(bodies) {
                parsed.items.push(InboundItem {
                    index,
                    route: route.clone(),
                    body,
                });
            }
        }
        Err(reason) => parsed.broken.push(BrokenItem {
            index: 0,
            route,
            reason: reason.to_owned(),
        }),
    }
    Ok(parsed)
}

/// The word of a status callback; `None` for a message that came in.
fn status_word<'a>(params: &'a Params<'_>) -> Option<&'a str> {
    params
        .get("MessageStatus")
        .or_else(|| params.get("SmsStatus"))
        .filter(|word| !matches!(*word, "received" | "receiving"))
}

/// `None` when our side of the conversation is not on WhatsApp. Its number is `To` of a message that came in, `From` of
/// one that we sent.
fn route(params: &Params<'_>) -> Option<Route> {
    let (ours, theirs) = if status_word(params).is_some() {
        ("From", "To")
    } else {
        ("To", "From")
    };
    let service_id = params
        .owned("MessagingServiceSid")
        .filter(|sid| is_sid(sid));
    let number = match params.get(ours) {
        Some(ours) => Phone::from_wa_id(ours.strip_prefix(PREFIX)?).ok(),
        // The service has not chosen a number yet.
        None if service_id.is_some() && params.get(theirs)?.starts_with(PREFIX) => None,
        None => return None,
    };
    let account_id = account_id(params);
    Some(Route {
        sender_id: account_id
            .as_ref()
            .zip(number)
            .map(|(account, number)| sender_id(account, &number)),
        account_id,
        service_id,
    })
}

/// The id under which a channel is found: the account and the number, for a number alone may be at several.
pub(super) fn sender_id(account: &str, number: &Phone) -> String {
    format!("{account}/{}", number.e164())
}

fn message_id(params: &Params<'_>) -> Option<ProviderMessageId> {
    // Old names of the same id; they matter only when the new one is missing.
    ["MessageSid", "SmsSid", "SmsMessageSid"]
        .into_iter()
        .find_map(|name| params.get(name))
        .and_then(ProviderMessageId::parse)
}

/// An address is a phone or, since June 2026, a user id.
fn address(params: &Params<'_>, name: &str) -> Identity {
    let text = params.get(name).unwrap_or_default();
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    Identity {
        phone: Phone::from_wa_id(text).ok(),
        user_id: Bsuid::parse(text),
        ..Identity::default()
    }
}

/// The sender by all ids that came. `From` is the one to answer; an id that has not its form is dropped.
fn sender(params: &Params<'_>) -> Identity {
    let user_id = |name: &str| address(params, name).user_id;
    let from = address(params, "From");
    Identity {
        phone: from
            .phone
            .or_else(|| Phone::from_wa_id(params.get("WaId")?).ok()),
        user_id: user_id("ExternalUserId").or(from.user_id),
        parent_user_id: user_id("ParentExternalUserId"),
        username: params
            .get("ProfileUsername")
            .or_else(|| params.get("Username"))
            .map(|name| clip(name.trim_start_matches('@')))
            .filter(|name| !name.is_empty()),
    }
}

/// A name as it is kept.
fn clip(name: &str) -> String {
    name.chars().take(limits::NAME).collect()
}

/// The message, and one more for each of its further files. Their ids are made of the message's, so that they are the
/// same when it comes again.
fn messages(params: &Params<'_>) -> Result<Vec<ItemBody>, &'static str> {
    let first = message(params)?;
    let mut further = Vec::new();
    if first.content.media().is_some() || matches!(first.content, Content::Contacts { .. }) {
        for place in 1..FILES_MAX {
            let Some(content) = media(params, place) else {
                break;
            };
            let id = format!("{}{PART}{place}", first.provider_id.as_str());
            further.push(InboundMessage {
                provider_id: ProviderMessageId::parse(&id)
                    .ok_or("a message with an id that is too long")?,
                content,
                further: true,
                referral: None,
                ..first.clone()
            });
        }
    }
    let all = std::iter::once(first).chain(further);
    Ok(all
        .map(|message| ItemBody::Message(Box::new(message)))
        .collect())
}

/// The id at Twilio of a message that may be one of our making.
pub(super) fn base_id(id: &ProviderMessageId) -> &str {
    id.as_str().split(PART).next().unwrap_or_default()
}

fn message(params: &Params<'_>) -> Result<InboundMessage, &'static str> {
    let sender = sender(params);
    if !sender.is_usable() {
        return Err("a message without a usable sender");
    }
    let is_set = |name: &str| params.get(name) == Some("true");
    Ok(InboundMessage {
        provider_id: message_id(params).ok_or("a message without an id")?,
        sender,
        profile_name: params.get("ProfileName").map(clip),
        // Twilio says no time.
        sent_at: None,
        content: content(params),
        reply_to: params
            .get("OriginalRepliedMessageSid")
            .and_then(ProviderMessageId::parse),
        target: None,
        forwarded: is_set("Forwarded") || is_set("FrequentlyForwarded"),
        referral: referral(params),
        product: None,
        origin: None,
        further: false,
        group_id: None,
        codes: Vec::new(),
    })
}

/// What a message says. The order decides between parameters that come together (protocols/twilio.md 2).
fn content(params: &Params<'_>) -> Content {
    location(params)
        .or_else(|| flow(params))
        .or_else(|| list_choice(params))
        .or_else(|| button(params))
        .or_else(|| media(params, 0))
        .or_else(|| {
            Some(Content::Text {
                body: params.owned("Body")?,
                preview_url: false,
            })
        })
        .unwrap_or_else(|| Content::Unsupported {
            kind: params.owned("MessageType"),
            codes: Vec::new(),
        })
}

fn location(params: &Params<'_>) -> Option<Content> {
    let degrees = |name: &str| {
        let degrees: f64 = params.get(name)?.trim().parse().ok()?;
        degrees.is_finite().then_some(degrees)
    };
    Some(Content::Location {
        latitude: degrees("Latitude")?,
        longitude: degrees("Longitude")?,
        name: params.owned("Label"),
        address: params.owned("Address"),
    })
}

fn flow(params: &Params<'_>) -> Option<Content> {
    let object = |source: &str| match serde_json::from_str::<Value>(&mend(source)) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let response = match params.get("FlowData") {
        Some(source) => object(source)
            .map(Value::Object)
            .unwrap_or_else(|| json!({ "raw": source })),
        None => {
            let mut data: Map<String, Value> = object(params.get("InteractiveData")?)?;
            data.remove("flowResponse").filter(Value::is_object)?
        }
    };
    Some(Content::FlowReply {
        name: "flow".to_owned(),
        body: params.owned("Body"),
        response,
    })
}

fn list_choice(params: &Params<'_>) -> Option<Content> {
    Some(Content::ListReply {
        id: params.owned("ListId")?,
        title: params
            .owned("ListTitle")
            .or_else(|| params.owned("Body"))
            .unwrap_or_default(),
        description: None,
    })
}

/// Without a payload only the label of the button came, so it is not a button that we can name.
fn button(params: &Params<'_>) -> Option<Content> {
    let text = params.owned("ButtonText");
    match params.owned("ButtonPayload") {
        Some(id) => Some(Content::ButtonReply {
            title: text.or_else(|| params.owned("Body")).unwrap_or_default(),
            id,
        }),
        None => Some(Content::Button {
            text: text?,
            payload: None,
        }),
    }
}

/// One of the files. The text of the message stands below the first.
fn media(params: &Params<'_>, place: usize) -> Option<Content> {
    let link = params.owned(&format!("MediaUrl{place}"))?;
    let mime_type = params.owned(&format!("MediaContentType{place}"));
    let essence = mime_type
        .as_deref()
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let caption = params.owned("Body").filter(|_| place == 0);
    let is_sticker = essence == "image/webp" && caption.is_none();
    if matches!(essence.as_str(), "text/vcard" | "text/x-vcard") {
        return Some(Content::Contacts {
            contacts: vec![json!({ "link": link, "mimeType": mime_type })],
        });
    }
    let media = Media {
        link: Some(link),
        mime_type,
        caption,
        ..Media::default()
    };
    let family = essence
        .split('/')
        .next()
        .filter(|family| !family.is_empty());
    Some(match family.or_else(|| params.get("MessageType")) {
        Some("sticker") => Content::Sticker(media),
        Some("image") if is_sticker => Content::Sticker(media),
        Some("image") => Content::Image(media),
        Some("video") => Content::Video(media),
        Some("audio" | "voice") => Content::Audio(media),
        _ => Content::Document(media),
    })
}

/// The advertisement through which the person came, under Meta's names. `ReferralNumMedia` comes on ordinary messages
/// too, so only the source's id proves that there is one.
fn referral(params: &Params<'_>) -> Option<Value> {
    params.get("ReferralSourceId")?;
    let names = [
        ("ReferralSourceId", "source_id"),
        ("ReferralSourceType", "source_type"),
        ("ReferralSourceUrl", "source_url"),
        ("ReferralHeadline", "headline"),
        ("ReferralBody", "body"),
        ("ReferralCtwaClid", "ctwa_clid"),
        ("ReferralMediaId", "media_id"),
        ("ReferralMediaContentType", "media_type"),
        ("ReferralMediaUrl", "media_url"),
    ];
    let found = names
        .into_iter()
        .filter_map(|(theirs, name)| Some((name.to_owned(), params.get(theirs)?.into())));
    Some(Value::Object(found.collect()))
}

fn status(params: &Params<'_>, word: &str, query: &str) -> Result<ItemBody, &'static str> {
    let error = error(params);
    Ok(ItemBody::Status(Box::new(StatusUpdate {
        alias: None,
        provider_id: message_id(params).ok_or("a status without a message id")?,
        status: delivery(word),
        word: word.to_owned(),
        at: None,
        recipient: address(params, "To"),
        group_id: None,
        codes: error.iter().filter_map(code).collect(),
        error,
        callback_data: marker(query),
        pricing: None,
    })))
}

fn code(error: &ProviderError) -> Option<i64> {
    error.code.as_ref()?.parse().ok()
}

/// Words that only say where Twilio stands with a message that it accepted long ago change nothing; nor does
/// `canceled`, which only a call of ours can cause.
pub(super) fn delivery(word: &str) -> Option<DeliveryStatus> {
    Some(match word {
        "sent" => DeliveryStatus::Sent,
        "delivered" | "partially_delivered" => DeliveryStatus::Delivered,
        "read" => DeliveryStatus::Read,
        "failed" | "undelivered" => DeliveryStatus::Failed,
        _ => return None,
    })
}

/// Why it failed, in Twilio's words and Meta's.
fn error(params: &Params<'_>) -> Option<ProviderError> {
    let code: i64 = params.get("ErrorCode")?.trim().parse().ok()?;
    if code == 0 {
        return None;
    }
    let words: Vec<&str> = ["ErrorMessage", "ChannelStatusMessage"]
        .into_iter()
        .filter_map(|name| params.get(name))
        .collect();
    Some(codes::error(code, &scrub(&words.join(": "))))
}
