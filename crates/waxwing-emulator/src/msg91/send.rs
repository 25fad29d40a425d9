//! Sends at MSG91: the call is judged at once, what WhatsApp thinks of it comes later in a report.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::answers::{self, Refusal};
use super::log::{Entry, Progress};
use super::serve::refused;
use super::wire::{Outgoing, SendCall};
use super::{Msg91Line, PRICE, hooks};
use crate::answer::{Abort, Answer};
use crate::faults::{Fault, FaultPoint};
use crate::hub::Hub;
use crate::ledger::WebhookKind;
use crate::meta::errors::{GraphError, WebhookError};
use crate::meta::send::{Acceptable, check};
use crate::meta::wire::{Body, Content};
use crate::outbound::{Draft, Recipient};
use crate::state::Number;
use crate::status::OutMessage;
use crate::webhook::About;

/// The template does not exist, or not in this language.
const NO_TEMPLATE: i64 = 132_001;

/// A call that is being taken.
struct Taking<'a> {
    hub: &'a Arc<Hub>,
    number: &'a Arc<Number>,
    line: &'a Msg91Line,
    request_id: Arc<str>,
    crqid: Option<Arc<str>>,
}

/// Serves a call that was read. One fault of a script governs the answer: that of the first message.
pub(crate) async fn send(
    hub: &Arc<Hub>,
    number: &Arc<Number>,
    call: &SendCall,
) -> Result<Answer, Abort> {
    let Some(line) = number.msg91() else {
        return Ok(refused(&Refusal::Number));
    };
    let taking = Taking {
        hub,
        number,
        line,
        request_id: answers::request_id(&hub.rng).into(),
        crqid: call.crqid.as_deref().map(Into::into),
    };
    let mut first: Option<(Arc<OutMessage>, Option<Fault>)> = None;
    for outgoing in &call.messages {
        let text = outgoing.meta.to_string();
        // The text was made here, so it can be read.
        let Ok(body) = serde_json::from_str::<Body<'_>>(&text) else {
            continue;
        };
        let checked = check(hub, number, &line.meta, &body, false);
        if first.is_none()
            && let Err(error) = &checked
            && error.code == NO_TEMPLATE
        {
            hub.ledger.refuse();
            return Ok(refused(&Refusal::Template));
        }
        let kind = kind(&outgoing.meta);
        let fault = hub.fault(FaultPoint::Send, number, &[&outgoing.to], kind);
        if first.is_none()
            && let Some(refusal) = fault.as_ref().and_then(|f| refusal(taking.line, hub, f))
        {
            hub.ledger.refuse();
            return refusal;
        }
        let message = taking.accept(outgoing, checked, fault.as_ref());
        match &first {
            None => first = Some((message, fault)),
            Some((_, fault)) if fault.as_ref().is_none_or(Fault::answers) => {
                hub.ledger.answer(&message.wamid);
            }
            Some(_) => {}
        }
    }
    let Some((message, fault)) = first else {
        return Ok(refused(&Refusal::missing("to")));
    };
    let mut body = answers::accepted(&taking.request_id);
    if matches!(fault, Some(Fault::NoMessageId))
        && let Some(body) = body.as_object_mut()
    {
        body.remove("request_id");
    }
    let plain = |body: Vec<u8>| Answer::plain(200, "application/json", body);
    let body = serde_json::to_vec(&body).unwrap_or_default();
    hub.answer(&message, fault.as_ref(), body, plain).await
}

/// The answer of a fault that refuses the call. Codes are Meta's, which MSG91 has in texts only.
fn refusal(line: &Msg91Line, hub: &Hub, fault: &Fault) -> Option<Result<Answer, Abort>> {
    use crate::provider::Wire as _;
    if let Fault::OwnError { status, text } = fault {
        return Some(Ok(line.own_error(hub, *status, text)));
    }
    crate::answer::refusal(fault, |code, status| {
        let text = format!("{code}: {}", WebhookError::of(code).title);
        refused(&match status {
            Some(429) => Refusal::TooMany,
            Some(401) => Refusal::Key,
            None | Some(200) => Refusal::Text(text),
            Some(status) => Refusal::Status(status, text),
        })
    })
}

/// The kind of a message, also of one that cannot be read further.
fn kind(meta: &Value) -> &'static str {
    match meta["type"].as_str().unwrap_or("") {
        "image" => "image",
        "document" => "document",
        "video" => "video",
        "audio" => "audio",
        "location" => "location",
        "contacts" => "contacts",
        "interactive" => "interactive",
        "template" => "template",
        _ => "text",
    }
}

impl Taking<'_> {
    /// Takes one message. What Meta's checks refuse is taken too and fails later: whether MSG91 looks into a message
    /// before it answers is not documented.
    fn accept(
        &self,
        outgoing: &Outgoing,
        checked: Result<Acceptable<'_>, GraphError>,
        fault: Option<&Fault>,
    ) -> Arc<OutMessage> {
        match checked {
            Ok(acceptable) => self.accept_good(outgoing, acceptable, fault),
            Err(error) => {
                let doomed = Fault::Fail { code: error.code };
                let to = Recipient {
                    input: &outgoing.to,
                    wa_id: Some(outgoing.to.clone()),
                    user_id: None,
                    group: false,
                    swallowed: false,
                };
                let draft = Draft {
                    to: &to,
                    // Nothing arrives, so no phone shows it.
                    user: None,
                    kind: kind(&outgoing.meta),
                    text: "",
                    callback_data: self.crqid.as_deref(),
                    status_url: None,
                    category: "service",
                    free_form: false,
                    voice: false,
                    sent_only: false,
                    queued_first: false,
                    later: Duration::ZERO,
                };
                let message = self.hub.out_message(self.number, &draft, Some(&doomed));
                self.note(outgoing, &message, &draft, fault);
                self.hub.accept(&message, &draft, fault, |_| {});
                message
            }
        }
    }

    fn accept_good(
        &self,
        outgoing: &Outgoing,
        acceptable: Acceptable<'_>,
        fault: Option<&Fault>,
    ) -> Arc<OutMessage> {
        let Acceptable {
            to,
            user,
            content,
            category,
            template,
        } = acceptable;
        let draft = Draft {
            to: &to,
            user,
            kind: content.kind(),
            text: content.text(),
            callback_data: self.crqid.as_deref(),
            status_url: None,
            category,
            free_form: !matches!(content, Content::Template(_)),
            voice: false,
            sent_only: false,
            queued_first: false,
            later: Duration::ZERO,
        };
        let message = self.hub.out_message(self.number, &draft, fault);
        self.note(outgoing, &message, &draft, fault);
        self.hub.accept(&message, &draft, fault, |shown| {
            shown.fill(&content, template.as_ref());
        });
        message
    }

    /// Writes the message into the log, and posts the events that are no reports.
    fn note(
        &self,
        outgoing: &Outgoing,
        message: &OutMessage,
        draft: &Draft<'_>,
        fault: Option<&Fault>,
    ) {
        let word = |at: &str| outgoing.meta.pointer(at).and_then(Value::as_str);
        let template = word("/template/name")
            .zip(word("/template/language/code"))
            .map(|(name, language)| (name.to_owned(), language.to_owned()));
        let price = if message.pricing == "regular" {
            PRICE
        } else {
            "0"
        };
        let entry = Entry {
            uuid: Arc::clone(&message.wamid),
            request_id: Arc::clone(&self.request_id),
            crqid: self.crqid.clone(),
            customer: outgoing.to.clone(),
            kind: draft.kind,
            template,
            requested_at: self.hub.now_ms() / 1000,
            price,
            progress: Progress::default(),
        };
        let config = &self.line.config;
        if !matches!(fault, Some(Fault::Swallow)) {
            let sent = entry.sent_message();
            if config.request_events {
                let content = outgoing.content.as_ref();
                let content = content.unwrap_or_else(|| &outgoing.meta[draft.kind]);
                let fields = hooks::requested(config, &sent, content);
                self.post(fields, message, Duration::ZERO);
            }
            if config.echoes && message.fail.is_none() {
                let delay = self
                    .hub
                    .config
                    .timing
                    .sent
                    .map_or(Duration::ZERO, |d| d.max);
                self.post(hooks::echo(config, &sent, draft.text), message, delay);
            }
        }
        crate::state::lock(&self.line.log).add(entry);
    }

    fn post(&self, fields: hooks::Fields, message: &OutMessage, delay: Duration) {
        let about = About {
            kind: Some(WebhookKind::Other),
            ids: vec![Arc::clone(&message.wamid)],
            ..About::default()
        };
        let parcel = self.line.parcel(fields, self.line.config.form);
        self.hub.send_webhook(self.number, parcel, about, delay);
    }
}
