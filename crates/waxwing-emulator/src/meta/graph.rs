//! The rest of the Graph API: numbers, accounts, subscriptions, templates, media.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Map, Value, json};

use crate::answer::{Abort, Answer};
use crate::hub::Hub;
use crate::meta::errors::GraphError;
use crate::meta::{MetaLine, Waba};
use crate::server::Call;
use crate::state::{Number, lock, read, write};
use crate::webhook::handshake;

pub(crate) const APP_ID: &str = "634974688087057";
const BUSINESS_ID: &str = "506914307656634";

fn has_token(number: &Number, token: &str) -> bool {
    number
        .meta()
        .is_some_and(|line| line.config.access_token == token)
}

impl Hub {
    /// Numbers of an account.
    pub(crate) fn numbers_of(&self, waba: &str) -> Vec<Arc<Number>> {
        let of = |number: &Arc<Number>| number.meta().is_some_and(|line| line.waba.id == waba);
        self.numbers().into_iter().filter(of).collect()
    }

    /// Whether any number's token is this one.
    fn knows_token(&self, token: &str) -> bool {
        self.find_number(|number| has_token(number, token))
            .is_some()
    }
}

/// Serves a call whose token was read but not yet judged.
pub(crate) async fn serve(hub: &Arc<Hub>, call: &Call<'_>, token: &str) -> Result<Answer, Abort> {
    let fail = |error: &GraphError| Ok(Answer::error(hub, call.version, error));
    if !hub.knows_token(token) {
        let error = GraphError {
            subcode: None,
            message: "Invalid OAuth access token - Cannot parse access token".into(),
            ..GraphError::of(190)
        };
        return fail(&error);
    }
    if call.id == "whatsapp_business" && call.edge == "attachments" {
        let (id, hash) = (
            call.param("mid").unwrap_or_default(),
            call.param("hash").unwrap_or_default(),
        );
        return Ok(hub.media_download(&id, &hash));
    }
    if let Some(answer) = crate::meta::uploads::serve(hub, call) {
        return Ok(answer);
    }
    let verb = if *call.method == Method::POST {
        "post"
    } else {
        "get"
    };
    if let Some(number) = hub.number(call.id)
        && let Some(line) = number.meta()
    {
        if line.config.access_token != token {
            return fail(&GraphError::of(200));
        }
        return number_call(hub, call, &number, line).await;
    }
    if let Some(waba) = hub.meta.waba(call.id) {
        if !hub.numbers_of(&waba.id).iter().any(|n| has_token(n, token)) {
            return fail(&GraphError::of(200));
        }
        return Ok(waba_call(hub, call, &waba).await);
    }
    if call.edge.is_empty()
        && let Some(answer) = object_call(hub, call, token)
    {
        return Ok(answer);
    }
    if call.id.bytes().all(|b| b.is_ascii_digit()) && !call.id.is_empty() {
        fail(&GraphError::unknown_object(verb, call.id))
    } else {
        fail(&GraphError::unknown_alias(call.id))
    }
}

fn unknown_path(hub: &Hub, call: &Call<'_>) -> Answer {
    let verb = if *call.method == Method::POST {
        "post"
    } else {
        "get"
    };
    Answer::error(
        hub,
        call.version,
        &GraphError::unknown_object(verb, call.id),
    )
}

/// A JSON body, or the query of a call without one: the Graph API takes parameters from both.
fn arguments(call: &Call<'_>) -> Value {
    serde_json::from_slice(&call.body)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}))
}

async fn number_call(
    hub: &Arc<Hub>,
    call: &Call<'_>,
    number: &Arc<Number>,
    line: &MetaLine,
) -> Result<Answer, Abort> {
    let success = || Ok(Answer::success(hub, call.version));
    match (call.method.as_str(), call.edge) {
        ("POST", "messages") => {
            crate::meta::send::messages(hub, number, line, call.version, &call.body, false).await
        }
        ("POST", "marketing_messages") => {
            crate::meta::send::messages(hub, number, line, call.version, &call.body, true).await
        }
        ("POST", "media") => Ok(hub.media_upload(call.version, call.content_type, &call.body)),
        ("GET", "") => Ok(Answer::value(
            hub,
            call.version,
            &number_fields(number, line, call.param("fields").as_deref()),
        )),
        ("POST", "register") => {
            let pin = arguments(call)
                .get("pin")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned();
            if pin.len() != 6 || !pin.bytes().all(|b| b.is_ascii_digit()) {
                return Ok(Answer::error(
                    hub,
                    call.version,
                    &GraphError::invalid("Param pin must be a 6-digit number"),
                ));
            }
            if lock(&line.pin).get_or_insert_with(|| pin.clone()) != &pin {
                return Ok(Answer::error(hub, call.version, &GraphError::of(133_005)));
            }
            line.registered.store(true, Ordering::Relaxed);
            success()
        }
        ("POST", "deregister") => {
            line.registered.store(false, Ordering::Relaxed);
            success()
        }
        (
            "POST",
            "request_code"
            | "verify_code"
            | "whatsapp_business_profile"
            | "conversational_automation",
        ) => success(),
        ("GET", "whatsapp_business_profile") => {
            let value = json!({ "data": [{ "about": "", "messaging_product": "whatsapp" }] });
            Ok(Answer::value(hub, call.version, &value))
        }
        ("GET", "message_history") => Ok(message_history(hub, call)),
        ("POST", "") => {
            let arguments = arguments(call);
            let Some(config) = arguments.get("webhook_configuration") else {
                return success();
            };
            Ok(set_override(hub, call, config, &line.config.verify_token, &line.callback).await)
        }
        _ => Ok(unknown_path(hub, call)),
    }
}

/// What the ledger knows about one message, in the form of meta.md section 2.4.
fn message_history(hub: &Hub, call: &Call<'_>) -> Answer {
    let id = call.param("message_id").unwrap_or_default();
    let Some(record) = hub.ledger.send(&id) else {
        return Answer::value(hub, call.version, &json!({ "data": [] }));
    };
    let events: Vec<Value> = record
        .statuses
        .iter()
        .enumerate()
        .map(|(n, status)| json!({ "id": (n + 1).to_string(), "delivery_status": status.to_uppercase() }))
        .collect();
    let value = json!({ "data": [{ "id": "1", "message_id": id, "events": { "data": events } }] });
    Answer::value(hub, call.version, &value)
}

/// Saves a callback that replaces the app's, after the handshake that Meta performs; an empty one removes it.
async fn set_override(
    hub: &Hub,
    call: &Call<'_>,
    config: &Value,
    default_token: &str,
    slot: &std::sync::RwLock<Option<String>>,
) -> Answer {
    let url = config
        .get("override_callback_uri")
        .and_then(Value::as_str)
        .unwrap_or("");
    if url.is_empty() {
        *write(slot) = None;
        return Answer::success(hub, call.version);
    }
    if url.len() > 200 {
        return Answer::error(
            hub,
            call.version,
            &GraphError::invalid("override_callback_uri exceeds 200 characters"),
        );
    }
    let token = config
        .get("verify_token")
        .and_then(Value::as_str)
        .unwrap_or(default_token);
    match handshake(
        hub.delivery.client(),
        url,
        token,
        hub.rng.next() % 10_000_000_000,
    )
    .await
    {
        Ok(()) => {
            *write(slot) = Some(url.to_owned());
            Answer::success(hub, call.version)
        }
        Err(reason) => {
            let error = GraphError {
                code: 2200,
                message: format!("(#2200) Callback verification failed: {reason}").into(),
                details: None,
                ..GraphError::of(100)
            };
            Answer::error(hub, call.version, &error)
        }
    }
}

fn grouped(display: &str) -> String {
    // Shape of the documented examples: +1 555-078-3881.
    match display.as_bytes() {
        [b'1', rest @ ..] if rest.len() == 10 => {
            format!("+1 {}-{}-{}", &display[1..4], &display[4..7], &display[7..])
        }
        _ => format!("+{display}"),
    }
}

fn number_fields(number: &Number, line: &MetaLine, fields: Option<&str>) -> Value {
    let registered = line.registered.load(Ordering::Relaxed);
    let available = if registered { "AVAILABLE" } else { "BLOCKED" };
    let mut phone =
        json!({ "entity_type": "PHONE_NUMBER", "id": number.id(), "can_send_message": available });
    if !registered {
        phone["errors"] = json!([{
            "error_code": 141_000,
            "error_description": "The phone number is not registered.",
            "possible_solution": "Register the phone number.",
        }]);
    }
    let all = json!({
        "verified_name": line.config.verified_name,
        "display_phone_number": grouped(&line.config.display_phone_number),
        "id": number.id(),
        "quality_rating": "GREEN",
        "status": if registered { "CONNECTED" } else { "DISCONNECTED" },
        "name_status": "APPROVED",
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "whatsapp_business_manager_messaging_limit": "TIER_250",
        "throughput": { "level": "STANDARD" },
        "health_status": {
            "can_send_message": available,
            "entities": [
                phone,
                { "entity_type": "WABA", "id": line.config.waba_id, "can_send_message": "AVAILABLE" },
                { "entity_type": "BUSINESS", "id": BUSINESS_ID, "can_send_message": "AVAILABLE" },
                { "entity_type": "APP", "id": APP_ID, "can_send_message": "AVAILABLE" },
            ],
        },
    });
    let default = "verified_name,code_verification_status,display_phone_number,quality_rating,platform_type,throughput";
    pick(&all, fields.unwrap_or(default), number.id())
}

/// Keeps the fields that were asked for; the id always comes along.
fn pick(all: &Value, fields: &str, id: &str) -> Value {
    let mut out = Map::new();
    for field in fields.split(',').map(str::trim).take(64) {
        if let Some(value) = all.get(field) {
            out.insert(field.to_owned(), value.clone());
        }
    }
    out.insert("id".into(), json!(id));
    Value::Object(out)
}

async fn waba_call(hub: &Arc<Hub>, call: &Call<'_>, waba: &Arc<Waba>) -> Answer {
    match (call.method.as_str(), call.edge) {
        ("GET", "phone_numbers") => {
            let fields = call.param("fields");
            let data: Vec<Value> = hub
                .numbers_of(&waba.id)
                .iter()
                .filter_map(|number| Some(number_fields(number, number.meta()?, fields.as_deref())))
                .collect();
            let value = json!({ "data": data, "paging": { "cursors": { "before": "MAZDZD", "after": "MQZDZD" } } });
            Answer::value(hub, call.version, &value)
        }
        ("POST", "subscribed_apps") => {
            waba.subscribed.store(true, Ordering::Relaxed);
            let arguments = arguments(call);
            if arguments.get("override_callback_uri").is_none() {
                return Answer::success(hub, call.version);
            }
            let token = hub
                .numbers_of(&waba.id)
                .first()
                .and_then(|n| Some(n.meta()?.config.verify_token.clone()))
                .unwrap_or_default();
            set_override(hub, call, &arguments, &token, &waba.callback).await
        }
        ("DELETE", "subscribed_apps") => {
            waba.subscribed.store(false, Ordering::Relaxed);
            Answer::success(hub, call.version)
        }
        ("GET", "subscribed_apps") => {
            let mut app = json!({ "whatsapp_business_api_data": {
                "id": APP_ID, "name": "Waxwing", "link": format!("https://www.facebook.com/games/?app_id={APP_ID}"),
            }});
            if let Some(url) = read(&waba.callback).as_ref() {
                app["override_callback_uri"] = json!(url);
            }
            let data = if waba.subscribed.load(Ordering::Relaxed) {
                vec![app]
            } else {
                Vec::new()
            };
            Answer::value(hub, call.version, &json!({ "data": data }))
        }
        ("POST", "message_templates") => {
            let arguments = arguments(call);
            if hub.config.checks.templates
                && let Some(error) = crate::meta::uploads::unknown_handle(hub, &arguments)
            {
                return Answer::error(hub, call.version, &error);
            }
            let created = lock(&waba.templates).create(&arguments, &hub.rng);
            match created {
                Ok((id, answer)) => {
                    hub.order_review(waba, &id);
                    Answer::value(hub, call.version, &answer)
                }
                Err(error) => Answer::error(hub, call.version, &error),
            }
        }
        ("GET", "message_templates") => list_templates(hub, call, waba),
        ("DELETE", "message_templates") => {
            let name = call.param("name").unwrap_or_default();
            if lock(&waba.templates).delete(&name, call.param("hsm_id").as_deref()) == 0 {
                return Answer::error(
                    hub,
                    call.version,
                    &GraphError::invalid("Message template not found"),
                );
            }
            Answer::success(hub, call.version)
        }
        ("GET", "") => Answer::value(
            hub,
            call.version,
            &json!({ "id": waba.id, "name": "Waxwing emulator" }),
        ),
        _ => unknown_path(hub, call),
    }
}

fn list_templates(hub: &Hub, call: &Call<'_>, waba: &Waba) -> Answer {
    let fields = call
        .param("fields")
        .unwrap_or_else(|| "name,parameter_format,components,language,status,category".into());
    let limit = call
        .param("limit")
        .and_then(|l| l.parse::<usize>().ok())
        .unwrap_or(25)
        .clamp(1, 1000);
    // Cursors are opaque to callers; ours hold the position.
    let start = call
        .param("after")
        .and_then(|a| a.strip_prefix("QVFI").and_then(|n| n.parse().ok()))
        .unwrap_or(0_usize);
    let filters: Vec<(&str, String)> = ["status", "name", "category", "language"]
        .into_iter()
        .filter_map(|name| call.param(name).map(|value| (name, value)))
        .collect();
    let templates = lock(&waba.templates);
    let matching: Vec<_> = templates
        .iter()
        .filter(|t| {
            filters.iter().all(|(name, wanted)| {
                let value = t.body.get(*name).and_then(Value::as_str).unwrap_or("");
                if *name == "name" {
                    value.contains(wanted.as_str())
                } else {
                    value.eq_ignore_ascii_case(wanted)
                }
            })
        })
        .collect();
    let page: Vec<Value> = matching
        .iter()
        .skip(start)
        .take(limit)
        .map(|t| pick(&t.body, &fields, &t.id))
        .collect();
    let end = start + page.len();
    let mut paging =
        json!({ "cursors": { "before": format!("QVFI{start}"), "after": format!("QVFI{end}") } });
    if end < matching.len() {
        paging["next"] = json!(format!(
            "{}/{}/{}/message_templates?fields={fields}&limit={limit}&after=QVFI{end}",
            hub.url(),
            call.version,
            waba.id
        ));
    }
    drop(templates);
    Answer::value(
        hub,
        call.version,
        &json!({ "data": page, "paging": paging }),
    )
}

/// A media file or a template, addressed by its own id.
fn object_call(hub: &Hub, call: &Call<'_>, token: &str) -> Option<Answer> {
    let media = match call.method.as_str() {
        "GET" => hub.media_get(call.version, call.id),
        "DELETE" => hub.media_delete(call.version, call.id),
        _ => None,
    };
    if media.is_some() {
        return media;
    }
    let waba = hub
        .meta
        .wabas()
        .into_iter()
        .find(|w| lock(&w.templates).get(call.id).is_some())?;
    if !hub.numbers_of(&waba.id).iter().any(|n| has_token(n, token)) {
        return Some(Answer::error(hub, call.version, &GraphError::of(200)));
    }
    match call.method.as_str() {
        "GET" => {
            let fields = call
                .param("fields")
                .unwrap_or_else(|| "name,status,category,language,components".into());
            let store = lock(&waba.templates);
            let value = pick(&store.get(call.id)?.body, &fields, call.id);
            drop(store);
            Some(Answer::value(hub, call.version, &value))
        }
        "POST" => {
            let edited = lock(&waba.templates).edit(call.id, &arguments(call))?;
            Some(match edited {
                Ok(()) => {
                    hub.order_review(&waba, call.id);
                    Answer::success(hub, call.version)
                }
                Err(error) => Answer::error(hub, call.version, &error),
            })
        }
        _ => None,
    }
}
