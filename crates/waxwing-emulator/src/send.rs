//! `POST /{version}/{phone-number-id}/messages`: checks, acceptance, answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer::{Abort, Answer};
use crate::config::SendSeen;
use crate::errors::GraphError;
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::{Way, digits, is_user_id, read_wamid, wamid};
use crate::ledger::SendRecord;
use crate::shown::ShownMessage;
use crate::state::{Number, Reach, UserState, lock};
use crate::status::OutMessage;
use crate::validate;
use crate::wire::{Body, Content};

#[derive(Serialize)]
struct Accepted<'a> {
    messaging_product: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[AcceptedContact<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<[AcceptedMessage<'a>; 1]>,
}

#[derive(Serialize)]
struct AcceptedContact<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AcceptedMessage<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
}

/// Whom a request addresses.
struct Recipient<'a> {
    /// As given.
    input: &'a str,
    wa_id: Option<String>,
    user_id: Option<String>,
    group: bool,
    /// A business-scoped id in `to`: accepted and dropped (meta.md section 4.2).
    swallowed: bool,
}

fn recipient<'a>(body: &'a Body<'_>, number: &Number) -> Result<Recipient<'a>, GraphError> {
    let group = match body.recipient_type.as_deref() {
        None | Some("individual") => false,
        Some("group") => true,
        Some(_) => {
            return Err(GraphError::invalid(
                "Param recipient_type must be one of {individual, group}",
            ));
        }
    };
    let to = body.to.as_deref().filter(|to| !to.is_empty());
    let by_id = body.recipient.as_deref().filter(|id| !id.is_empty());
    let none = |input| Recipient {
        input,
        wa_id: None,
        user_id: None,
        group,
        swallowed: false,
    };
    match (to, by_id) {
        (None, None) => Err(GraphError::missing("to")),
        (Some(to), _) if group => Ok(none(to)),
        // Both present: `to` wins, the id is learnt from it.
        (Some(to), by_id) if is_user_id(to) => {
            let _ = by_id;
            Ok(Recipient {
                user_id: Some(to.to_owned()),
                swallowed: true,
                ..none(to)
            })
        }
        (Some(to), by_id) => {
            let phone = digits(to);
            if phone.is_empty() {
                return Err(GraphError::value("to is not a valid phone number"));
            }
            if phone == number.config.display_phone_number {
                return Err(GraphError::of(131_021));
            }
            Ok(Recipient {
                wa_id: Some(phone),
                user_id: by_id.filter(|id| is_user_id(id)).map(str::to_owned),
                ..none(to)
            })
        }
        (None, Some(id)) if is_user_id(id) => Ok(Recipient {
            user_id: Some(id.to_owned()),
            ..none(id)
        }),
        (None, Some(_)) => Err(GraphError::value("recipient is not a valid user id")),
    }
}

/// Meta's limits on the number and on the pair.
fn limits(hub: &Hub, number: &Number, user: Option<&UserState>) -> Result<(), GraphError> {
    let now = Instant::now();
    if let Some(rate) = hub.config.limits.throughput
        && !number.take_throughput(rate, now)
    {
        return Err(GraphError::of(130_429));
    }
    if hub.config.limits.pair
        && let Some(user) = user
        && !user.take_pair(now)
    {
        return Err(GraphError::of(131_056));
    }
    Ok(())
}

/// A code with which an accepted message will fail, if the emulator knows a reason.
fn fate(hub: &Hub, user: Option<&UserState>, content: &Content<'_>, category: &str) -> Option<i64> {
    let Some(user) = user else {
        return (hub.config.checks.window && !matches!(content, Content::Template(_)))
            .then_some(131_047);
    };
    let inner = lock(&user.inner);
    if inner.reach == Reach::NotOnWhatsApp {
        return Some(131_026);
    }
    if category == "marketing" && inner.opted_out {
        return Some(131_050);
    }
    let closed = inner.window_until < hub.now_ms();
    (hub.config.checks.window && closed && !matches!(content, Content::Template(_)))
        .then_some(131_047)
}

/// A message that passed all checks.
struct Acceptable<'a> {
    to: Recipient<'a>,
    user: Option<Arc<UserState>>,
    content: Content<'a>,
    category: &'static str,
    template: Option<serde_json::Value>,
}

fn check<'a>(
    hub: &Hub,
    number: &Number,
    body: &'a Body<'_>,
    marketing: bool,
) -> Result<Acceptable<'a>, GraphError> {
    if !number.registered.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(GraphError::of(133_010));
    }
    let to = recipient(body, number)?;
    let content = validate::content(body)?;
    if to.group
        && !matches!(
            content,
            Content::Text(_) | Content::Media(..) | Content::Template(_)
        )
    {
        return Err(GraphError::of(131_051));
    }
    if marketing && !matches!(content, Content::Template(_)) {
        return Err(GraphError::of(131_055));
    }
    if hub.config.checks.media
        && let Content::Media(kind, media) = &content
        && let Some(id) = media.id.as_deref()
        && !lock(&hub.media).has(id)
    {
        return Err(GraphError::invalid(format!(
            "Param {kind}['id'] is not a valid whatsapp business account media attachment ID"
        )));
    }
    let (mut category, mut template) = ("service", None);
    if let Content::Template(send) = &content {
        let stored = lock(&number.waba.templates).check(send, hub.config.checks.templates)?;
        if let Some(stored) = stored {
            category = stored.category_of_price();
            template = Some(stored.body);
        } else {
            // Nothing is known about it: it is what the endpoint is for.
            category = if marketing { "marketing" } else { "utility" };
        }
        if category == "authentication" && to.wa_id.is_none() {
            return Err(GraphError::of(131_062));
        }
        if marketing {
            category = if category == "marketing" {
                "marketing_lite"
            } else {
                return Err(GraphError::of(134_100));
            };
        }
    }
    let user = if to.swallowed || to.group {
        None
    } else {
        hub.recipient(number, to.wa_id.as_deref(), to.user_id.as_deref())
    };
    limits(hub, number, user.as_deref())?;
    Ok(Acceptable {
        to,
        user,
        content,
        category,
        template,
    })
}

/// Serves one request. The token was checked.
pub(crate) async fn messages(
    hub: &Arc<Hub>,
    number: &Arc<Number>,
    version: &str,
    body: &[u8],
    marketing: bool,
) -> Result<Answer, Abort> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(_) => {
            return refuse(
                hub,
                version,
                &GraphError::invalid("The request body is not valid UTF-8"),
            );
        }
    };
    let parsed: Body<'_> = match serde_json::from_str(text) {
        Ok(parsed) => parsed,
        Err(_) => {
            return refuse(
                hub,
                version,
                &GraphError::invalid("The request body is not a valid JSON message"),
            );
        }
    };
    match parsed.messaging_product.as_deref() {
        Some("whatsapp") => {}
        None => {
            return refuse(
                hub,
                version,
                &GraphError::invalid("The parameter messaging_product is required."),
            );
        }
        Some(_) => {
            return refuse(
                hub,
                version,
                &GraphError::invalid("Param messaging_product must be whatsapp"),
            );
        }
    }
    if parsed.status.is_some() {
        return match read_mark(hub, number, &parsed) {
            Ok(()) => Ok(Answer::json(
                hub,
                version,
                200,
                br#"{"success":true}"#.to_vec(),
            )),
            Err(error) => refuse(hub, version, &error),
        };
    }
    match check(hub, number, &parsed, marketing) {
        Ok(acceptable) => accept(hub, number, version, &parsed, acceptable).await,
        Err(error) => refuse(hub, version, &error),
    }
}

fn refuse(hub: &Hub, version: &str, error: &GraphError) -> Result<Answer, Abort> {
    hub.ledger.refuse();
    Ok(Answer::error(hub, version, error))
}

/// `status: read`, with or without a typing indicator. Needs the id of a received message.
fn read_mark(hub: &Hub, number: &Number, body: &Body<'_>) -> Result<(), GraphError> {
    if body.status.as_deref() != Some("read") {
        return Err(GraphError::invalid("Param status must be one of {read}"));
    }
    let id = body
        .message_id
        .as_deref()
        .ok_or_else(|| GraphError::missing("message_id"))?;
    if let Some(typing) = &body.typing_indicator
        && typing.kind.as_deref() != Some("text")
    {
        return Err(GraphError::invalid(
            "Param typing_indicator.type must be one of {text}",
        ));
    }
    match read_wamid(id) {
        Some((key, Way::Inbound)) => {
            if let Some(user) = number.user(&key) {
                user.read_by_business(id);
            }
            Ok(())
        }
        // Ids of another make cannot be judged unless this emulator keeps the books.
        None if !hub.config.checks.window => Ok(()),
        _ => Err(GraphError::value(
            "message_id does not belong to a received message",
        )),
    }
}

/// How the answer of an accepted message differs from the plain one.
#[derive(Default)]
struct Twist {
    no_message_id: bool,
    no_wa_id: bool,
    held: bool,
}

/// The accepted message with all that its statuses will need.
fn out_message(
    hub: &Hub,
    number: &Arc<Number>,
    body: &Body<'_>,
    acceptable: &Acceptable<'_>,
    fault: Option<&Fault>,
) -> Arc<OutMessage> {
    let Acceptable {
        to,
        user,
        content,
        category,
        ..
    } = acceptable;
    let category = *category;
    let known = user.as_ref().map(|u| crate::state::read(&u.user).clone());
    let user_id = to.user_id.clone().or_else(|| known.and_then(|u| u.user_id));
    let key = to
        .wa_id
        .as_deref()
        .or(to.user_id.as_deref())
        .unwrap_or(&number.config.display_phone_number);
    let id: Arc<str> = wamid(key, Way::Outbound, hub.rng.next()).into();
    let mut fail = fate(hub, user.as_deref(), content, category);
    if let Some(Fault::Fail { code }) = fault {
        fail = Some(*code);
    }
    let window_open = user
        .as_ref()
        .is_some_and(|u| lock(&u.inner).window_until >= hub.now_ms());
    let free = category == "service" || (category == "utility" && window_open);
    Arc::new(OutMessage {
        wamid: id,
        number: Arc::clone(number),
        recipient_id: to
            .wa_id
            .as_deref()
            .or(to.group.then_some(to.input))
            .map(Into::into),
        recipient_user_id: user_id.as_deref().map(Into::into),
        group: to.group,
        user: user.clone(),
        callback_data: body.biz_opaque_callback_data.as_deref().map(Into::into),
        category,
        pricing: if free {
            "free_customer_service"
        } else {
            "regular"
        },
        voice: matches!(content, Content::Media("audio", media) if media.voice == Some(true)),
        sent_only: matches!(content, Content::Reaction(_)),
        fail,
        first_status: matches!(fault, Some(Fault::StatusFirst)).then(Notify::new),
    })
}

async fn accept(
    hub: &Arc<Hub>,
    number: &Arc<Number>,
    version: &str,
    body: &Body<'_>,
    acceptable: Acceptable<'_>,
) -> Result<Answer, Abort> {
    let faults = hub.faults();
    let fault = if faults.is_empty() {
        None
    } else {
        let to = &acceptable.to;
        let keys = [
            to.wa_id.as_deref().unwrap_or(to.input),
            to.user_id.as_deref().unwrap_or(""),
        ];
        faults.pick(FaultPoint::Send, &keys, acceptable.content.kind())
    };
    if let Some(refusal) = fault.and_then(|fault| crate::answer::refusal(hub, version, fault)) {
        hub.ledger.refuse();
        return refusal;
    }
    let message = out_message(hub, number, body, &acceptable, fault);
    let Acceptable {
        to,
        user,
        content,
        template,
        ..
    } = acceptable;
    let id = Arc::clone(&message.wamid);
    record(hub, &message, to.input, &content);
    if let Some(user) = &user {
        let mut shown = ShownMessage::new(&id, true, content.kind(), hub.now_ms() / 1000);
        shown.fill(&content, template.as_ref());
        shown.reply_to = shown.reply_to.or_else(|| {
            body.context
                .as_ref()?
                .message_id
                .as_deref()
                .map(str::to_owned)
        });
        user.show(shown, hub.config.thread_length);
    }
    let mut delay = hub.config.answer_delay;
    let mut status_delay = delay;
    let mut twist = Twist::default();
    match fault {
        Some(Fault::Delay { ms }) => delay = Duration::from_millis(*ms),
        Some(Fault::StatusFirst) => status_delay = Duration::ZERO,
        Some(Fault::NoMessageId) => twist.no_message_id = true,
        Some(Fault::NoWaId) => twist.no_wa_id = true,
        Some(Fault::Held { ms }) => {
            twist.held = true;
            status_delay = Duration::from_millis(*ms);
        }
        _ => {}
    }
    if !to.swallowed && !matches!(fault, Some(Fault::Swallow)) {
        hub.start_statuses(&message, status_delay);
    }
    if let Some(first) = &message.first_status {
        // Capped so that a receiver that is down cannot block its own sends for ever.
        let _ = tokio::time::timeout(Duration::from_secs(5), first.notified()).await;
    } else if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let bytes = answer_body(
        &to,
        message.recipient_user_id.as_deref(),
        &id,
        &content,
        &twist,
    );
    let answer = crate::answer::accepted(hub, version, bytes, fault);
    // Whether the bytes arrive is out of our hands; every fault that keeps the id from the sender counts as unanswered.
    if fault.is_none_or(Fault::answers) && answer.is_ok() {
        hub.ledger.answer(&id);
    }
    answer
}

fn record(hub: &Hub, message: &OutMessage, input: &str, content: &Content<'_>) {
    let to = message
        .recipient_id
        .as_deref()
        .or(message.recipient_user_id.as_deref())
        .unwrap_or(input);
    let at = std::time::Instant::now();
    if let Some(observer) = &hub.config.observer {
        observer(&SendSeen {
            phone_number_id: message.number.id(),
            wamid: &message.wamid,
            to,
            kind: content.kind(),
            text: content.text(),
            callback_data: message.callback_data.as_deref(),
            at,
        });
    }
    hub.ledger.accept(|| SendRecord {
        phone_number_id: Arc::clone(&message.number.shared_id),
        wamid: Arc::clone(&message.wamid),
        to: to.into(),
        kind: content.kind(),
        body: content.text().into(),
        callback_data: message.callback_data.clone(),
        answered: false,
        at,
        statuses: Vec::new(),
    });
}

fn answer_body(
    to: &Recipient<'_>,
    user_id: Option<&str>,
    id: &str,
    content: &Content<'_>,
    twist: &Twist,
) -> Vec<u8> {
    let status = match content {
        Content::Template(_) if twist.held => Some("held_for_quality_assessment"),
        Content::Template(_) => Some("accepted"),
        _ => None,
    };
    let accepted = Accepted {
        messaging_product: "whatsapp",
        contacts: Some([AcceptedContact {
            input: to.input,
            wa_id: to.wa_id.as_deref().filter(|_| !twist.no_wa_id),
            user_id,
        }]),
        messages: (!twist.no_message_id).then_some([AcceptedMessage {
            id,
            message_status: status,
            group_id: to.group.then_some(to.input),
        }]),
    };
    serde_json::to_vec(&accepted).unwrap_or_default()
}
