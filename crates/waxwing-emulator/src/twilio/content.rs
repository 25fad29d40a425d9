//! The Content API: templates and interactive messages, and their approval (twilio.md section 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::account::{Account, sid};
use super::errors::Error;
use super::render;
use super::resource::iso;
use super::serve::{Request, json as answer};
use crate::answer::Answer;
use crate::hub::Hub;
use crate::state::lock;

/// Most resources of an account.
const KEPT: usize = 10_000;

/// A content resource.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) sid: String,
    name: String,
    language: String,
    pub(crate) types: Map<String, Value>,
    pub(crate) variables: Map<String, Value>,
    created: u64,
    updated: u64,
    approval: Option<Approval>,
}

/// What WhatsApp says of it.
#[derive(Debug, Clone)]
struct Approval {
    name: String,
    category: String,
    status: String,
    reason: String,
    may_change: bool,
}

impl Content {
    /// Whether it may be sent outside the customer service window.
    pub(crate) fn is_approved(&self) -> bool {
        self.approval
            .as_ref()
            .is_some_and(|approval| approval.status == "approved")
    }

    /// The code of a message with it that cannot go out at all.
    pub(crate) fn trouble(&self) -> Option<i64> {
        match self.approval.as_ref().map(|a| a.status.as_str()) {
            Some("paused") => Some(63041),
            Some("disabled") => Some(63027),
            // A code may go only to those who expect one, by an approved template.
            status
                if self.types.contains_key("whatsapp/authentication")
                    && status != Some("approved") =>
            {
                Some(63016)
            }
            _ => None,
        }
    }

    /// Category of the price.
    pub(crate) fn category(&self) -> &'static str {
        let Some(approval) = self.approval.as_ref().filter(|a| a.status == "approved") else {
            return "service";
        };
        match approval.category.as_str() {
            "MARKETING" => "marketing",
            "AUTHENTICATION" => "authentication",
            _ => "utility",
        }
    }

    fn json(&self, account: &str, links: bool) -> Value {
        let url = format!("https://content.twilio.com/v1/Content/{}", self.sid);
        let mut value = json!({
            "account_sid": account,
            "date_created": iso(self.created),
            "date_updated": iso(self.updated),
            "friendly_name": self.name,
            "language": self.language,
            "sid": self.sid,
            "types": self.types,
            "variables": self.variables,
        });
        if links {
            value["links"] = json!({
                "approval_create": format!("{url}/ApprovalRequests/whatsapp"),
                "approval_fetch": format!("{url}/ApprovalRequests"),
            });
            value["url"] = json!(url);
        } else {
            value["approval_requests"] = self.approval_json();
        }
        value
    }

    fn approval_json(&self) -> Value {
        let main = render::richest(&self.types).map_or("", |(name, _)| name);
        match &self.approval {
            None => json!({
                "name": "", "category": "", "content_type": "", "status": "unsubmitted",
                "rejection_reason": "", "allow_category_change": true,
            }),
            Some(approval) => json!({
                "name": approval.name,
                "category": approval.category,
                "content_type": main,
                "status": approval.status,
                "rejection_reason": approval.reason,
                "allow_category_change": approval.may_change,
            }),
        }
    }
}

/// The content resources of an account, in order of creation.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    made: u64,
    by_order: BTreeMap<u64, Content>,
}

impl Contents {
    pub(crate) fn get(&self, sid: &str) -> Option<&Content> {
        self.by_order.values().find(|content| content.sid == sid)
    }

    fn get_mut(&mut self, sid: &str) -> Option<&mut Content> {
        self.by_order
            .values_mut()
            .find(|content| content.sid == sid)
    }

    fn remove(&mut self, sid: &str) -> bool {
        let before = self.by_order.len();
        self.by_order.retain(|_, content| content.sid != sid);
        self.by_order.len() < before
    }
}

/// What a request sets.
struct Fields {
    name: String,
    language: String,
    types: Map<String, Value>,
    variables: Map<String, Value>,
}

fn fields(request: &Value) -> Result<Fields, Error> {
    let text = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let object = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let types = object("types");
    let language = text("language");
    if types.is_empty() || language.is_empty() {
        return Err(Error::of(20422));
    }
    for (name, value) in &types {
        render::valid(name, value)?;
    }
    Ok(Fields {
        name: text("friendly_name"),
        language,
        types,
        variables: object("variables"),
    })
}

impl Hub {
    /// Creates a content resource from a request of the API.
    pub(crate) fn create_content(
        &self,
        account: &Account,
        request: &Value,
    ) -> Result<Content, Error> {
        let fields = fields(request)?;
        let now = self.now_ms();
        let content = Content {
            sid: sid(&self.rng, "HX"),
            name: fields.name,
            language: fields.language,
            types: fields.types,
            variables: fields.variables,
            created: now,
            updated: now,
            approval: None,
        };
        let mut contents = lock(&account.contents);
        if contents.by_order.len() >= KEPT {
            return Err(Error::of(20422));
        }
        contents.made += 1;
        let place = contents.made;
        contents.by_order.insert(place, content.clone());
        drop(contents);
        Ok(content)
    }

    /// Asks for approval of a content resource; it is `received`, then `pending`, then approved, or rejected when
    /// `reject` is in its name.
    fn submit_content(
        &self,
        account: &Arc<Account>,
        sid: &str,
        request: &Value,
    ) -> Option<Result<Value, Error>> {
        let mut contents = lock(&account.contents);
        let content = contents.get_mut(sid)?;
        let name = request["name"].as_str().unwrap_or("").to_owned();
        let category = request["category"].as_str().unwrap_or("").to_owned();
        let named = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let known = ["UTILITY", "MARKETING", "AUTHENTICATION"].contains(&category.as_str());
        if !named || !known || content.types.contains_key("twilio/list-picker") {
            return Some(Err(Error::of(20422)));
        }
        content.approval = Some(Approval {
            name,
            category,
            status: "received".into(),
            reason: String::new(),
            may_change: request["allow_category_change"].as_bool().unwrap_or(true),
        });
        let value = content.approval_json();
        drop(contents);
        let review = self.config.template_review;
        for (delay, from) in [(review / 2, "received"), (review, "pending")] {
            let (account, sid) = (Arc::clone(account), sid.to_owned());
            self.later(delay, move |_| review_step(&account, &sid, from));
        }
        Some(Ok(value))
    }

    /// Sets what WhatsApp says of a content resource; false when it is not known.
    pub(crate) fn set_content_status(&self, account: &Account, sid: &str, status: &str) -> bool {
        let mut contents = lock(&account.contents);
        let Some(content) = contents.get_mut(sid) else {
            return false;
        };
        let name = content.name.clone();
        let approval = content.approval.get_or_insert_with(|| Approval {
            name,
            category: "UTILITY".into(),
            status: String::new(),
            reason: String::new(),
            may_change: true,
        });
        status.clone_into(&mut approval.status);
        true
    }
}

fn review_step(account: &Account, sid: &str, from: &str) {
    let mut contents = lock(&account.contents);
    let Some(approval) = contents
        .get_mut(sid)
        .and_then(|content| content.approval.as_mut())
        .filter(|approval| approval.status == from)
    else {
        return;
    };
    if from == "received" {
        approval.status = "pending".into();
    } else if approval.name.contains("reject") {
        approval.status = "rejected".into();
        approval.reason = "INVALID_FORMAT: parameters must not stand at the start or end".into();
    } else {
        approval.status = "approved".into();
    }
}

/// Serves `/v1/Content…` and `/v2/Content…`.
pub(crate) fn serve(
    hub: &Hub,
    request: &Request<'_>,
    account: &Arc<Account>,
    rest: &[&str],
) -> Answer {
    let gone = || Error::not_found(request.path).answer(None);
    match (request.method.as_str(), rest) {
        ("POST", []) => match hub.create_content(account, &request.json()) {
            Ok(content) => answer(201, &content.json(&account.sid, true)),
            Err(error) => error.answer(None),
        },
        ("GET", []) => list(request, account),
        ("GET", [sid]) => match lock(&account.contents).get(sid) {
            Some(content) => answer(200, &content.json(&account.sid, true)),
            None => gone(),
        },
        ("PUT", [sid]) => update(hub, request, account, sid),
        ("DELETE", [sid]) => {
            if lock(&account.contents).remove(sid) {
                Answer::plain(204, "", "")
            } else {
                gone()
            }
        }
        ("POST", [sid, "ApprovalRequests", "whatsapp"]) => {
            match hub.submit_content(account, sid, &request.json()) {
                Some(Ok(value)) => answer(201, &value),
                Some(Err(error)) => error.answer(None),
                None => gone(),
            }
        }
        ("GET", [sid, "ApprovalRequests"]) => match lock(&account.contents).get(sid) {
            Some(content) => {
                let mut approval = content.approval_json();
                approval["type"] = json!("whatsapp");
                let url = format!("https://content.twilio.com{}", request.path);
                let value = json!({
                    "sid": sid, "account_sid": account.sid, "whatsapp": approval, "url": url,
                });
                answer(200, &value)
            }
            None => gone(),
        },
        _ => gone(),
    }
}

fn update(hub: &Hub, request: &Request<'_>, account: &Account, sid: &str) -> Answer {
    let read = fields(&request.json());
    let mut contents = lock(&account.contents);
    let Some(content) = contents.get_mut(sid) else {
        return Error::not_found(request.path).answer(None);
    };
    let fields = match read {
        Ok(read) => read,
        Err(error) => return error.answer(None),
    };
    content.name = fields.name;
    content.language = fields.language;
    content.types = fields.types;
    content.variables = fields.variables;
    content.updated = hub.now_ms();
    // What was changed has to be looked at again.
    content.approval = None;
    answer(200, &content.json(&account.sid, true))
}

fn list(request: &Request<'_>, account: &Account) -> Answer {
    let params = request.params();
    let (page, size) = params.page(50);
    let with_approvals = request.path.ends_with("ContentAndApprovals");
    let contents = lock(&account.contents);
    let all = contents.by_order.len();
    let start = page.saturating_mul(size);
    let found: Vec<Value> = contents
        .by_order
        .values()
        .skip(start)
        .take(size)
        .map(|content| content.json(&account.sid, !with_approvals))
        .collect();
    drop(contents);
    // The pages are named by Twilio's own host, as it does.
    let url = |page: usize| {
        format!(
            "https://content.twilio.com{}?PageSize={size}&Page={page}",
            request.path
        )
    };
    let more = start.saturating_add(found.len()) < all;
    answer(
        200,
        &json!({
            "contents": found,
            "meta": {
                "page": page,
                "page_size": size,
                "first_page_url": url(0),
                "previous_page_url": page.checked_sub(1).map(url),
                "url": url(page),
                "next_page_url": more.then(|| url(page + 1)),
                "key": "contents",
            },
        }),
    )
}
