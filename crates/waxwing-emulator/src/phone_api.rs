//! The phone over HTTP: one page and the calls it makes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::config::User;
use crate::hub::Hub;
use crate::ids::{digits, is_user_id};
use crate::phone::{Phone, PhoneError};
use crate::provider::Registration;
use crate::server::param;
use crate::state::{Number, UserState, lock, read};

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/phone.js");
const STYLE: &str = include_str!("page/phone.css");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// Longest wait of a poll.
const MAX_WAIT: u64 = 30;

/// Whether a changing call comes from our own page or a program: no browser sends JSON here from another site.
pub(crate) fn trusted(method: &Method, fetch_site: &str, content_type: &str) -> bool {
    method != Method::POST
        || (matches!(fetch_site, "" | "same-origin" | "none")
            && content_type.starts_with("application/json"))
}

fn page(content_type: &'static str, body: &'static str) -> Answer {
    hardened(Answer::plain(200, content_type, body))
}

fn hardened(answer: Answer) -> Answer {
    answer
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(REFERRER_POLICY, "no-referrer")
        .header(CACHE_CONTROL, "no-store")
        .header(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        )
}

fn value(status: u16, value: &Value) -> Answer {
    hardened(Answer::plain(
        status,
        "application/json",
        serde_json::to_vec(value).unwrap_or_default(),
    ))
}

fn error(status: u16, reason: &str) -> Answer {
    value(status, &json!({ "error": reason }))
}

/// Serves everything below `/phone`.
pub(crate) async fn serve(
    hub: &Arc<Hub>,
    method: &Method,
    path: &str,
    query: &str,
    trusted: bool,
    body: &Bytes,
) -> Answer {
    if !trusted {
        return error(
            403,
            "this call must be JSON from the phone page or a program",
        );
    }
    match (method.as_str(), path) {
        ("GET", "/") => Answer::plain(302, "", "").header(LOCATION, "/phone"),
        ("GET", "/phone" | "/phone/") => page("text/html; charset=utf-8", PAGE),
        ("GET", "/phone/phone.js") => page("text/javascript; charset=utf-8", SCRIPT),
        ("GET", "/phone/phone.css") => page("text/css; charset=utf-8", STYLE),
        ("GET", "/phone/api/numbers") => value(200, &numbers(hub)),
        ("POST", "/phone/api/numbers") => register(hub, body),
        ("POST", "/phone/api/signup") => sign_up(hub, body),
        ("GET", "/phone/api/thread") => thread(hub, query).await,
        (
            "POST",
            "/phone/api/say"
            | "/phone/api/tap"
            | "/phone/api/pick"
            | "/phone/api/location"
            | "/phone/api/media",
        ) => act(hub, path, body),
        _ => error(404, "not found"),
    }
}

/// What a browser gets from Meta's window of Embedded Signup.
fn sign_up(hub: &Hub, body: &Bytes) -> Answer {
    #[derive(Deserialize)]
    struct Wanted {
        number: String,
    }
    let Ok(wanted) = serde_json::from_slice::<Wanted>(body) else {
        return error(400, "give the number's id as `number`");
    };
    match hub.sign_up(&wanted.number) {
        Some(signup) => value(200, &json!({ "code": signup.code, "event": signup.event })),
        None => error(404, "there is no such number of Meta's"),
    }
}

fn key(user: &User) -> String {
    user.wa_id
        .clone()
        .or_else(|| user.user_id.clone())
        .unwrap_or_default()
}

fn contact(state: &UserState) -> Value {
    let user = read(&state.user).clone();
    let inner = lock(&state.inner);
    let last = inner
        .thread
        .back()
        .map(|m| (m.text.chars().take(80).collect::<String>(), m.at));
    drop(inner);
    json!({
        "user": key(&user), "name": user.name, "phone": user.wa_id, "user_id": user.user_id,
        "last": last.as_ref().map(|l| &l.0), "at": last.as_ref().map(|l| l.1),
    })
}

/// Most contacts in one answer.
const MAX_LISTED: usize = 200;

fn numbers(hub: &Hub) -> Value {
    let list: Vec<Value> = hub
        .numbers()
        .iter()
        .map(|number| {
            json!({
                "id": number.id(),
                "provider": number.provider(),
                "name": number.wire().name(),
                "display": number.wire().display(),
                "users": number.users().iter().rev().take(MAX_LISTED).map(|user| contact(user)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "numbers": list })
}

/// Adds a number, or replaces the one with the same id.
fn register(hub: &Hub, body: &[u8]) -> Answer {
    match serde_json::from_slice::<Registration>(body) {
        Ok(registration) => {
            let number = hub.add_number(registration);
            value(
                200,
                &json!({ "id": number.id(), "provider": number.provider() }),
            )
        }
        // Serde's reason may repeat values of the request, and they may be secrets.
        Err(_) => error(
            422,
            "the body must be a number's configuration with its provider",
        ),
    }
}

/// A user as the page or a program names it: digits of a phone or a business-scoped id.
fn named(hub: &Hub, number: &Number, name: &str, profile: Option<&str>) -> Option<Arc<UserState>> {
    let profile = profile.unwrap_or("").chars().take(80).collect::<String>();
    let user = if is_user_id(name) {
        User::with_user_id(name, profile)
    } else {
        let digits = digits(name);
        if !(5..=20).contains(&digits.len()) || digits == number.wire().display() {
            return None;
        }
        User::with_phone(digits, profile)
    };
    number.add_user(&user, hub.config.max_users)
}

/// Bubbles changed since a revision; with `wait` the answer waits for a change.
async fn thread(hub: &Arc<Hub>, query: &str) -> Answer {
    let Some(number) = param(query, "number").and_then(|id| hub.number(&id)) else {
        return error(404, "the number is not known");
    };
    let user = param(query, "user").unwrap_or_default();
    let Some(user) = number.user(&user).or_else(|| number.user(&digits(&user))) else {
        return value(200, &json!({ "rev": 0, "messages": [] }));
    };
    let after = param(query, "after")
        .and_then(|a| a.parse().ok())
        .unwrap_or(0_u64);
    let wait = param(query, "wait")
        .and_then(|w| w.parse().ok())
        .unwrap_or(0_u64)
        .min(MAX_WAIT);
    let mut changes = user.watch();
    if wait > 0 {
        let newer = changes.wait_for(|rev| *rev > after);
        // Nothing new in time is an answer too.
        let _ = tokio::time::timeout(Duration::from_secs(wait), newer).await;
    }
    let (rev, messages) = user.since(after);
    value(200, &json!({ "rev": rev, "messages": messages }))
}

#[derive(Deserialize)]
struct Act {
    number: String,
    user: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    latitude: Option<f64>,
    #[serde(default)]
    longitude: Option<f64>,
    #[serde(default)]
    address: Option<String>,
    /// Type of a file, and its bytes in base64.
    #[serde(default)]
    mime: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

impl Act {
    /// A place; `text` names it.
    fn place(&self, phone: &Phone) -> Result<String, &'static str> {
        let within = |value: Option<f64>, limit: f64| value.filter(|v| v.abs() <= limit);
        let (Some(latitude), Some(longitude)) =
            (within(self.latitude, 90.0), within(self.longitude, 180.0))
        else {
            return Err("latitude and longitude must be degrees");
        };
        let name = self.text.as_deref().filter(|t| !t.is_empty());
        let address = self.address.as_deref().filter(|t| !t.is_empty());
        Ok(phone.send_location(latitude, longitude, name, address))
    }

    /// A file; `text` is its caption.
    fn file(&self, phone: &Phone) -> Result<String, &'static str> {
        let mime = self.mime.as_deref().unwrap_or("");
        let bytes = STANDARD.decode(self.data.as_deref().unwrap_or(""));
        let plain = mime.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let family = mime.split_once('/').filter(|_| plain && mime.len() <= 100);
        let (Some((family, _)), Ok(bytes)) = (family, bytes) else {
            return Err("a file needs mime and data in base64");
        };
        let kind = match family {
            _ if mime == "image/webp" => "sticker",
            "image" => "image",
            "video" => "video",
            "audio" => "audio",
            _ => "document",
        };
        let caption = self.text.as_deref().filter(|t| !t.is_empty());
        let caption = caption.filter(|_| !matches!(kind, "audio" | "sticker"));
        phone
            .send_media(kind, mime, bytes.into(), caption)
            .map_err(|_| "the file is larger than the memory given to media")
    }
}

fn act(hub: &Arc<Hub>, path: &str, body: &[u8]) -> Answer {
    let Ok(act) = serde_json::from_slice::<Act>(body) else {
        return error(400, "the body needs number and user");
    };
    let Some(number) = hub.number(&act.number) else {
        return error(404, "the number is not known");
    };
    let Some(user) = named(hub, &number, &act.user, act.name.as_deref()) else {
        return error(
            422,
            "user must be a phone of 5 to 20 digits, not the business's own, or a business-scoped id",
        );
    };
    let phone = Phone::new(Arc::clone(hub), number, user);
    let sent = match path {
        "/phone/api/location" => Some(act.place(&phone)),
        "/phone/api/media" => Some(act.file(&phone)),
        _ => None,
    };
    match sent {
        Some(Ok(id)) => return value(200, &json!({ "id": id })),
        Some(Err(reason)) => return error(422, reason),
        None => {}
    }
    let id = act.id.as_deref().unwrap_or("");
    let done = match (path, &act.message, act.text.as_deref().unwrap_or("")) {
        ("/phone/api/say", None, "") => return error(422, "text must not be empty"),
        ("/phone/api/say", None, text) => Ok(phone.say(text)),
        ("/phone/api/say", Some(message), text) => Ok(phone.reply(message, text)),
        ("/phone/api/tap", Some(message), _) => phone.tap_on(message, id),
        ("/phone/api/tap", None, _) => phone.tap(id),
        (_, Some(message), _) => phone.pick_on(message, id),
        (_, None, _) => phone.pick(id),
    };
    match done {
        Ok(id) => value(200, &json!({ "id": id })),
        Err(PhoneError::NotShown) => error(404, "no message shows this id"),
        Err(_) => error(422, "the content cannot be sent"),
    }
}
