//! The form of a send (protocols/twilio.md 6).

use waxwing_core::content::{Content, Media, MediaKind};
use waxwing_core::limits;

use super::content::{interactive_variables, template_variables};
use super::params::MARKER;
use super::parse::{PREFIX, is_sid};
use super::request::{Caller, Host};
use crate::http::HttpRequest;
use crate::messaging::adapter::{Account, BuildError, Endpoints, Outgoing, Recipient};

/// Characters of a body or caption. Longer texts are not split here: whoever sends decides where.
const BODY_MAX: usize = 1_600;
/// Where our status callbacks arrive.
const STATUS_PATH: &str = "/api/webhooks/whatsapp/status";

type Pairs = Vec<(&'static str, String)>;

/// Builds the request that sends a message. Twilio has no way to answer a certain message, so that wish is dropped.
pub(super) fn build_send(
    account: &Account,
    endpoints: &Endpoints,
    message: Outgoing<'_>,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let sender = match caller.service()? {
        Some(service) => ("MessagingServiceSid", service.to_owned()),
        None => ("From", caller.from()),
    };
    let mut pairs = vec![("To", address(message.to)), sender];
    put_content(&mut pairs, message.content, message.asset)?;
    if let Some(url) = status_callback(endpoints, message.callback)? {
        pairs.push(("StatusCallback", url));
    }
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let path = format!("/2010-04-01/Accounts/{}/Messages.json", caller.sid);
    caller.post_form(Host::Api, &path, &pairs)
}

/// A recipient as Twilio writes it.
pub(super) fn address(to: &Recipient) -> String {
    match to {
        Recipient::Phone(phone) => format!("{PREFIX}{}", phone.e164()),
        Recipient::UserId(id) => format!("{PREFIX}{}", id.as_str()),
    }
}

/// The body that a message is sent with; none when a Content resource holds it.
pub(super) fn body_of(message: Outgoing<'_>) -> Option<String> {
    let mut pairs = Pairs::new();
    put_content(&mut pairs, message.content, message.asset).ok()?;
    let body = pairs.into_iter().find(|(name, _)| *name == "Body");
    body.map(|(_, body)| body)
}

/// The address of the status callback, with our marker in it: so the callback names the message even when the answer
/// to the send was lost and its id is unknown.
fn status_callback(endpoints: &Endpoints, marker: &str) -> Result<Option<String>, BuildError> {
    if marker.chars().count() > limits::CALLBACK_DATA {
        return Err(BuildError::CallbackData);
    }
    let Some(public) = endpoints.public_url.as_deref() else {
        return Ok(None);
    };
    let host = public
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
        .and_then(|authority| authority.rsplit('@').next())
        .unwrap_or_default();
    // Twilio refuses such addresses (21609).
    if host.is_empty() || host.contains('_') {
        return Err(BuildError::Channel(
            "public URL (it needs a host, without an underscore)",
        ));
    }
    let mut url = format!("{}{STATUS_PATH}", public.trim_end_matches('/'));
    if !marker.is_empty() {
        let marker: String = form_urlencoded::byte_serialize(marker.as_bytes()).collect();
        url = format!("{url}?{MARKER}={marker}");
    }
    Ok(Some(url))
}

fn put_content(
    pairs: &mut Pairs,
    content: &Content,
    asset: Option<&str>,
) -> Result<(), BuildError> {
    if let Some((kind, media)) = content.media() {
        return put_media(pairs, kind, media);
    }
    match content {
        Content::Text { body, .. } => put_body(pairs, body),
        Content::Location {
            latitude,
            longitude,
            name,
            address,
        } => put_location(
            pairs,
            (*latitude, *longitude),
            name.as_deref(),
            address.as_deref(),
        ),
        Content::InteractiveButton { frame, body, .. }
        | Content::InteractiveList { frame, body, .. } => {
            let variables = interactive_variables(frame, body)?;
            let sid = asset.filter(|sid| is_sid(sid)).ok_or_else(|| {
                BuildError::Content("buttons and lists need a Content resource".to_owned())
            })?;
            pairs.push(("ContentSid", sid.to_owned()));
            pairs.push(("ContentVariables", variables));
            Ok(())
        }
        Content::MessageTemplate {
            name, components, ..
        } => {
            let sid = content_sid(name)?;
            pairs.push(("ContentSid", sid));
            if let Some(variables) = template_variables(components)? {
                pairs.push(("ContentVariables", variables));
            }
            Ok(())
        }
        Content::Contacts { .. } => Err(not_carried("contact cards")),
        Content::Reaction { .. } => Err(not_carried("a reaction")),
        other => Err(BuildError::NotSendable(other.kind())),
    }
}

const fn not_carried(what: &'static str) -> BuildError {
    BuildError::NotCarried {
        provider: "Twilio",
        what,
    }
}

fn put_body(pairs: &mut Pairs, body: &str) -> Result<(), BuildError> {
    let length = body.chars().count();
    if length > BODY_MAX {
        return Err(BuildError::Content(format!(
            "the text has {length} characters; Twilio takes {BODY_MAX}"
        )));
    }
    if body.is_empty() {
        return Err(BuildError::Content("the text must not be empty".to_owned()));
    }
    pairs.push(("Body", body.to_owned()));
    Ok(())
}

/// Twilio fetches files itself; it keeps none for us, so there are no ids to send by. The name of a file comes from
/// where it is fetched.
fn put_media(pairs: &mut Pairs, kind: MediaKind, media: &Media) -> Result<(), BuildError> {
    let link = match (&media.id, &media.link) {
        (None, Some(link)) if !link.is_empty() => link,
        (Some(_), None) => return Err(not_carried("media by id, only by link")),
        _ => return Err(BuildError::NoMedia),
    };
    let has_caption = !matches!(kind, MediaKind::Audio | MediaKind::Sticker);
    if let Some(caption) = media
        .caption
        .as_deref()
        .filter(|caption| has_caption && !caption.is_empty())
    {
        put_body(pairs, caption)?;
    }
    pairs.push(("MediaUrl", link.clone()));
    Ok(())
}

/// A place needs a body as well (21602 without): its address, else its name, else the coordinates.
fn put_location(
    pairs: &mut Pairs,
    (latitude, longitude): (f64, f64),
    name: Option<&str>,
    address: Option<&str>,
) -> Result<(), BuildError> {
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return Err(BuildError::Content(
            "the coordinates are not on the earth".to_owned(),
        ));
    }
    let name = name.filter(|text| !text.is_empty());
    let address = address.filter(|text| !text.is_empty());
    let place = format!("{latitude},{longitude}");
    put_body(pairs, address.or(name).unwrap_or(&place))?;
    // The bar separates the label, so there must be no other.
    let label = name
        .or(address)
        .map(|label| format!("|{}", label.replace('|', " ")))
        .unwrap_or_default();
    pairs.push(("PersistentAction", format!("geo:{place}{label}")));
    Ok(())
}

/// Templates have no names at Twilio: the id of the Content resource stands in the name's place. Its letters are lower
/// case but for the prefix, so both ways of writing that are taken.
fn content_sid(name: &str) -> Result<String, BuildError> {
    name.get(..2)
        .filter(|prefix| prefix.eq_ignore_ascii_case("HX") && name.len() > 2 && is_sid(name))
        .map(|_| format!("HX{}", &name[2..]))
        .ok_or_else(|| {
            BuildError::Content(
                "at Twilio the name of a message template is its ContentSid (HX…)".to_owned(),
            )
        })
}
