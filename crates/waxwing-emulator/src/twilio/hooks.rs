//! Twilio's webhooks: users' messages and statuses as forms (twilio.md sections 2 and 5).

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::account::TwilioLine;
use super::errors;
use crate::config::User;
use crate::hub::Hub;
use crate::ids::mix;
use crate::inbound::Act;
use crate::provider::{Form, Outcome, Parcel, Said};
use crate::status::{Item, Stage};

/// A user as `From` and `To` name it.
pub(crate) fn address(user: &User) -> String {
    match (&user.wa_id, &user.user_id) {
        (Some(phone), _) => format!("whatsapp:+{phone}"),
        (None, Some(id)) => format!("whatsapp:{id}"),
        (None, None) => "whatsapp:".into(),
    }
}

/// Text or caption.
pub(crate) fn body(said: &Said<'_>) -> String {
    match &said.inbound.act {
        Act::Location { .. } | Act::Reaction { .. } => String::new(),
        Act::Raw { fields, .. } => fields
            .get("Body")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned(),
        _ => said.inbound.text(),
    }
}

/// Fields of a form in order, without the ones that have no value.
struct Fields(Vec<(Cow<'static, str>, String)>);

impl Fields {
    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    fn some(&mut self, name: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(name, value.as_str());
        }
    }

    /// The form; the caller's own fields replace those of the same name.
    fn encode(self, own: Option<&Map<String, Value>>) -> Vec<u8> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            if own.is_none_or(|own| !own.contains_key(&**name)) {
                form.append_pair(name, value);
            }
        }
        for (name, value) in own.into_iter().flatten() {
            if name == "type" {
                continue;
            }
            let many = match value {
                Value::Array(many) => many.as_slice(),
                one => std::slice::from_ref(one),
            };
            for value in many {
                match value {
                    Value::Null => {}
                    Value::String(text) => {
                        form.append_pair(name, text);
                    }
                    other => {
                        form.append_pair(name, &other.to_string());
                    }
                }
            }
        }
        form.finish().into_bytes()
    }
}

/// What the act itself adds.
fn act_fields(hub: &Hub, line: &TwilioLine, said: &Said<'_>, fields: &mut Fields) {
    match &said.inbound.act {
        Act::Tap { id, title, .. } => {
            fields.add("ButtonText", title);
            fields.add("ButtonPayload", id);
            if said.inbound.kind() == "interactive" {
                fields.add("ButtonType", "REPLY");
            }
        }
        Act::Pick { id, title, .. } if line.config.list_as_button => {
            fields.add("ButtonPayload", id);
            fields.add("ButtonText", title);
        }
        Act::Pick { id, title, .. } => {
            fields.add("ListId", id);
            fields.add("ListTitle", title);
        }
        Act::Media { id, mime, more, .. } => {
            let files = std::iter::once((id, mime)).chain(more.iter().map(|(id, mime)| (id, mime)));
            for (place, (id, mime)) in files.enumerate() {
                fields.add(format!("MediaContentType{place}"), mime);
                let url = format!(
                    "{}/2010-04-01/Accounts/{}/Messages/{}/Media/{id}",
                    hub.url(),
                    line.account.sid,
                    said.id
                );
                fields.add(format!("MediaUrl{place}"), url);
            }
        }
        Act::Location {
            latitude,
            longitude,
            name,
            address,
        } => {
            fields.add("Latitude", latitude.to_string());
            fields.add("Longitude", longitude.to_string());
            fields.some("Label", name.as_ref());
            fields.some("Address", address.as_ref());
        }
        Act::Text(_) | Act::Reaction { .. } | Act::Raw { .. } => {}
    }
}

/// The JSON text that repeats some of the fields; nobody should depend on it.
fn metadata(user: &User, act: &Act) -> String {
    let mut context = Map::new();
    context.insert("ProfileName".into(), json!(user.name));
    if let Some(phone) = &user.wa_id {
        context.insert("WaId".into(), json!(phone));
    }
    if let Act::Tap { id, title, .. } = act {
        context.insert("ButtonText".into(), json!(title));
        context.insert("ButtonPayload".into(), json!(id));
    }
    json!({ "type": "whatsapp", "data": { "context": context } }).to_string()
}

/// The webhook of a user's message; `None` for what Twilio does not pass on.
pub(crate) fn message(hub: &Hub, line: &TwilioLine, said: &Said<'_>, form: Form) -> Option<Parcel> {
    let (inbound, user) = (said.inbound, said.user);
    if form == Form::Ghost || matches!(inbound.act, Act::Reaction { .. }) {
        return None;
    }
    let mut fields = Fields(Vec::with_capacity(24));
    let files = match &inbound.act {
        Act::Media { more, .. } => 1 + more.len(),
        _ => 0,
    };
    fields.add("SmsMessageSid", said.id);
    fields.add("NumMedia", files.to_string());
    fields.add("ProfileName", &user.name);
    fields.add("MessageType", inbound.kind());
    fields.add("SmsSid", said.id);
    fields.some("WaId", user.wa_id.as_ref());
    fields.add("SmsStatus", "received");
    fields.add("Body", body(said));
    fields.add("To", &line.address);
    fields.add("NumSegments", "1");
    fields.add("ReferralNumMedia", "0");
    fields.add("MessageSid", said.id);
    fields.add("AccountSid", &line.account.sid);
    fields.some(
        "MessagingServiceSid",
        line.config.messaging_service_sid.as_ref(),
    );
    act_fields(hub, line, said, &mut fields);
    if let Some(reply_to) = &inbound.reply_to {
        fields.add("OriginalRepliedMessageSender", &line.address);
        fields.add("OriginalRepliedMessageSid", reply_to);
    }
    if let Some(ad) = &inbound.referral {
        fields.add("ReferralBody", &ad.body);
        fields.add("ReferralHeadline", &ad.headline);
        fields.add("ReferralSourceId", &ad.source_id);
        fields.add("ReferralSourceType", &ad.source_type);
        fields.add("ReferralSourceUrl", &ad.source_url);
        fields.some("ReferralCtwaClid", ad.ctwa_clid.as_ref());
    }
    if let Some(id) = &user.user_id {
        let prefix = if line.config.bare_external_user_id {
            ""
        } else {
            "whatsapp:"
        };
        fields.add("ExternalUserId", format!("{prefix}{id}"));
    }
    fields.some("ProfileUsername", user.username.as_ref());
    fields.add("ChannelMetadata", metadata(user, &inbound.act));
    fields.add("From", address(user));
    fields.add("ApiVersion", "2010-04-01");
    let own = match &inbound.act {
        Act::Raw { fields, .. } => Some(fields),
        _ => None,
    };
    let copy = match form {
        Form::Copy(n) => n,
        _ => 0,
    };
    Some(Parcel {
        headers: token(said.id, copy),
        ..Parcel::new(fields.encode(own))
    })
}

/// `I-Twilio-Idempotency-Token`: the same for all attempts, another one for a copy.
fn token(id: &str, copy: u32) -> Vec<(HeaderName, HeaderValue)> {
    let seed = id
        .bytes()
        .fold(u64::from(copy), |seed, byte| mix(seed ^ u64::from(byte)));
    let text = format!(
        "{:08x}-0000-4000-8000-{:012x}",
        seed >> 32,
        mix(seed) & 0xffff_ffff_ffff
    );
    HeaderValue::try_from(text)
        .map(|value| vec![(HeaderName::from_static("i-twilio-idempotency-token"), value)])
        .unwrap_or_default()
}

/// The same message for the fallback address, with what went wrong before.
pub(crate) fn fallback(parcel: &Parcel, url: String, failed: &str, outcome: Outcome) -> Parcel {
    let code = match outcome {
        Outcome::NoConnection => "11205",
        _ => "11200",
    };
    let mut form =
        form_urlencoded::Serializer::new(String::from_utf8_lossy(&parcel.body).into_owned());
    form.append_pair("ErrorCode", code);
    form.append_pair("ErrorUrl", failed.split('#').next().unwrap_or(""));
    Parcel {
        body: form.finish().into_bytes().into(),
        url: Some(url),
        ..parcel.clone()
    }
}

/// The word for a stage.
pub(crate) const fn status(stage: Stage) -> &'static str {
    match stage {
        Stage::Failed(code) if !errors::is_failed(code) => "undelivered",
        // Nothing comes after `read`.
        Stage::Played => "read",
        _ => stage.name(),
    }
}

/// The last two digits are not shown.
fn masked(phone: &str) -> String {
    let kept: String = phone
        .chars()
        .take(phone.chars().count().saturating_sub(2))
        .collect();
    format!("+{kept}XX")
}

/// The callback of a status; `None` for a stage that Twilio has no word for.
pub(crate) fn status_callback(
    _hub: &Hub,
    line: &TwilioLine,
    item: &Item,
    url: String,
) -> Option<Parcel> {
    if item.stage == Stage::Played {
        return None;
    }
    let message = &item.message;
    let word = status(item.stage);
    let user = User {
        wa_id: message.recipient_id.as_deref().map(str::to_owned),
        user_id: message.recipient_user_id.as_deref().map(str::to_owned),
        ..User::default()
    };
    let mut fields = Fields(Vec::with_capacity(18));
    fields.add("ChannelPrefix", "whatsapp");
    fields.add("ApiVersion", "2010-04-01");
    fields.add("MessageStatus", word);
    fields.add("SmsSid", &*message.wamid);
    fields.add("SmsStatus", word);
    fields.add("ChannelInstallSid", &line.config.sender_sid);
    fields.add("To", address(&user));
    fields.add("From", &line.address);
    fields.add("MessageSid", &*message.wamid);
    fields.add("StructuredMessage", "false");
    fields.add("AccountSid", &line.account.sid);
    if message.queued_first {
        fields.some(
            "MessagingServiceSid",
            line.config.messaging_service_sid.as_ref(),
        );
    }
    if let Some(phone) = &user.wa_id {
        fields.add("ChannelToAddress", masked(phone));
    }
    match word {
        "delivered" => fields.add("EventType", "DELIVERED"),
        "read" => fields.add("EventType", "READ"),
        "undelivered" => fields.add("EventType", "UNDELIVERED"),
        _ => {}
    }
    if let Stage::Failed(code) = item.stage {
        fields.add("ErrorCode", code.to_string());
        fields.add("ErrorMessage", errors::message(code));
        if let Some(text) = errors::channel_message(code) {
            fields.add("ChannelStatusMessage", text);
        }
    }
    Some(Parcel {
        url: Some(url),
        headers: token(&format!("{}{word}", message.wamid), 0),
        ..Parcel::new(fields.encode(None))
    })
}

#[cfg(test)]
mod tests {
    use super::{masked, status};
    use crate::status::Stage;

    #[test]
    fn words_of_stages() {
        assert_eq!(status(Stage::Failed(63016)), "undelivered");
        assert_eq!(status(Stage::Failed(63018)), "failed");
        assert_eq!(status(Stage::Canceled), "canceled");
        assert_eq!(status(Stage::Queued), "queued");
    }

    #[test]
    fn the_end_of_a_phone_is_hidden() {
        assert_eq!(masked("447700900123"), "+4477009001XX");
    }
}
