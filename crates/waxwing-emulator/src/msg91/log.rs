//! What a number sent: for reports, and for the log that the API shows (msg91.md section 5).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::hooks::SentMessage;
use super::time;
use crate::status::Stage;

/// Most messages kept; older ones give way, and their reports are no longer sent.
const KEPT: usize = 100_000;

/// One sent message.
#[derive(Debug)]
pub(crate) struct Entry {
    /// WhatsApp's id.
    pub(crate) uuid: Arc<str>,
    pub(crate) request_id: Arc<str>,
    pub(crate) crqid: Option<Arc<str>>,
    pub(crate) customer: String,
    pub(crate) kind: &'static str,
    /// Name and language.
    pub(crate) template: Option<(String, String)>,
    /// When the call was taken, in seconds.
    pub(crate) requested_at: u64,
    pub(crate) price: &'static str,
    pub(crate) progress: Progress,
}

/// How far a message came. Times are in seconds.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    status: Option<&'static str>,
    reason: Option<String>,
    sent_at: Option<u64>,
    delivered_at: Option<u64>,
    read_at: Option<u64>,
}

impl Entry {
    /// The message as webhooks tell it.
    pub(crate) fn sent_message(&self) -> SentMessage<'_> {
        SentMessage {
            customer: &self.customer,
            crqid: self.crqid.as_deref().unwrap_or(""),
            request_id: &self.request_id,
            uuid: &self.uuid,
            kind: self.kind,
            template: self
                .template
                .as_ref()
                .map(|(n, l)| (n.as_str(), l.as_str())),
            requested_at: self.requested_at,
        }
    }

    /// The message as the log shows it.
    pub(crate) fn json(&self, number: &str) -> Value {
        let at = |time: Option<u64>| time.map(time::plain);
        let progress = &self.progress;
        json!({
            "uuid": &*self.uuid,
            "requestId": &*self.request_id,
            "CRQID": self.crqid.as_deref().unwrap_or(""),
            "customerNumber": self.customer,
            "integratedNumber": number,
            "direction": "outbound",
            "status": progress.status.unwrap_or("submitted"),
            "messageType": self.kind,
            "templateName": self.template.as_ref().map_or("", |(name, _)| name.as_str()),
            "sentTime": at(progress.sent_at),
            "deliveryTime": at(progress.delivered_at),
            "readTime": at(progress.read_at),
            "price": self.price,
            "failureReason": progress.reason,
        })
    }
}

/// The sent messages of one number, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    first: usize,
    by_uuid: HashMap<Arc<str>, usize>,
}

impl Log {
    pub(crate) fn add(&mut self, entry: Entry) {
        if self.entries.len() >= KEPT
            && let Some(old) = self.entries.pop_front()
        {
            self.by_uuid.remove(&old.uuid);
            self.first += 1;
        }
        let index = self.first + self.entries.len();
        self.by_uuid.insert(Arc::clone(&entry.uuid), index);
        self.entries.push_back(entry);
    }

    pub(crate) fn get(&self, uuid: &str) -> Option<&Entry> {
        self.entries.get(self.by_uuid.get(uuid)? - self.first)
    }

    /// Notes that a message reached a stage, at a time in seconds.
    pub(crate) fn reached(&mut self, uuid: &str, stage: Stage, at: u64) {
        let index = self.by_uuid.get(uuid).map(|index| index - self.first);
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            return;
        };
        let entry = &mut entry.progress;
        match stage {
            Stage::Sent => entry.sent_at = Some(at),
            Stage::Delivered => entry.delivered_at = Some(at),
            Stage::Read => entry.read_at = Some(at),
            Stage::Failed(code) => entry.reason = Some(super::reason(code)),
            // Not among MSG91's words.
            Stage::Queued | Stage::Played | Stage::Canceled => return,
        }
        entry.status = Some(stage.name());
    }

    /// The messages of some days, counted since 1970 in India.
    pub(crate) fn days(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |e| (from..=to).contains(&time::day_of(e.requested_at)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, KEPT, Log, Progress};
    use crate::status::Stage;

    fn entry(n: usize) -> Entry {
        Entry {
            uuid: n.to_string().into(),
            request_id: "r".into(),
            crqid: None,
            customer: "447700900123".into(),
            kind: "text",
            template: None,
            requested_at: 1_795_248_000,
            price: "0",
            progress: Progress::default(),
        }
    }

    #[test]
    fn finds_messages_until_they_give_way() {
        let mut log = Log::default();
        for n in 0..=KEPT {
            log.add(entry(n));
        }
        assert!(log.get("0").is_none());
        assert_eq!(&*log.get("1").unwrap().uuid, "1");
        let last = KEPT.to_string();
        log.reached(&last, Stage::Sent, 1_795_248_001);
        log.reached(&last, Stage::Failed(131_026), 1_795_248_002);
        log.reached("0", Stage::Sent, 1);
        let json = log.get(&last).unwrap().json("15005550006");
        assert_eq!(json["status"], "failed");
        assert_eq!(json["failureReason"], "131026: Message undeliverable");
        assert_eq!(json["sentTime"], "2026-11-21 13:30:01");
        let day = super::time::day_of(1_795_248_000);
        assert_eq!(log.days(day, day).count(), KEPT);
        assert_eq!(log.days(day + 1, day + 2).count(), 0);
    }
}
