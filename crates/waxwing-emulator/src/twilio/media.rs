//! Files of messages: listed and deleted by the API, fetched through a redirect to another host (twilio.md section 6).

use http::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};

use super::account::Account;
use super::errors::Error;
use super::resource::{MediaRef, Resource, rfc2822};
use super::serve::{Request, json as answer};
use crate::answer::Answer;
use crate::hub::Hub;
use crate::state::lock;

/// Stands for the host under `twiliocdn.com`.
pub(crate) const CDN: &str = "/twilio-cdn/";

fn resource(account: &Account, message: &Resource, media: &MediaRef) -> Value {
    json!({
        "account_sid": account.sid,
        "content_type": media.content_type,
        "date_created": rfc2822(message.created),
        "date_updated": rfc2822(message.updated),
        "parent_sid": message.sid,
        "sid": media.sid,
        "uri": format!(
            "/2010-04-01/Accounts/{}/Messages/{}/Media/{}.json",
            account.sid, message.sid, media.sid
        ),
    })
}

/// The files of a message.
pub(crate) fn list(request: &Request<'_>, account: &Account, message: &str) -> Answer {
    let messages = lock(&account.messages);
    let Some(message) = messages.get(message) else {
        return Error::not_found(request.path).answer(None);
    };
    let list: Vec<Value> = message
        .media
        .iter()
        .map(|media| resource(account, message, media))
        .collect();
    let first = format!("{}?PageSize=50&Page=0", request.path);
    answer(
        200,
        &json!({
            "end": list.len().saturating_sub(1),
            "first_page_uri": first,
            "media_list": list,
            "next_page_uri": null,
            "page": 0,
            "page_size": 50,
            "previous_page_uri": null,
            "start": 0,
            "uri": first,
        }),
    )
}

/// One file: its record with `.json`, else the bytes by a redirect.
pub(crate) fn one(
    hub: &Hub,
    request: &Request<'_>,
    account: &Account,
    method: &str,
    message: &str,
    name: &str,
) -> Answer {
    let gone = || Error::not_found(request.path).answer(None);
    let sid = name.trim_end_matches(".json");
    let mut messages = lock(&account.messages);
    let Some(message) = messages.get_mut(message) else {
        return gone();
    };
    let Some(place) = message.media.iter().position(|media| media.sid == sid) else {
        return gone();
    };
    match method {
        "DELETE" => {
            message.media.remove(place);
            drop(messages);
            lock(&hub.media).remove(sid);
            Answer::plain(204, "", "")
        }
        "GET" if name.ends_with(".json") => {
            answer(200, &resource(account, message, &message.media[place]))
        }
        "GET" => {
            drop(messages);
            let Some((key, _)) = hub.media_secret(sid, hub.config.media_url_life) else {
                return gone();
            };
            let url = format!("{}{CDN}{}/{sid}?sig={key}", hub.url(), account.sid);
            Answer::plain(307, "application/xml", "").header(LOCATION, &url)
        }
        _ => gone(),
    }
}

/// The other host: the address alone admits, and credentials beside it are refused, as object stores do.
pub(crate) fn cdn(hub: &Hub, request: &Request<'_>, rest: &str) -> Answer {
    let refuse = |status, text: &'static str| Answer::plain(status, "application/xml", text);
    if !request.authorization.is_empty() {
        return refuse(
            400,
            "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>",
        );
    }
    let Some((_, sid)) = rest.split_once('/') else {
        return refuse(404, "<Error><Code>NoSuchKey</Code></Error>");
    };
    let params = request.params();
    let answer = hub.media_download(sid, params.get("sig").unwrap_or(""));
    if answer.response.status() == 200 {
        return answer;
    }
    refuse(403, "<Error><Code>AccessDenied</Code></Error>").header(CONTENT_TYPE, "application/xml")
}
