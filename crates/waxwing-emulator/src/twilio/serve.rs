//! Which requests are Twilio's, and who serves them. One address stands for all of Twilio's hosts (twilio.md section 1).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method};
use serde_json::Value;

use super::account::{Account, sid};
use super::errors::Error;
use super::{content, media, messages, senders};
use crate::answer::{Abort, Answer};
use crate::hub::Hub;

/// A request, read.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) authorization: &'a str,
    pub(crate) body: &'a Bytes,
}

impl Request<'_> {
    /// Fields of a form body.
    pub(crate) fn form(&self) -> Form {
        Form(
            form_urlencoded::parse(self.body)
                .take(1000)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// Parameters of the query.
    pub(crate) fn params(&self) -> Form {
        Form(
            form_urlencoded::parse(self.query.as_bytes())
                .take(1000)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// A JSON body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }
}

/// Names and values in order.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The first value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first value of a name that is not empty.
    pub(crate) fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// A page and its size.
    pub(crate) fn page(&self, usual: usize) -> (usize, usize) {
        let number = |name| self.get(name).and_then(|n| n.parse::<usize>().ok());
        (
            number("Page").unwrap_or(0).min(1_000_000),
            number("PageSize").unwrap_or(usual).clamp(1, 1000),
        )
    }

    /// The query without the place in the list.
    pub(crate) fn without_page(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            if name != "Page" && name != "PageToken" && name != "PageSize" {
                form.append_pair(name, value);
            }
        }
        form.finish()
    }
}

/// Whether a path is one of Twilio's.
pub(crate) fn claims(path: &str) -> bool {
    const STARTS: [&str; 6] = [
        "/2010-04-01/",
        "/v1/Content",
        "/v2/Content",
        "/v2/Channels/",
        "/v2/Indicators/",
        "/v3/Indicators/",
    ];
    STARTS.iter().any(|start| path.starts_with(start)) || path.starts_with(media::CDN)
}

/// A JSON answer.
pub(crate) fn json(status: u16, value: &Value) -> Answer {
    Answer::plain(
        status,
        "application/json;charset=utf-8",
        serde_json::to_vec(value).unwrap_or_default(),
    )
}

/// Twilio's headers.
fn signed(hub: &Hub, path: &str, answer: Answer) -> Answer {
    let domain = if path.starts_with("/2010-04-01/") {
        "api.twilio.com"
    } else if path.contains("/Content") {
        "content.twilio.com"
    } else {
        "messaging.twilio.com"
    };
    answer
        .header(
            HeaderName::from_static("twilio-request-id"),
            &sid(&hub.rng, "RQ"),
        )
        .header(HeaderName::from_static("twilio-concurrent-requests"), "1")
        .header(HeaderName::from_static("x-api-domain"), domain)
}

/// Serves a request.
pub(crate) async fn serve(hub: &Arc<Hub>, request: &Request<'_>) -> Result<Answer, Abort> {
    if let Some(rest) = request.path.strip_prefix(media::CDN) {
        return Ok(media::cdn(hub, request, rest));
    }
    let answer = match hub.twilio.authenticated(request.authorization) {
        None => Ok(Error::of(20003).answer(None)),
        Some(account) => route(hub, request, &account).await,
    };
    answer.map(|answer| signed(hub, request.path, answer))
}

fn unknown(request: &Request<'_>) -> Answer {
    Error::not_found(request.path).answer(None)
}

async fn route(
    hub: &Arc<Hub>,
    request: &Request<'_>,
    account: &Arc<Account>,
) -> Result<Answer, Abort> {
    let segments: Vec<&str> = request.path.split('/').skip(1).collect();
    let rest = match segments.as_slice() {
        ["2010-04-01", "Accounts", sid, rest @ ..] if *sid == account.sid => rest,
        // Somebody else's account is not to be seen.
        ["2010-04-01", ..] => return Ok(unknown(request)),
        ["v1" | "v2", "Content" | "ContentAndApprovals", rest @ ..] => {
            return Ok(content::serve(hub, request, account, rest));
        }
        ["v2", "Channels", "Senders", rest @ ..] => {
            return Ok(senders::serve(hub, request, account, rest));
        }
        ["v2" | "v3", "Indicators", "Typing.json"] => {
            return Ok(senders::typing(hub, request, account));
        }
        _ => return Ok(unknown(request)),
    };
    match (request.method.as_str(), rest) {
        ("POST", ["Messages.json"]) => messages::create(hub, request, account).await,
        ("GET", ["Messages.json"]) => Ok(messages::list(request, account)),
        (method, ["Messages", name]) => Ok(messages::one(
            hub,
            request,
            account,
            method,
            name.trim_end_matches(".json"),
        )),
        ("GET", ["Messages", message, "Media.json"]) => Ok(media::list(request, account, message)),
        (method, ["Messages", message, "Media", name]) => {
            Ok(media::one(hub, request, account, method, message, name))
        }
        _ => Ok(unknown(request)),
    }
}
