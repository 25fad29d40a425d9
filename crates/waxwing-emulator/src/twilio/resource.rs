//! The message records of an account: fetched, listed, redacted, deleted (twilio.md section 6).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use serde_json::{Value, json};

use crate::status::OutMessage;

/// A file of a message.
#[derive(Debug, Clone)]
pub(crate) struct MediaRef {
    pub(crate) sid: String,
    pub(crate) content_type: String,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) sid: String,
    pub(crate) inbound: bool,
    /// Absent while a messaging service has not chosen a sender.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    pub(crate) body: String,
    pub(crate) service: Option<String>,
    pub(crate) num_media: usize,
    pub(crate) status: &'static str,
    pub(crate) error: Option<i64>,
    /// Milliseconds since 1970, as the others.
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) sent: Option<u64>,
    pub(crate) media: Vec<MediaRef>,
    /// The message behind it while it can be taken back.
    pub(crate) scheduled: Option<Arc<OutMessage>>,
}

/// A moment as the Messages API writes it (RFC 2822).
pub(crate) fn rfc2822(ms: u64) -> String {
    moment(ms)
        .strftime("%a, %d %b %Y %H:%M:%S +0000")
        .to_string()
}

/// A moment as the newer APIs write it.
pub(crate) fn iso(ms: u64) -> String {
    moment(ms).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn moment(ms: u64) -> Timestamp {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Resource {
    pub(crate) fn json(&self, account: &str) -> Value {
        let path = format!("/2010-04-01/Accounts/{account}/Messages/{}", self.sid);
        let priced = !self.inbound && matches!(self.status, "delivered" | "read");
        json!({
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": rfc2822(self.created),
            "date_sent": self.sent.map(rfc2822),
            "date_updated": rfc2822(self.updated),
            "direction": if self.inbound { "inbound" } else { "outbound-api" },
            "error_code": self.error,
            "error_message": self.error.map(super::errors::message),
            "from": self.from,
            "messaging_service_sid": self.service,
            "num_media": self.num_media.to_string(),
            // A service counts them when it has chosen a sender.
            "num_segments": if self.from.is_some() { "1" } else { "0" },
            "price": priced.then_some("-0.00500"),
            "price_unit": priced.then_some("USD"),
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": { "media": format!("{path}/Media.json") },
            "tags": null,
            "to": self.to,
            "uri": format!("{path}.json"),
        })
    }
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) to: Option<String>,
    pub(crate) from: Option<String>,
    /// `DateSent`, `DateSent<` and `DateSent>`: a day, or a moment with the latter two.
    pub(crate) on: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) since: Option<String>,
}

/// First and last millisecond of a day, or a moment twice.
fn span(text: &str) -> Option<(u64, u64)> {
    if let Ok(day) = text.parse::<Date>() {
        let start = format!("{day}T00:00:00Z").parse::<Timestamp>().ok()?;
        let start = u64::try_from(start.as_millisecond()).ok()?;
        return Some((start, start + 86_400_000 - 1));
    }
    let at = text.parse::<Timestamp>().ok()?.as_millisecond();
    let at = u64::try_from(at).ok()?;
    Some((at, at))
}

impl Filter {
    fn admits(&self, message: &Resource) -> bool {
        let at = message.sent.unwrap_or(message.created);
        let named = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|w| value == Some(w))
        };
        let time = |text: &Option<String>, check: fn(u64, (u64, u64)) -> bool| {
            text.as_deref()
                .is_none_or(|t| span(t).is_some_and(|span| check(at, span)))
        };
        named(&self.to, Some(&message.to))
            && named(&self.from, message.from.as_deref())
            && time(&self.on, |at, (first, last)| (first..=last).contains(&at))
            && time(&self.until, |at, (_, last)| at <= last)
            && time(&self.since, |at, (first, _)| at >= first)
    }
}

/// Most messages that an account remembers; the oldest give way.
const KEPT: usize = 100_000;

/// The messages of an account in order of creation.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    by_sid: HashMap<String, Resource>,
    order: VecDeque<String>,
}

impl Messages {
    pub(crate) fn put(&mut self, message: Resource) {
        if self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_sid.remove(&oldest);
        }
        self.order.push_back(message.sid.clone());
        self.by_sid.insert(message.sid.clone(), message);
    }

    pub(crate) fn get(&self, sid: &str) -> Option<&Resource> {
        self.by_sid.get(sid)
    }

    pub(crate) fn get_mut(&mut self, sid: &str) -> Option<&mut Resource> {
        self.by_sid.get_mut(sid)
    }

    pub(crate) fn remove(&mut self, sid: &str) -> Option<Resource> {
        let message = self.by_sid.remove(sid)?;
        self.order.retain(|other| other != sid);
        Some(message)
    }

    /// The messages that a filter admits, newest first, from a place in the list on, and whether there are more.
    pub(crate) fn page(
        &self,
        filter: &Filter,
        start: usize,
        size: usize,
    ) -> (Vec<&Resource>, bool) {
        let mut found: Vec<&Resource> = self
            .order
            .iter()
            .rev()
            .filter_map(|sid| self.by_sid.get(sid))
            .filter(|message| filter.admits(message))
            .skip(start)
            .take(size.saturating_add(1))
            .collect();
        let more = found.len() > size;
        found.truncate(size);
        (found, more)
    }
}

#[cfg(test)]
mod tests {
    use super::{iso, rfc2822, span};

    #[test]
    fn writes_and_reads_moments() {
        assert_eq!(
            rfc2822(1_795_248_000_000),
            "Sat, 21 Nov 2026 08:00:00 +0000"
        );
        assert_eq!(iso(1_795_248_000_000), "2026-11-21T08:00:00Z");
        assert_eq!(
            span("2026-11-21"),
            Some((1_795_219_200_000, 1_795_305_599_999))
        );
        assert_eq!(
            span("2026-11-21T08:00:00Z"),
            Some((1_795_248_000_000, 1_795_248_000_000))
        );
        assert_eq!(span("yesterday"), None);
    }
}
