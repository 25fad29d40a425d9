//! MSG91's endpoints.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::Msg91Line;
use super::answers::{Refusal, done};
use super::{listing, time, wire};
use crate::answer::{Abort, Answer};
use crate::hub::Hub;
use crate::meta::errors::GraphError;
use crate::server::param;
use crate::state::{Number, lock};

/// Longest span of the log, in days.
const LOG_DAYS: u64 = 3;
/// Most entries of one answer of the log.
const LOG_LIMIT: usize = 1000;

/// A call, taken apart.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) body: Bytes,
}

/// Whether a path is one of MSG91's, its addresses of media among them.
pub(crate) fn claims(path: &str) -> bool {
    path.starts_with("/api/v5/") || path.starts_with("/whatsapp/")
}

pub(crate) fn json_answer(status: u16, value: &Value) -> Answer {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    Answer::plain(status, "application/json", bytes)
}

pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let (status, body) = refusal.answer();
    json_answer(status, &body)
}

fn has_key(number: &Number, key: &str) -> bool {
    let line = number.msg91();
    line.is_some_and(|line| line.config.authkey == key)
}

/// The numbers of a key.
fn numbers(hub: &Hub, key: &str) -> Vec<Arc<Number>> {
    let mut all = hub.numbers();
    all.retain(|number| has_key(number, key));
    all
}

/// Serves a call that [`claims`] recognised.
pub(crate) async fn serve(hub: &Arc<Hub>, call: &Request<'_>) -> Result<Answer, Abort> {
    if let Some(rest) = call.path.strip_prefix("/whatsapp/") {
        return Ok(media(hub, call.method, rest));
    }
    let known = hub.find_number(|number| has_key(number, call.key));
    if call.key.is_empty() || known.is_none() {
        return Ok(refused(&Refusal::Key));
    }
    let limit = hub.config.limits.per_minute;
    if !hub.msg91.take(call.key, limit, hub.now_ms()) {
        hub.ledger.refuse();
        return Ok(refused(&Refusal::TooMany));
    }
    let path = call
        .path
        .trim_start_matches("/api/v5/")
        .trim_end_matches('/');
    let sends = match (call.method.as_str(), path) {
        ("POST", "whatsapp/whatsapp-outbound-message") => wire::session(&call.body),
        ("POST", "whatsapp/whatsapp-outbound-message/bulk") => wire::bulk(&call.body),
        _ => return Ok(manage(hub, call, path, &numbers(hub, call.key))),
    };
    let found = sends.and_then(|sends| {
        let number = hub.number(&sends.number);
        let number = number.filter(|number| has_key(number, call.key));
        Ok((number.ok_or(Refusal::Number)?, sends))
    });
    match found {
        Ok((number, sends)) => super::send::send(hub, &number, &sends).await,
        Err(refusal) => {
            hub.ledger.refuse();
            Ok(refused(&refusal))
        }
    }
}

/// `{number}/{secret}/{id}.{extension}`.
fn media(hub: &Hub, method: &Method, rest: &str) -> Answer {
    let mut parts = rest.split('/').skip(1);
    let (hash, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let id = name.split('.').next().unwrap_or("");
    if *method == Method::GET {
        hub.media_download(id, hash)
    } else {
        Answer::plain(405, "text/html", "")
    }
}

fn line_of<'n>(numbers: &'n [Arc<Number>], wanted: &str) -> Option<&'n Msg91Line> {
    let number = numbers.iter().find(|n| n.id() == wanted)?;
    number.msg91()
}

fn manage(hub: &Arc<Hub>, call: &Request<'_>, path: &str, numbers: &[Arc<Number>]) -> Answer {
    match (call.method.as_str(), path) {
        ("GET", "whatsapp/whatsapp-activation") => {
            let list: Vec<Value> = numbers
                .iter()
                .map(|n| json!({ "integrated_number": n.id(), "status": "ACTIVE" }))
                .collect();
            json_answer(200, &done(json!(list)))
        }
        ("POST", "whatsapp/client-panel-template") => match create(hub, &call.body, numbers) {
            Ok(()) => json_answer(200, &done(json!({ "message": "Template submitted" }))),
            Err(refusal) => refused(&refusal),
        },
        ("POST", "report/logs/wa") => match log(call.query, numbers) {
            Ok(value) => json_answer(200, &value),
            Err(refusal) => refused(&refusal),
        },
        ("GET", path) if path.starts_with("whatsapp/get-template-client/") => {
            let wanted = path.trim_start_matches("whatsapp/get-template-client/");
            let Some(line) = line_of(numbers, wanted) else {
                return refused(&Refusal::Number);
            };
            let all: Vec<Value> = lock(&line.meta.waba.templates)
                .iter()
                .map(|stored| stored.body.clone())
                .collect();
            let list = listing::list(&all);
            if line.config.bare_lists {
                json_answer(200, &list)
            } else {
                json_answer(200, &done(list))
            }
        }
        _ => Answer::plain(404, "text/html", "<html><body>404 Not Found</body></html>"),
    }
}

fn create(hub: &Arc<Hub>, body: &[u8], numbers: &[Arc<Number>]) -> Result<(), Refusal> {
    let (wanted, request) = listing::creation(body)?;
    let line = line_of(numbers, &wanted).ok_or(Refusal::Number)?;
    let waba = &line.meta.waba;
    let created = lock(&waba.templates).create(&request, &hub.rng);
    let (id, _) = created.map_err(|error| Refusal::Text(words(&error)))?;
    hub.order_review(waba, &id);
    Ok(())
}

/// What people read of an error of Meta's.
fn words(error: &GraphError) -> String {
    let text = error.user.as_ref().map(|user| user.1.as_ref());
    text.or(error.details.as_deref())
        .unwrap_or(&error.message)
        .to_owned()
}

fn log(query: &str, numbers: &[Arc<Number>]) -> Result<Value, Refusal> {
    let date = |name: &'static str, field: &'static str| {
        let text = param(query, name).ok_or(Refusal::missing(field))?;
        time::day(&text).ok_or(Refusal::Field(field, "must be YYYY-MM-DD"))
    };
    let from = date("startDate", "start_date")?;
    let to = date("endDate", "end_date")?;
    if to < from || to - from >= LOG_DAYS {
        return Err(Refusal::Field("end_date", "must be within 3 days"));
    }
    let limit = param(query, "limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(LOG_LIMIT)
        .min(LOG_LIMIT);
    let (mut data, mut total) = (Vec::new(), 0_usize);
    for number in numbers {
        let Some(line) = number.msg91() else { continue };
        for entry in lock(&line.log).days(from, to) {
            total += 1;
            if data.len() < limit {
                data.push(entry.json(number.id()));
            }
        }
    }
    Ok(json!({ "data": data, "metadata": { "totalCount": total } }))
}
