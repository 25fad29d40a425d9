//! The Messages API: create, fetch, list, cancel, redact, delete (twilio.md section 6).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::account::{Account, TwilioLine};
use super::content::Content;
use super::errors::Error;
use super::hooks;
use super::render;
use super::resource::{Filter, Resource};
use super::serve::{Form, Request, json as answer};
use crate::answer::{Abort, Answer};
use crate::config::User;
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::is_user_id;
use crate::outbound::{Draft, Recipient};
use crate::shown::{ShownMedia, ShownMessage};
use crate::state::{Number, UserState, lock};
use crate::status::{OutMessage, Stage};
use crate::timer::Due;

/// Longest text, in characters.
const BODY: usize = 1600;

/// What is sent.
enum Matter {
    Text,
    /// Kind of the file.
    Media(&'static str),
    Location,
    /// A content resource with the variables filled in.
    Content(Box<Content>),
    /// A content sid that nobody checks.
    Unknown,
}

impl Matter {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Media(kind) => kind,
            Self::Location => "location",
            Self::Content(content) if content.is_approved() => "template",
            Self::Content(_) => "interactive",
            Self::Unknown => "template",
        }
    }
}

/// A request that passed all checks.
struct Acceptable {
    number: Arc<Number>,
    to: String,
    wa_id: Option<String>,
    user_id: Option<String>,
    service: Option<String>,
    body: String,
    media: Option<String>,
    matter: Matter,
    variables: Map<String, Value>,
    status_url: Option<String>,
    later: Duration,
}

/// The sender of a request.
fn sender(hub: &Hub, account: &Account, form: &Form) -> Result<Arc<Number>, Error> {
    let find = |wanted: &dyn Fn(&TwilioLine) -> bool| {
        hub.find_number(|number| number.twilio().is_some_and(wanted))
    };
    if let Some(service) = form.some("MessagingServiceSid") {
        return find(&|line| line.serves(account, service)).ok_or_else(|| Error::of(21701));
    }
    let from = form.some("From").ok_or_else(|| Error::of(21603))?;
    if !from.starts_with("whatsapp:") {
        return Err(Error::of(21606));
    }
    find(&|line| line.is(account, from)).ok_or_else(|| Error::of(63007))
}

/// Digits or user id of a recipient.
fn recipient(to: &str) -> Result<(Option<String>, Option<String>), Error> {
    let name = to.strip_prefix("whatsapp:").unwrap_or(to);
    if is_user_id(name) {
        return Ok((None, Some(name.to_owned())));
    }
    match name.strip_prefix('+') {
        Some(digits)
            if (7..=15).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.starts_with('0') =>
        {
            Ok((Some(digits.to_owned()), None))
        }
        _ => Err(Error::invalid_to(to)),
    }
}

/// Whether Twilio would take this as an address: HTTP with a host, and no underscore in it.
fn is_callback(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return false;
    };
    matches!(parsed.scheme(), "http" | "https")
        && parsed.host_str().is_some_and(|host| !host.contains('_'))
}

/// What kind of file an address names; the file itself is not fetched.
fn media_kind(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or("");
    let ending = path.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    match ending.as_str() {
        "jpg" | "jpeg" | "png" => "image",
        "webp" => "sticker",
        "mp4" | "3gp" => "video",
        "ogg" | "mp3" | "amr" | "aac" | "m4a" => "audio",
        "vcf" => "contacts",
        _ => "document",
    }
}

/// How long a scheduled message waits (twilio.md section 6: 5 minutes to 35 days).
fn schedule(hub: &Hub, form: &Form) -> Result<Duration, Error> {
    if form.some("ScheduleType").is_none() {
        return Ok(Duration::ZERO);
    }
    if form.some("MessagingServiceSid").is_none() {
        return Err(Error::of(35118));
    }
    let at = form
        .some("SendAt")
        .and_then(|at| at.parse::<jiff::Timestamp>().ok())
        .ok_or_else(|| Error::of(35114))?;
    let at = u64::try_from(at.as_millisecond()).map_err(|_| Error::of(35114))?;
    let ahead = Duration::from_millis(at.saturating_sub(hub.now_ms()));
    if ahead < Duration::from_secs(300) {
        return Err(Error::of(35114));
    }
    if ahead > Duration::from_secs(35 * 86_400) {
        return Err(Error::of(35117));
    }
    Ok(ahead)
}

/// What a request carries besides addresses.
fn matter(
    hub: &Hub,
    account: &Account,
    form: &Form,
) -> Result<(Matter, Map<String, Value>), Error> {
    let none = |matter| Ok((matter, Map::new()));
    if let Some(sid) = form.some("ContentSid") {
        let variables = render::variables(form.get("ContentVariables"))?;
        let content = lock(&account.contents).get(sid).cloned();
        return match content {
            Some(content) => {
                if hub.config.checks.templates {
                    render::check(&content, &variables)?;
                }
                Ok((Matter::Content(Box::new(content)), variables))
            }
            None if hub.config.checks.templates => Err(Error::of(21655)),
            None => Ok((Matter::Unknown, variables)),
        };
    }
    let media: Vec<&str> = form.all("MediaUrl").filter(|url| !url.is_empty()).collect();
    if let Some(first) = media.first() {
        if media.len() > 10 {
            return Err(Error::of(21623));
        }
        if !media.iter().all(|url| is_callback(url)) {
            return Err(Error::of(21620));
        }
        return none(Matter::Media(media_kind(first)));
    }
    match form.get("Body") {
        None => Err(Error::of(21602)),
        Some("") => Err(Error::of(21619)),
        Some(_)
            if form
                .some("PersistentAction")
                .is_some_and(|a| a.starts_with("geo:")) =>
        {
            none(Matter::Location)
        }
        Some(_) => none(Matter::Text),
    }
}

fn check(hub: &Hub, account: &Account, form: &Form) -> Result<Acceptable, Error> {
    let to = form.some("To").ok_or_else(|| Error::of(21604))?;
    if form.some("From").is_none() && form.some("MessagingServiceSid").is_none() {
        return Err(Error::of(21603));
    }
    let prefixed = |text: &str| text.starts_with("whatsapp:");
    if form
        .some("From")
        .is_some_and(|from| prefixed(from) != prefixed(to))
    {
        return Err(Error::of(21910));
    }
    let number = sender(hub, account, form)?;
    if !prefixed(to) {
        return Err(Error::of(21910));
    }
    let (wa_id, user_id) = recipient(to)?;
    if wa_id.as_deref() == Some(number.wire().display()) {
        return Err(Error::of(63031));
    }
    let body = form.get("Body").unwrap_or("");
    if body.chars().count() > BODY {
        return Err(Error::of(21617));
    }
    let status_url = form.some("StatusCallback");
    if status_url.is_some_and(|url| !is_callback(url)) {
        return Err(Error::of(21609));
    }
    if form
        .some("ValidityPeriod")
        .is_some_and(|v| !v.parse::<u32>().is_ok_and(|v| (1..=36_000).contains(&v)))
    {
        return Err(Error::of(21624));
    }
    let (matter, variables) = matter(hub, account, form)?;
    let later = schedule(hub, form)?;
    Ok(Acceptable {
        number,
        to: to.to_owned(),
        wa_id,
        user_id,
        service: form.some("MessagingServiceSid").map(str::to_owned),
        // A content resource has its own.
        body: if matches!(matter, Matter::Content(_) | Matter::Unknown) {
            String::new()
        } else {
            body.to_owned()
        },
        media: form.some("MediaUrl").map(str::to_owned),
        matter,
        variables,
        status_url: status_url.map(str::to_owned),
        later,
    })
}

/// `POST …/Messages.json`.
pub(crate) async fn create(
    hub: &Arc<Hub>,
    request: &Request<'_>,
    account: &Arc<Account>,
) -> Result<Answer, Abort> {
    let form = request.form();
    let acceptable = match check(hub, account, &form) {
        Ok(acceptable) => acceptable,
        Err(error) => {
            hub.ledger.refuse();
            return Ok(error.answer(None));
        }
    };
    // More than a sender may send is held back by Twilio for hours; here it shows at once, as a full queue would.
    if let Some(rate) = hub.config.limits.throughput
        && !acceptable.number.take_throughput(rate, Instant::now())
    {
        hub.ledger.refuse();
        return Ok(Error::of(20429).answer(None));
    }
    accept(hub, account, acceptable).await
}

/// The code of a message that is accepted and fails later, for reasons that only Twilio has.
fn trouble(hub: &Hub, user: Option<&UserState>, content: Option<&Content>) -> Option<i64> {
    // Too many to one person (twilio.md section 9).
    if hub.config.limits.pair && user.is_some_and(|user| !user.take_pair(Instant::now())) {
        return Some(63018);
    }
    content
        .filter(|_| hub.config.checks.templates)
        .and_then(Content::trouble)
}

async fn accept(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    acceptable: Acceptable,
) -> Result<Answer, Abort> {
    let number = &acceptable.number;
    let to = Recipient {
        input: &acceptable.to,
        wa_id: acceptable.wa_id.clone(),
        user_id: acceptable.user_id.clone(),
        group: false,
        swallowed: false,
    };
    let kind = acceptable.matter.kind();
    let mut fault = hub.fault(FaultPoint::Send, number, &to.keys(), kind);
    let error = |code, status| Error::of(code).answer(status);
    if let Some(refusal) = fault
        .as_ref()
        .and_then(|fault| crate::answer::refusal(fault, error))
    {
        hub.ledger.refuse();
        return refusal;
    }
    let user = hub.recipient(number, to.wa_id.as_deref(), to.user_id.as_deref());
    let content = match &acceptable.matter {
        Matter::Content(content) => Some(content.as_ref()),
        _ => None,
    };
    if fault.is_none() {
        fault = trouble(hub, user.as_deref(), content).map(|code| Fault::Fail { code });
    }
    let shown = content.map(|content| render::shown(content, &acceptable.variables));
    let text = shown
        .as_ref()
        .map_or(acceptable.body.as_str(), |shown| shown.text.as_str());
    let draft = Draft {
        to: &to,
        user,
        kind,
        text,
        callback_data: acceptable.status_url.as_deref(),
        status_url: acceptable.status_url.as_deref(),
        category: content.map_or("service", |content| content.category()),
        free_form: kind != "template",
        voice: false,
        sent_only: false,
        queued_first: acceptable.service.is_some(),
        later: acceptable.later,
    };
    let message = hub.out_message(number, &draft, fault.as_ref());
    let record = store(hub, account, &acceptable, &message);
    hub.accept(&message, &draft, fault.as_ref(), |bubble| {
        if let Some(shown) = &shown {
            *bubble = ShownMessage {
                id: bubble.id.clone(),
                kind: bubble.kind.clone(),
                at: bubble.at,
                ..shown.clone()
            };
        } else {
            bubble.text.clone_from(&acceptable.body);
            bubble.media = acceptable.media.as_ref().map(|link| ShownMedia {
                kind: kind.to_owned(),
                id: None,
                link: Some(link.clone()),
                filename: None,
            });
        }
    });
    if let Some(Fault::LateQueued { after_ms }) = &fault {
        let due = Due::Emit(Arc::clone(&message), Stage::Queued, hub.idle.busy());
        hub.timer.after(Duration::from_millis(*after_ms), due);
    }
    let mut value = record;
    if matches!(fault, Some(Fault::NoMessageId))
        && let Some(object) = value.as_object_mut()
    {
        object.remove("sid");
    }
    let body = serde_json::to_vec(&value).unwrap_or_default();
    let plain = |body| match &fault {
        Some(Fault::ErrorAccepted { code, status }) => error(*code, *status),
        _ => Answer::plain(201, "application/json;charset=utf-8", body),
    };
    hub.answer(&message, fault.as_ref(), body, plain).await
}

/// Keeps the record of an accepted message and gives it as it is in the answer.
fn store(
    hub: &Hub,
    account: &Account,
    acceptable: &Acceptable,
    message: &Arc<OutMessage>,
) -> Value {
    let now = hub.now_ms();
    let scheduled = !acceptable.later.is_zero();
    let resource = Resource {
        sid: message.wamid.to_string(),
        inbound: false,
        from: acceptable
            .service
            .is_none()
            .then(|| acceptable.number.id().to_owned()),
        to: acceptable.to.clone(),
        body: acceptable.body.clone(),
        service: acceptable.service.clone(),
        num_media: usize::from(matches!(acceptable.matter, Matter::Media(_))),
        status: match (&acceptable.service, scheduled) {
            (Some(_), true) => "scheduled",
            (Some(_), false) => "accepted",
            (None, _) => "queued",
        },
        error: None,
        created: now,
        updated: now,
        sent: None,
        media: Vec::new(),
        scheduled: scheduled.then(|| Arc::clone(message)),
    };
    let value = resource.json(&account.sid);
    lock(&account.messages).put(resource);
    value
}

/// `GET …/Messages.json`, newest first.
pub(crate) fn list(request: &Request<'_>, account: &Account) -> Answer {
    let params = request.params();
    let (page, size) = params.page(50);
    let own = |name| params.some(name).map(str::to_owned);
    let filter = Filter {
        to: own("To"),
        from: own("From"),
        on: own("DateSent"),
        until: own("DateSent<"),
        since: own("DateSent>"),
    };
    let messages = lock(&account.messages);
    let start = page.saturating_mul(size);
    let (found, more) = messages.page(&filter, start, size);
    let query = params.without_page();
    let uri = |page: usize| {
        let and = if query.is_empty() { "" } else { "&" };
        format!("{}?{query}{and}PageSize={size}&Page={page}", request.path)
    };
    let next = found
        .last()
        .filter(|_| more)
        .map(|last| format!("{}&PageToken=PA{}", uri(page + 1), last.sid));
    answer(
        200,
        &json!({
            "end": start + found.len().saturating_sub(1),
            "first_page_uri": uri(0),
            "next_page_uri": next,
            "page": page,
            "page_size": size,
            "previous_page_uri": page.checked_sub(1).map(uri),
            "messages": found.iter().map(|message| message.json(&account.sid)).collect::<Vec<_>>(),
            "start": start,
            "uri": request.target(),
        }),
    )
}

/// One message: read, taken back or redacted, deleted.
pub(crate) fn one(
    hub: &Hub,
    request: &Request<'_>,
    account: &Account,
    method: &str,
    sid: &str,
) -> Answer {
    let gone = || Error::not_found(request.path).answer(None);
    let mut messages = lock(&account.messages);
    let Some(message) = messages.get_mut(sid) else {
        return gone();
    };
    match method {
        "GET" => answer(200, &message.json(&account.sid)),
        "DELETE" => {
            messages.remove(sid);
            Answer::plain(204, "", "")
        }
        "POST" => {
            let form = request.form();
            let mut canceled = None;
            match (form.get("Status"), form.get("Body")) {
                (Some("canceled"), _) => match message.scheduled.take() {
                    Some(scheduled) => {
                        message.status = "canceled";
                        canceled = Some(scheduled);
                    }
                    None => return Error::of(20409).answer(Some(409)),
                },
                (None, Some("")) => message.body.clear(),
                _ => return Error::of(20422).answer(None),
            }
            message.updated = hub.now_ms();
            let value = message.json(&account.sid);
            drop(messages);
            if let Some(message) = canceled {
                hub.emit(&message, Stage::Canceled);
            }
            answer(200, &value)
        }
        _ => gone(),
    }
}

/// The user that a message came from, for marks of reading.
pub(crate) fn read_by_business(hub: &Hub, account: &Account, sid: &str) -> bool {
    let (from, to) = {
        let messages = lock(&account.messages);
        let Some(message) = messages.get(sid).filter(|message| message.inbound) else {
            return false;
        };
        (message.from.clone().unwrap_or_default(), message.to.clone())
    };
    let number =
        hub.find_number(|number| number.twilio().is_some_and(|line| line.is(account, &to)));
    let user = number.and_then(|number| {
        number
            .users()
            .into_iter()
            .find(|user| named(&crate::state::read(&user.user), &from))
    });
    if let Some(user) = user {
        user.read_by_business(sid);
    }
    true
}

fn named(user: &User, address: &str) -> bool {
    hooks::address(user) == address
        || user
            .user_id
            .as_ref()
            .is_some_and(|id| address.strip_prefix("whatsapp:") == Some(id))
}
