//! Calls of Twilio's hosts (protocols/twilio.md 1, 6 and 8).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::value::RawValue;
use waxwing_core::channel::credential;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::identity::ProviderMessageId;
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;

use super::outcome;
use super::parse::{PREFIX, base_id, is_sid};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, ChannelCheck, Endpoints};
use crate::messaging::cloud::scrub::scrub;
use crate::messaging::cloud::wire::{self, fields};

/// Twilio's hosts. With [`Endpoints::twilio_url`] set, that one place stands for all of them; their paths do not collide.
#[derive(Debug, Clone, Copy)]
pub(super) enum Host {
    /// Messages and media.
    Api,
    /// Content resources.
    Content,
    /// Senders and the typing indicator.
    Messaging,
}

impl Host {
    const fn url(self) -> &'static str {
        match self {
            Self::Api => "https://api.twilio.com",
            Self::Content => "https://content.twilio.com",
            Self::Messaging => "https://messaging.twilio.com",
        }
    }
}

/// The number that Twilio's sandbox uses for everybody; it is in nobody's list of senders.
const SANDBOX: &str = "+14155238886";
/// Senders that one call asks for.
const SENDERS: usize = 100;

/// What is needed to call Twilio for one number.
pub(super) struct Caller<'a> {
    account: &'a Account,
    endpoints: &'a Endpoints,
    /// The account's id, for the path.
    pub(super) sid: &'a str,
    /// Our number.
    pub(super) number: Phone,
}

impl<'a> Caller<'a> {
    pub(super) fn new(account: &'a Account, endpoints: &'a Endpoints) -> Result<Self, BuildError> {
        const WRONG: BuildError = BuildError::Channel("sender id (AccountSid/+number)");
        let (sid, number) = account.sender_id.split_once('/').ok_or(WRONG)?;
        if !is_sid(sid) {
            return Err(WRONG);
        }
        Ok(Self {
            account,
            endpoints,
            sid,
            number: Phone::from_wa_id(number).map_err(|_| WRONG)?,
        })
    }

    /// The messaging service that chooses our number, if one does.
    pub(super) fn service(&self) -> Result<Option<&'a str>, BuildError> {
        let sid = self
            .account
            .credentials
            .get(credential::MESSAGING_SERVICE_SID)
            .map(Secret::expose)
            .filter(|sid| !sid.is_empty());
        match sid {
            Some(sid) if !is_sid(sid) => Err(BuildError::Channel("messaging service SID")),
            sid => Ok(sid),
        }
    }

    /// Our number as Twilio writes it.
    pub(super) fn from(&self) -> String {
        format!("{PREFIX}{}", self.number.e164())
    }

    pub(super) fn url(&self, host: Host, path: &str) -> Result<String, BuildError> {
        let base = self
            .endpoints
            .twilio_url
            .as_deref()
            .unwrap_or(host.url())
            .trim_end_matches('/');
        if !base.starts_with("https://") && !base.starts_with("http://") {
            return Err(BuildError::Channel("Twilio URL"));
        }
        Ok(format!("{base}{path}"))
    }

    /// The API key where there is one: it can be restricted and taken back alone. Else the account's auth token.
    pub(super) fn headers(&self) -> Result<HeaderMap, BuildError> {
        let get = |name: &str| {
            self.account
                .credentials
                .get(name)
                .filter(|secret| !secret.is_empty())
        };
        let key = get(credential::API_KEY_SID).zip(get(credential::API_KEY_SECRET));
        let basic = match key {
            Some((user, password)) => basic(user.expose(), password),
            None => {
                let token =
                    get(credential::AUTH_TOKEN).ok_or(BuildError::Credential("auth token"))?;
                basic(self.sid, token)
            }
        };
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(AUTHORIZATION, basic?);
        Ok(headers)
    }

    pub(super) fn post(
        &self,
        host: Host,
        path: &str,
        kind: &'static str,
        body: impl Into<Bytes>,
    ) -> Result<HttpRequest, BuildError> {
        let mut headers = self.headers()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(HttpRequest {
            method: Method::POST,
            url: self.url(host, path)?,
            headers,
            body: body.into(),
        })
    }

    pub(super) fn post_form(
        &self,
        host: Host,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<HttpRequest, BuildError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        self.post(host, path, "application/x-www-form-urlencoded", body)
    }
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue, BuildError> {
    // A colon would end the user's name, and what is no visible ASCII is a mistake made while pasting.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain(user) || user.contains(':') || !is_plain(password.expose()) {
        return Err(BuildError::Credential("API key or auth token"));
    }
    let pair = format!("{user}:{}", password.expose());
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|_| BuildError::Credential("API key or auth token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Builds the call that shows that an answer is being written. It marks the message as read as well; there is no other
/// way to do that.
pub(super) fn build_typing(
    account: &Account,
    endpoints: &Endpoints,
    message: &ProviderMessageId,
) -> Result<HttpRequest, BuildError> {
    Caller::new(account, endpoints)?.post_form(
        Host::Messaging,
        "/v2/Indicators/Typing.json",
        &[("channel", "whatsapp"), ("messageId", base_id(message))],
    )
}

/// Builds the call that lists the account's senders: it proves the credentials and shows our number.
pub(super) fn build_check(
    account: &Account,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let path = format!("/v2/Channels/Senders?Channel=whatsapp&PageSize={SENDERS}");
    Ok(HttpRequest {
        method: Method::GET,
        url: caller.url(Host::Messaging, &path)?,
        headers: caller.headers()?,
        body: Bytes::new(),
    })
}

fields! {
    /// A page of senders.
    Senders { "senders" => senders, "meta" => meta }
}

fields! {
    /// Where the page stands.
    PageMeta { "next_page_url" => next_page_url }
}

fields! {
    /// A sender.
    Sender {
        "sender_id" => sender_id,
        "status" => status,
        "profile" => profile,
        "properties" => properties,
        "offline_reasons" => offline_reasons,
    }
}

fields! {
    /// What people see of it.
    Profile { "name" => name }
}

fields! {
    /// What Meta thinks of it.
    Properties { "quality_rating" => quality_rating }
}

fields! {
    /// Why it cannot send.
    Reason { "code" => code, "message" => message }
}

/// Says how a number is from the answer to [`build_check`].
pub(super) fn interpret_check(account: &Account, answer: &HttpOutcome) -> ChannelCheck {
    let endpoints = Endpoints::default();
    let Ok(caller) = Caller::new(account, &endpoints) else {
        return failed(ProviderError::own(
            ErrorClass::Permanent,
            "the channel's sender id is not AccountSid/+number",
        ));
    };
    let body = match outcome::body_of(answer) {
        Ok(body) => body,
        Err(error) => return failed(error),
    };
    let page = serde_json::from_str::<&RawValue>(&body)
        .ok()
        .and_then(wire::object::<Senders<'_>>)
        .filter(|page| page.senders.is_some());
    let Some(page) = page else {
        return failed(ProviderError::own(
            ErrorClass::Permanent,
            "the answer was no list of senders; check the Twilio URL",
        ));
    };
    let number = caller.number.e164();
    let ours = wire::list(page.senders)
        .into_iter()
        .filter_map(wire::object::<Sender<'_>>)
        .find(|sender| {
            wire::text(sender.sender_id)
                .is_some_and(|id| id.strip_prefix(PREFIX) == Some(number.as_str()))
        });
    let Some(sender) = ours else {
        return not_listed(number, &page);
    };
    let can_send = wire::owned(sender.status);
    let online = can_send
        .as_deref()
        .is_some_and(|status| status.starts_with("ONLINE"));
    let mut problems = reasons(&sender);
    if !online {
        let word = can_send.as_deref().unwrap_or("without a status");
        problems.insert(0, format!("The sender is {}.", scrub(word)));
    }
    let profile: Profile<'_> = wire::object_or_empty(sender.profile);
    let properties: Properties<'_> = wire::object_or_empty(sender.properties);
    ChannelCheck {
        ok: online,
        display_phone_number: Some(number),
        verified_name: wire::owned(profile.name),
        quality: wire::owned(properties.quality_rating),
        can_send,
        problems,
        error: None,
    }
}

/// The credentials are good, yet the number is not there.
fn not_listed(number: String, page: &Senders<'_>) -> ChannelCheck {
    let meta: PageMeta<'_> = wire::object_or_empty(page.meta);
    let sandbox = number == SANDBOX;
    let problem = if sandbox {
        "This is Twilio's sandbox: it reaches only people who joined it, for three days.".to_owned()
    } else if wire::text(meta.next_page_url).is_some() {
        format!("The number is not among the account's first {SENDERS} WhatsApp senders.")
    } else {
        "The account has no WhatsApp sender with this number.".to_owned()
    };
    ChannelCheck {
        ok: sandbox,
        display_phone_number: Some(number),
        problems: vec![problem],
        ..ChannelCheck::default()
    }
}

fn reasons(sender: &Sender<'_>) -> Vec<String> {
    wire::list(sender.offline_reasons)
        .into_iter()
        .take(100)
        .filter_map(|raw| {
            let reason: Reason<'_> = wire::object(raw)?;
            let words = scrub(&wire::text(reason.message)?);
            Some(match wire::text(reason.code) {
                Some(code) => format!("{words} ({code})"),
                None => words,
            })
        })
        .collect()
}

fn failed(error: ProviderError) -> ChannelCheck {
    ChannelCheck {
        problems: vec![error.message.clone()],
        error: Some(error),
        ..ChannelCheck::default()
    }
}
