//! Requests to MSG91 and what the answer to a check means.

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use waxwing_core::channel::credential;
use waxwing_core::content::Content;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::limits;
use waxwing_core::phone::Phone;

use super::{template, verdict};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{
    Account, BuildError, ChannelCheck, Endpoints, Outgoing, Recipient,
};
use crate::messaging::call;
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::send;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, fields};

/// The provider's name in errors.
pub(super) const NAME: &str = "MSG91";
const KEY: HeaderName = HeaderName::from_static("authkey");
const SEND: &str = "/api/v5/whatsapp/whatsapp-outbound-message/";
const SEND_TEMPLATES: &str = "/api/v5/whatsapp/whatsapp-outbound-message/bulk/";
const NUMBERS: &str = "/api/v5/whatsapp/whatsapp-activation/";

fn key(account: &Account) -> Result<(HeaderName, HeaderValue), BuildError> {
    let value = call::credential_value(&account.credentials, credential::AUTH_KEY, "auth key")?;
    Ok((KEY, value))
}

fn url(endpoints: &Endpoints, path: &str) -> Result<String, BuildError> {
    let base = call::base_url(&endpoints.msg91_url, "MSG91 URL")?;
    Ok(format!("{base}{path}"))
}

/// Our number: digits without `+`, as MSG91 wants them.
fn sender(account: &Account) -> Result<Phone, BuildError> {
    Phone::from_wa_id(&account.sender_id).map_err(|_| BuildError::Channel("integrated number"))
}

/// Builds the request that sends a message: a template by the bulk endpoint with one recipient, so that `CRQID` names
/// this one message; anything else as a session message.
pub(super) fn build_send(
    account: &Account,
    endpoints: &Endpoints,
    message: Outgoing<'_>,
) -> Result<HttpRequest, BuildError> {
    let Recipient::Phone(to) = message.to else {
        // A phone would not help what cannot be sent at all.
        return Err(match send::part_value(message.content) {
            Err(error @ BuildError::NotSendable(_)) => error,
            _ => BuildError::NeedsPhone(NAME),
        });
    };
    if message.callback.chars().count() > limits::CALLBACK_DATA {
        return Err(BuildError::CallbackData);
    }
    let sender = sender(account)?;
    let key = key(account)?;
    let (path, body) = if let Content::MessageTemplate {
        name,
        language,
        components,
    } = message.content
    {
        let components = template::components(components)?;
        let mut body = json!({
            "integrated_number": sender.digits(),
            "content_type": "template",
            "payload": {
                "messaging_product": "whatsapp",
                "type": "template",
                "template": {
                    "name": name,
                    "language": { "code": language, "policy": "deterministic" },
                    "to_and_components": [{ "to": [to.digits()], "components": components }],
                },
            },
        });
        if !message.callback.is_empty() {
            body["CRQID"] = message.callback.into();
        }
        (SEND_TEMPLATES, body)
    } else {
        (SEND, session(&sender, to, message.content)?)
    };
    let body = body.to_string().into_bytes();
    Ok(call::request(url(endpoints, path)?, key, Some(body)))
}

/// The body of a message inside the customer service window.
fn session(sender: &Phone, to: &Phone, content: &Content) -> Result<Value, BuildError> {
    let not_carried = |what| {
        Err(BuildError::NotCarried {
            provider: NAME,
            what,
        })
    };
    let (kind, part) = match content {
        Content::Text { body, .. } => {
            return Ok(json!({
                "integrated_number": sender.digits(),
                "recipient_number": to.digits(),
                "content_type": "text",
                "text": body,
            }));
        }
        Content::Reaction { .. } => return not_carried("a reaction"),
        Content::Sticker(_) => return not_carried("a sticker"),
        // Numbers here, where Meta's examples have texts.
        Content::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            let mut place = json!({ "latitude": latitude, "longitude": longitude });
            if let Some(name) = name {
                place["name"] = name.as_str().into();
            }
            if let Some(address) = address {
                place["address"] = address.as_str().into();
            }
            ("location", place)
        }
        other => {
            if let Some((_, media)) = other.media()
                && media.id.is_some()
                && media.link.is_none()
            {
                return not_carried("media by id; it needs a link");
            }
            let (kind, mut part) = send::part_value(other)?;
            // A recorded note is Meta's own word.
            if let Some(part) = part.as_object_mut().filter(|_| kind == "audio") {
                part.remove("voice");
            }
            (kind, part)
        }
    };
    let mut payload = json!({ "to": to.digits(), "type": kind });
    payload[kind] = part;
    Ok(json!({
        "integrated_number": sender.digits(),
        "recipient_number": to.digits(),
        "content_type": kind,
        "payload": payload,
    }))
}

/// Builds the request that lists the numbers of the account.
pub(super) fn build_check(
    account: &Account,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    sender(account)?;
    Ok(call::request(url(endpoints, NUMBERS)?, key(account)?, None))
}

fields! {
    /// The list of numbers.
    NumbersWire { "data" => data }
}

fields! {
    /// A number. Its properties are not confirmed (protocols/msg91.md 3).
    NumberWire {
        "integrated_number" => integrated_number,
        "integratedNumber" => integrated_number_too,
        "number" => number,
        "status" => status,
    }
}

/// Says whether the key is good and whether our number is one of the account's.
pub(super) fn interpret_check(account: &Account, answer: &HttpOutcome) -> ChannelCheck {
    let body = match answer {
        HttpOutcome::Response { body, .. } => body,
        HttpOutcome::NotSent(reason) | HttpOutcome::Lost(reason) => {
            return failed(ProviderError::own(
                ErrorClass::Retry,
                format!("MSG91 did not answer: {}", scrub(reason)),
            ));
        }
        HttpOutcome::TooLarge => {
            return failed(ProviderError::own(
                ErrorClass::Permanent,
                "the answer was too large to read",
            ));
        }
    };
    if let Some(error) = verdict::error(answer) {
        return failed(error);
    }
    let body = text::readable(body);
    let top = serde_json::from_str::<&RawValue>(&body).ok();
    let data = match top.map(|top| (top, top.get().starts_with('['))) {
        Some((list, true)) => Some(list),
        Some((object, false)) => wire::object_or_empty::<NumbersWire<'_>>(Some(object)).data,
        None => None,
    };
    let mut others = 0;
    let mut check = ChannelCheck {
        ok: true,
        ..ChannelCheck::default()
    };
    for number in wire::list(data).into_iter().take(1_000) {
        let number: NumberWire<'_> = wire::object_or_empty(Some(number));
        let digits = wire::text(
            number
                .integrated_number
                .or(number.integrated_number_too)
                .or(number.number),
        );
        let Some(phone) = digits.and_then(|digits| Phone::from_wa_id(&digits).ok()) else {
            continue;
        };
        if Phone::from_wa_id(&account.sender_id).is_ok_and(|own| own == phone) {
            check.display_phone_number = Some(phone.e164());
            check.can_send = wire::owned(number.status);
            return check;
        }
        others += 1;
    }
    if others > 0 {
        check.ok = false;
        check.problems.push(
            "The key is good, but this number is not one of the account's integrated numbers."
                .to_owned(),
        );
    }
    check
}

fn failed(error: ProviderError) -> ChannelCheck {
    ChannelCheck {
        problems: vec![error.message.clone()],
        error: Some(error),
        ..ChannelCheck::default()
    }
}
