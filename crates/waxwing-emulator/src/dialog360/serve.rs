//! 360dialog's endpoints.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::Dialog360Line;
use super::errors::OwnError;
use super::route::Route;
use super::setting::WebhookSetting;
use super::{hook, listing};
use crate::answer::{Abort, Answer, Body};
use crate::hub::Hub;
use crate::meta::errors::GraphError;
use crate::server::param;
use crate::state::{Number, lock, read, write};

/// Header of the key.
pub(crate) const KEY: &str = "d360-api-key";
/// Version that Meta's parts are asked for; 360dialog names none.
const VERSION: &str = "v25.0";

/// A call, taken apart.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: Bytes,
}

/// Whether a call is meant for 360dialog: it has the key header, or a path that no other provider has.
pub(crate) fn claims(has_key: bool, path: &str) -> bool {
    has_key || Route::owns(path)
}

fn json_answer(status: u16, value: &Value) -> Answer {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    Answer::plain(status, "application/json", bytes)
}

/// An error of 360dialog itself.
pub(crate) fn own(hub: &Hub, error: &OwnError) -> Answer {
    Answer::plain(error.status, "application/json", error.body(&hub.rng))
}

fn short(error: &OwnError) -> Answer {
    Answer::plain(error.status, "application/json", error.short_body())
}

/// An error of Meta's, passed through.
fn metas(hub: &Hub, error: &GraphError) -> Answer {
    without_trace(Answer::error(hub, VERSION, error))
}

/// Takes Meta's headers off an answer: what 360dialog passes on of them is not known.
fn without_trace(mut answer: Answer) -> Answer {
    let headers = answer.response.headers_mut();
    for name in [
        "facebook-api-version",
        "x-fb-trace-id",
        "x-fb-request-id",
        "x-fb-rev",
    ] {
        headers.remove(name);
    }
    if let Some(kind) = headers.get_mut(CONTENT_TYPE)
        && kind.as_bytes().starts_with(b"application/json")
    {
        *kind = HeaderValue::from_static("application/json");
    }
    answer
}

/// Serves a call that [`claims`] recognised.
pub(crate) async fn serve(hub: &Arc<Hub>, call: &Request<'_>) -> Result<Answer, Abort> {
    let route = Route::of(call.method.as_str(), call.path);
    let number = hub.find_number(|number| {
        number
            .dialog360()
            .is_some_and(|line| !call.key.is_empty() && line.config.api_key == call.key)
    });
    let found = number
        .as_ref()
        .and_then(|n| n.dialog360().map(|line| (n, line)));
    let Some((number, line)) = found else {
        let error = OwnError::key();
        return Ok(match route {
            Route::WebhookGet | Route::WebhookSet => short(&error),
            _ => own(hub, &error),
        });
    };
    if route == Route::Send {
        return send(hub, number, line, &call.body).await;
    }
    Ok(manage(hub, line, call, &route))
}

async fn send(
    hub: &Arc<Hub>,
    number: &Arc<Number>,
    line: &Dialog360Line,
    body: &[u8],
) -> Result<Answer, Abort> {
    let answer = crate::meta::send::messages(hub, number, &line.meta, VERSION, body, false).await?;
    let answer = without_trace(answer);
    Ok(if line.config.short_answers {
        shortened(answer)
    } else {
        answer
    })
}

/// The answer with 201 and nothing but the message id; others stay as they are.
fn shortened(mut answer: Answer) -> Answer {
    if answer.response.status() != StatusCode::OK {
        return answer;
    }
    let Body::Full(bytes) = answer.response.body() else {
        return answer;
    };
    let id = serde_json::from_slice::<Value>(bytes)
        .ok()
        .and_then(|value| value.pointer("/messages/0/id").cloned());
    if let Some(id) = id {
        let short = serde_json::to_vec(&json!({ "messages": [{ "id": id }] }));
        *answer.response.body_mut() = Body::Full(short.unwrap_or_default().into());
        *answer.response.status_mut() = StatusCode::CREATED;
    }
    answer
}

fn manage(hub: &Arc<Hub>, line: &Dialog360Line, call: &Request<'_>, route: &Route<'_>) -> Answer {
    match *route {
        Route::Upload => without_trace(hub.media_upload(VERSION, call.content_type, &call.body)),
        Route::MediaInfo(id) => guarded(hub, line, || {
            let mut facts = hub.media_facts(id)?;
            let url = hook::foreign(facts["url"].as_str().unwrap_or(""));
            facts["url"] = json!(url);
            Some(json_answer(200, &facts))
        })
        .unwrap_or_else(|| metas(hub, &GraphError::unknown_object("get", id))),
        Route::MediaBytes => guarded(hub, line, || {
            let of = |name| param(call.query, name).unwrap_or_default();
            let answer = hub.media_download(&of("mid"), &of("hash"));
            (answer.response.status() == StatusCode::OK).then_some(answer)
        })
        .unwrap_or_else(|| Answer::plain(404, "text/html", "")),
        Route::MediaDelete(id) => hub.media_delete(VERSION, id).map_or_else(
            || metas(hub, &GraphError::unknown_object("delete", id)),
            without_trace,
        ),
        Route::WebhookGet => json_answer(200, &read(&line.setting).json()),
        Route::WebhookSet => match WebhookSetting::read(&call.body) {
            Ok(setting) => {
                let answer = json_answer(200, &setting.json());
                *write(&line.setting) = setting;
                answer
            }
            Err(reason) => short(&OwnError::new(400, reason)),
        },
        Route::TemplateList => {
            let all: Vec<Value> = lock(&line.meta.waba.templates)
                .iter()
                .map(|stored| stored.body.clone())
                .collect();
            let number = |name| param(call.query, name).and_then(|n| n.parse().ok());
            let (limit, offset) = (number("limit"), number("offset"));
            json_answer(
                200,
                &listing::page(&all, &line.config.namespace, limit, offset),
            )
        }
        Route::TemplateCreate => create_template(hub, line, &call.body),
        Route::TemplateDelete(name) => {
            if lock(&line.meta.waba.templates).delete(name, None) == 0 {
                own(hub, &OwnError::not_found())
            } else {
                json_answer(200, &json!({}))
            }
        }
        Route::Send | Route::Unknown => own(hub, &OwnError::not_found()),
    }
}

/// A media read under the guard: refused while it blocks, counted when it finds nothing.
fn guarded(
    hub: &Hub,
    line: &Dialog360Line,
    read: impl FnOnce() -> Option<Answer>,
) -> Option<Answer> {
    let now = hub.now_ms();
    if lock(&line.guard).is_blocked(now) {
        return Some(own(hub, &OwnError::blocked()));
    }
    let found = read();
    if found.is_none() {
        lock(&line.guard).failed(now);
    }
    found
}

fn create_template(hub: &Arc<Hub>, line: &Dialog360Line, body: &[u8]) -> Answer {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return own(
            hub,
            &OwnError::new(400, "The request body is not valid JSON"),
        );
    };
    let waba = &line.meta.waba;
    let mut store = lock(&waba.templates);
    match store.create(&request, &hub.rng) {
        Ok((id, _)) => {
            let body = store
                .get(&id)
                .map(|stored| listing::created(&stored.body, &line.config.namespace));
            drop(store);
            hub.order_review(waba, &id);
            json_answer(201, &body.unwrap_or_default())
        }
        Err(error) => metas(hub, &error),
    }
}
