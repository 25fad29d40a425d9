//! The parameters of a webhook: a form, a query or, for JSON webhooks, an object of texts (protocols/twilio.md 2).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::messaging::Unreadable;
use crate::messaging::adapter::Recorded;
use crate::messaging::cloud::text;
use crate::messaging::cloud::wire::{self, Fields, Raw};

/// Parameters that are looked at in one request. Twilio sends about fifty; this bounds the work for strangers.
pub(super) const PAIRS_MAX: usize = 1_000;

/// Files of one message: as many as Twilio takes in one that is sent. WhatsApp itself sends one in each message.
pub(super) const FILES_MAX: usize = 10;

/// The parameters that somebody reads, in the order of their bytes.
const NAMES: [&str; 44 + 2 * (FILES_MAX - 1)] = [
    "AccountSid",
    "Address",
    "Body",
    "ButtonPayload",
    "ButtonText",
    "ChannelStatusMessage",
    "ErrorCode",
    "ErrorMessage",
    "ExternalUserId",
    "FlowData",
    "Forwarded",
    "FrequentlyForwarded",
    "From",
    "InteractiveData",
    "Label",
    "Latitude",
    "ListId",
    "ListTitle",
    "Longitude",
    "MediaContentType0",
    "MediaContentType1",
    "MediaContentType2",
    "MediaContentType3",
    "MediaContentType4",
    "MediaContentType5",
    "MediaContentType6",
    "MediaContentType7",
    "MediaContentType8",
    "MediaContentType9",
    "MediaUrl0",
    "MediaUrl1",
    "MediaUrl2",
    "MediaUrl3",
    "MediaUrl4",
    "MediaUrl5",
    "MediaUrl6",
    "MediaUrl7",
    "MediaUrl8",
    "MediaUrl9",
    "MessageSid",
    "MessageStatus",
    "MessageType",
    "MessagingServiceSid",
    "OriginalRepliedMessageSid",
    "ParentExternalUserId",
    "ProfileName",
    "ProfileUsername",
    "ReferralBody",
    "ReferralCtwaClid",
    "ReferralHeadline",
    "ReferralMediaContentType",
    "ReferralMediaId",
    "ReferralMediaUrl",
    "ReferralSourceId",
    "ReferralSourceType",
    "ReferralSourceUrl",
    "SmsMessageSid",
    "SmsSid",
    "SmsStatus",
    "To",
    "Username",
    "WaId",
];

/// The marker of our own in the address of a status callback.
pub(super) const MARKER: &str = "m";

/// The known parameters of one request.
pub(super) struct Params<'a>([Option<Cow<'a, str>>; NAMES.len()]);

impl<'a> Params<'a> {
    /// Of a webhook. With GET the parameters are in the query, and the body is empty.
    pub(super) fn read(request: Recorded<'a>) -> Result<Self, Unreadable> {
        let body = request.body.trim_ascii();
        match body.first() {
            None if request.query.is_empty() => Err(Unreadable::Empty),
            None => Ok(Self::form(request.query.as_bytes())),
            // A form writes the brackets of JSON as escapes.
            Some(b'{' | b'[') => Self::json(body),
            Some(_) => Ok(Self::form(body)),
        }
    }

    fn form(bytes: &'a [u8]) -> Self {
        let mut params = Self::empty();
        for (name, value) in form_urlencoded::parse(bytes).take(PAIRS_MAX) {
            params.put(&name, value);
        }
        params
    }

    fn json(body: &[u8]) -> Result<Self, Unreadable> {
        let text = text::readable(body);
        let top: &RawValue = serde_json::from_str(&text).map_err(|error| {
            if error.is_eof() {
                Unreadable::CutOff
            } else {
                Unreadable::NotJson
            }
        })?;
        let object: Slots<'_> = wire::object(top).ok_or(Unreadable::NotAnObject)?;
        let mut params = Self::empty();
        for (name, raw) in NAMES.into_iter().zip(object.0) {
            if let Some(value) = wire::text(raw) {
                params.put(name, Cow::Owned(value.into_owned()));
            }
        }
        Ok(params)
    }

    fn empty() -> Self {
        Self([const { None }; NAMES.len()])
    }

    /// Of a name that occurs twice the first value counts. Absent and empty mean the same. U+0000 goes: databases refuse
    /// it.
    fn put(&mut self, name: &str, value: Cow<'a, str>) {
        let Some(slot) = place(name).and_then(|at| self.0.get_mut(at)) else {
            return;
        };
        let value = if value.contains('\0') {
            Cow::Owned(value.replace('\0', ""))
        } else {
            value
        };
        if slot.is_none() && !value.is_empty() {
            *slot = Some(value);
        }
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let at = place(name);
        debug_assert!(at.is_some(), "{name} is not in the list of names");
        self.0.get(at?)?.as_deref()
    }

    /// A copy of a parameter.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

fn place(name: &str) -> Option<usize> {
    NAMES.binary_search(&name).ok()
}

/// The same names as properties of a JSON object.
struct Slots<'a>([Raw<'a>; NAMES.len()]);

impl Default for Slots<'_> {
    fn default() -> Self {
        Self([None; NAMES.len()])
    }
}

impl<'a> Fields<'a> for Slots<'a> {
    fn slot(&mut self, key: &str) -> Option<&mut Raw<'a>> {
        self.0.get_mut(place(key)?)
    }
}

/// The marker in a query.
pub(super) fn marker(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .take(PAIRS_MAX)
        .find(|(name, value)| name == MARKER && !value.is_empty())
        .map(|(_, value)| value.replace('\0', ""))
}

/// The part of a query that is needed later: all of it when the parameters are in there, else the marker alone.
pub(super) fn query_to_keep(query: &str) -> String {
    let delivery = ["MessageSid", "SmsMessageSid", "SmsSid"];
    let holds_parameters = form_urlencoded::parse(query.as_bytes())
        .take(PAIRS_MAX)
        .any(|(name, _)| delivery.contains(&name.as_ref()));
    if holds_parameters {
        return query.to_owned();
    }
    query
        .split('&')
        .take(PAIRS_MAX)
        .find(|pair| {
            pair.strip_prefix(MARKER)
                .is_some_and(|rest| rest.len() > 1 && rest.starts_with('='))
        })
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_searched() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            assert!(place(name).is_some(), "{name}");
        }
    }

    #[test]
    fn only_what_is_needed_of_a_query_stays() {
        let cases = [
            ("", ""),
            ("token=secret", ""),
            ("token=secret&m=a%2Fb&x=1", "m=a%2Fb"),
            ("m=", ""),
            ("mm=1&m=2&m=3", "m=2"),
            ("m=1&SmsSid=SM1&Body=hi", "m=1&SmsSid=SM1&Body=hi"),
        ];
        for (query, kept) in cases {
            assert_eq!(query_to_keep(query), kept, "{query}");
            assert_eq!(marker(query), marker(kept), "{query}");
        }
        assert_eq!(marker("m=a%2Fb+c").as_deref(), Some("a/b c"));
    }

    #[test]
    fn the_first_of_several_values_that_say_something_counts() {
        let params = Params::form(b"Body=&Body=a%00b&Body=c&From=x&Unknown=1");
        assert_eq!(params.get("Body"), Some("ab"));
        assert_eq!(params.get("From"), Some("x"));
        assert_eq!(params.get("To"), None);
    }
}
