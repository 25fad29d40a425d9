//! `POST /{version}/{phone-number-id}/messages`: checks, acceptance, answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::answer::{Abort, Answer};
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ids::{Way, digits, is_user_id, read_wamid};
use crate::meta::MetaLine;
use crate::meta::errors::GraphError;
use crate::meta::validate;
use crate::meta::wire::{Body, Content};
use crate::outbound::{Draft, Recipient};
use crate::state::{Number, UserState, lock};

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

fn recipient<'a>(body: &'a Body<'_>, line: &MetaLine) -> Result<Recipient<'a>, GraphError> {
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
            if phone == line.config.display_phone_number {
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

/// A message that passed all checks.
pub(crate) struct Acceptable<'a> {
    pub(crate) to: Recipient<'a>,
    pub(crate) user: Option<Arc<UserState>>,
    pub(crate) content: Content<'a>,
    pub(crate) category: &'static str,
    /// The stored template.
    pub(crate) template: Option<serde_json::Value>,
}

/// All of Meta's checks of a message, the limits among them.
pub(crate) fn check<'a>(
    hub: &Hub,
    number: &Number,
    line: &MetaLine,
    body: &'a Body<'_>,
    marketing: bool,
) -> Result<Acceptable<'a>, GraphError> {
    if !line.registered.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(GraphError::of(133_010));
    }
    let to = recipient(body, line)?;
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
        let stored = lock(&line.waba.templates).check(send, hub.config.checks.templates)?;
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
    line: &MetaLine,
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
    match check(hub, number, line, &parsed, marketing) {
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

async fn accept(
    hub: &Arc<Hub>,
    number: &Arc<Number>,
    version: &str,
    body: &Body<'_>,
    acceptable: Acceptable<'_>,
) -> Result<Answer, Abort> {
    let Acceptable {
        to,
        user,
        content,
        category,
        template,
    } = acceptable;
    let fault = hub.fault(FaultPoint::Send, number, &to.keys(), content.kind());
    let error = |code, status: Option<u16>| {
        let mut error = GraphError::of(code);
        error.status = status.unwrap_or(error.status);
        Answer::error(hub, version, &error)
    };
    if let Some(refusal) = fault
        .as_ref()
        .and_then(|fault| crate::answer::refusal(fault, error))
    {
        hub.ledger.refuse();
        return refusal;
    }
    if let Some(Fault::OwnError { status, text }) = &fault {
        hub.ledger.refuse();
        return Ok(number.wire().own_error(hub, *status, text));
    }
    let draft = Draft {
        to: &to,
        user,
        kind: content.kind(),
        text: content.text(),
        callback_data: body.biz_opaque_callback_data.as_deref(),
        status_url: None,
        category,
        free_form: !matches!(content, Content::Template(_)),
        voice: matches!(&content, Content::Media("audio", media) if media.voice == Some(true)),
        // Reactions produce `sent` only (meta.md section 6).
        sent_only: matches!(content, Content::Reaction(_)),
        queued_first: false,
        later: Duration::ZERO,
    };
    let message = hub.out_message(number, &draft, fault.as_ref());
    hub.accept(&message, &draft, fault.as_ref(), |shown| {
        shown.fill(&content, template.as_ref());
        shown.reply_to = shown.reply_to.take().or_else(|| {
            body.context
                .as_ref()?
                .message_id
                .as_deref()
                .map(str::to_owned)
        });
    });
    let bytes = answer_body(
        &to,
        message.recipient_user_id.as_deref(),
        &message.wamid,
        &content,
        fault.as_ref(),
    );
    let plain = |body| match &fault {
        Some(Fault::ErrorAccepted { code, status }) => error(*code, *status),
        _ => Answer::json(hub, version, 200, body),
    };
    hub.answer(&message, fault.as_ref(), bytes, plain).await
}

fn answer_body(
    to: &Recipient<'_>,
    user_id: Option<&str>,
    id: &str,
    content: &Content<'_>,
    fault: Option<&Fault>,
) -> Vec<u8> {
    let status = match content {
        Content::Template(_) if matches!(fault, Some(Fault::Held { .. })) => {
            Some("held_for_quality_assessment")
        }
        Content::Template(_) => Some("accepted"),
        _ => None,
    };
    let with_wa_id = !matches!(fault, Some(Fault::NoWaId));
    let accepted = Accepted {
        messaging_product: "whatsapp",
        contacts: Some([AcceptedContact {
            input: to.input,
            wa_id: to.wa_id.as_deref().filter(|_| with_wa_id),
            user_id,
        }]),
        messages: (!matches!(fault, Some(Fault::NoMessageId))).then_some([AcceptedMessage {
            id,
            message_status: status,
            group_id: to.group.then_some(to.input),
        }]),
    };
    serde_json::to_vec(&accepted).unwrap_or_default()
}
