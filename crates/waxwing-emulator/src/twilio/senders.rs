//! Senders with their webhook addresses, and the typing indicator (twilio.md sections 6 and 8).

use std::sync::Arc;

use serde_json::{Value, json};

use super::account::{Account, TwilioLine};
use super::errors::Error;
use super::messages;
use super::serve::{Request, json as answer};
use crate::answer::Answer;
use crate::hub::Hub;
use crate::state::{Number, read, write};

fn sender(line: &TwilioLine, status: &str) -> Value {
    let urls = read(&line.urls).clone();
    json!({
        "sid": line.config.sender_sid,
        "status": status,
        "sender_id": line.address,
        "configuration": {
            "waba_id": "123456789012345",
            "verification_method": "sms",
            "verification_code": null,
            "voice_application_sid": null,
            "account_type": null,
        },
        "webhook": {
            "callback_url": urls.webhook,
            "callback_method": "POST",
            "fallback_url": urls.fallback,
            "fallback_method": "POST",
            "status_callback_url": urls.status,
            "status_callback_method": "POST",
        },
        "profile": {
            "about": "",
            "address": "",
            "description": "",
            "emails": [],
            "logo_url": null,
            "name": line.config.name,
            "vertical": "Other",
            "websites": [],
        },
        "properties": { "quality_rating": "HIGH", "messaging_limit": "2K Customers/24hr" },
        "offline_reasons": null,
    })
}

fn of_account(account: &Account) -> impl Fn(&Number) -> bool {
    |number| {
        number
            .twilio()
            .is_some_and(|line| line.account.sid == account.sid)
    }
}

/// Serves `/v2/Channels/Senders…`.
pub(crate) fn serve(
    hub: &Hub,
    request: &Request<'_>,
    account: &Arc<Account>,
    rest: &[&str],
) -> Answer {
    let gone = || Error::not_found(request.path).answer(None);
    let found = rest.first().and_then(|sid| {
        hub.find_number(|number| {
            of_account(account)(number)
                && number
                    .twilio()
                    .is_some_and(|line| line.config.sender_sid == *sid)
        })
    });
    let line = found.as_ref().and_then(|number| number.twilio());
    match (request.method.as_str(), rest, line) {
        ("GET", [], _) => list(hub, request, account),
        ("GET", [_], Some(line)) => answer(200, &sender(line, "ONLINE")),
        ("POST", [_], Some(line)) => {
            let body = request.json();
            let webhook = &body["webhook"];
            let mut urls = write(&line.urls);
            for (name, slot) in [
                ("callback_url", 0),
                ("fallback_url", 1),
                ("status_callback_url", 2),
            ] {
                let Some(url) = webhook.get(name) else {
                    continue;
                };
                let url = url.as_str().filter(|url| !url.is_empty());
                if url.is_some_and(|url| url.len() > 2048 || reqwest::Url::parse(url).is_err()) {
                    return Error::of(20422).answer(None);
                }
                let url = url.map(str::to_owned);
                match slot {
                    0 => urls.webhook = url,
                    1 => urls.fallback = url,
                    _ => urls.status = url,
                }
            }
            drop(urls);
            answer(202, &sender(line, "ONLINE:UPDATING"))
        }
        _ => gone(),
    }
}

fn list(hub: &Hub, request: &Request<'_>, account: &Account) -> Answer {
    let params = request.params();
    // Twilio asks for the channel; nothing but WhatsApp is here.
    let wanted = params.some("Channel").unwrap_or("whatsapp") == "whatsapp";
    let all: Vec<Value> = hub
        .numbers()
        .iter()
        .filter(|number| wanted && of_account(account)(number))
        .filter_map(|number| Some(sender(number.twilio()?, "ONLINE")))
        .collect();
    let (page, size) = params.page(10);
    let query = params.without_page();
    let and = if query.is_empty() { "" } else { "&" };
    let url = |page: usize| {
        format!(
            "https://messaging.twilio.com{}?PageSize={size}&Page={page}{and}{query}",
            request.path
        )
    };
    let start = page.saturating_mul(size);
    let more = all.len() > start.saturating_add(size);
    let senders: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    answer(
        200,
        &json!({
            "senders": senders,
            "meta": {
                "page": page,
                "page_size": size,
                "first_page_url": url(0),
                "previous_page_url": page.checked_sub(1).map(url),
                "url": url(page),
                "next_page_url": more.then(|| url(page + 1)),
                "key": "senders",
            },
        }),
    )
}

/// `/v2/Indicators/Typing.json` as a form, `/v3/…` as JSON. It marks the message read as well.
pub(crate) fn typing(hub: &Hub, request: &Request<'_>, account: &Account) -> Answer {
    let (channel, message) = if request.path.starts_with("/v2/") {
        let form = request.form();
        (
            form.get("channel").unwrap_or("").to_owned(),
            form.get("messageId").unwrap_or("").to_owned(),
        )
    } else {
        let body = request.json();
        let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
        (text("channel"), text("messageId"))
    };
    if request.method != http::Method::POST || !channel.eq_ignore_ascii_case("whatsapp") {
        return Error::of(20422).answer(None);
    }
    if messages::read_by_business(hub, account, &message) {
        answer(200, &json!({ "success": true }))
    } else {
        Error::not_found(request.path).answer(None)
    }
}
