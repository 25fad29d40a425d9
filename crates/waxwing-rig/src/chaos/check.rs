//! The judgement: what the clients were promised, what the provider accepted and what the server shows, compared.

use std::collections::{BTreeMap, HashMap, HashSet};

use waxwing_emulator::SendRecord;

use super::book::{Asked, Written};
use crate::api::Message;
use crate::{meta, world};

/// The height of `sending`, below which nothing was shown to anybody.
pub const SENDING: u8 = 1;
const SENT: u8 = 2;

/// The height of a status on the ladder.
#[must_use]
pub fn height(status: &str) -> u8 {
    match status {
        "sending" => SENDING,
        "sent" => SENT,
        "failed" => 3,
        "delivered" => 4,
        "read" => 5,
        _ => 0,
    }
}

/// Everything that is known after a run.
#[derive(Debug, Default)]
pub struct Facts {
    /// What users wrote, in the order in which each of them wrote.
    pub written: Vec<Written>,
    /// What programs asked for, in the order of each.
    pub asked: Vec<Asked>,
    /// What the provider accepted, in order.
    pub accepted: Vec<SendRecord>,
    /// All messages of each number, as the API shows them.
    pub messages: Vec<Vec<Message>>,
    /// Requests that the server keeps aside.
    pub aside: Vec<String>,
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Findings {
    /// Broken promises.
    pub broken: Vec<String>,
    /// Messages that the provider accepted.
    pub sent: usize,
    /// Messages that wait for a person because nobody knows whether they were sent.
    pub unknown: usize,
    /// Messages that failed, with a reason.
    pub failed: usize,
}

/// The row of a message, and what it answers or was asked by.
struct Out<'a> {
    row: &'a Message,
    /// Its place among the messages to the same person from the same source; the provider must see them in this order.
    lane: (usize, String, &'static str),
    order: usize,
}

/// Compares everything.
#[must_use]
pub fn judge(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    // First, because what follows may follow from these.
    for reason in &facts.aside {
        let text = format!("a webhook that was answered with 200 is kept aside: {reason}");
        findings.broken.push(text);
    }
    let mut outs: Vec<Vec<Out<'_>>> = Vec::new();
    for (number, rows) in facts.messages.iter().enumerate() {
        outs.push(one_tenant(facts, number, rows, &mut findings));
    }
    provider(facts, &outs, &mut findings);
    findings
}

fn one_tenant<'a>(
    facts: &Facts,
    number: usize,
    rows: &'a [Message],
    findings: &mut Findings,
) -> Vec<Out<'a>> {
    let broken = &mut findings.broken;
    let mut received: HashMap<&str, Vec<&Message>> = HashMap::new();
    let mut by_key: HashMap<&str, Vec<&'a Message>> = HashMap::new();
    let mut spare: HashSet<&str> = HashSet::new();
    for row in rows {
        if row.direction == "IN" {
            let id = row.provider_message_id.as_deref().unwrap_or("none");
            received.entry(id).or_default().push(row);
        } else {
            spare.insert(&row.id);
            let key = row.idempotency_key.as_deref().unwrap_or("none");
            by_key.entry(key).or_default().push(row);
        }
    }
    let mut outs = Vec::new();
    for (order, written) in facts.written.iter().enumerate() {
        if written.item.number != number {
            continue;
        }
        let rows = received.remove(written.item.wamid.as_str());
        let row = match inbound(written, rows.unwrap_or_default()) {
            Ok(row) => row,
            Err(problem) => {
                broken.push(problem);
                continue;
            }
        };
        if let (Some(row), Some(step)) = (row, written.step) {
            let replies = by_key.remove(format!("auto-reply:{}", row.id).as_str());
            match reply(written, step, row, replies.unwrap_or_default()) {
                Ok(row) => {
                    spare.remove(row.id.as_str());
                    let lane = (number, written.item.from.clone(), "reply");
                    outs.push(Out { row, lane, order });
                }
                Err(problem) => broken.push(problem),
            }
        }
    }
    for (id, rows) in received {
        let text = format!(
            "number {number} shows {} messages `{id}` that nobody wrote to it",
            rows.len()
        );
        broken.push(text);
    }
    for (order, asked) in facts.asked.iter().enumerate() {
        if asked.number != number {
            continue;
        }
        match send(asked, by_key.remove(asked.key.as_str()).unwrap_or_default()) {
            Ok(Some(row)) => {
                spare.remove(row.id.as_str());
                let lane = (number, asked.to.clone(), "send");
                outs.push(Out { row, lane, order });
            }
            Ok(None) => {}
            Err(problem) => broken.push(problem),
        }
    }
    for row in rows.iter().filter(|row| spare.contains(row.id.as_str())) {
        let key = row.idempotency_key.as_deref().unwrap_or("none");
        let text = format!(
            "number {number} shows {} (key {key}), for which nobody asked",
            row.id
        );
        broken.push(text);
    }
    outs
}

/// The row of a message that a user wrote.
fn inbound<'a>(written: &Written, rows: Vec<&'a Message>) -> Result<Option<&'a Message>, String> {
    let item = &written.item;
    let what = format!("{} to number {}", item.wamid, item.number);
    match rows.as_slice() {
        [] if written.acknowledged => Err(format!("{what} was answered with 200 and is lost")),
        [] => Ok(None),
        [row] => {
            let from = format!("+{}", item.from);
            if row.from.as_deref() != Some(from.as_str()) {
                return Err(format!("{what} stands under another contact"));
            }
            if row.body.as_deref() != Some(item.does.body()) {
                return Err(format!("{what} is shown with another text"));
            }
            Ok(Some(row))
        }
        rows => Err(format!("{what} took effect {} times", rows.len())),
    }
}

/// The one reply to a message, with what it must say.
fn reply<'a>(
    written: &Written,
    step: usize,
    row: &Message,
    replies: Vec<&'a Message>,
) -> Result<&'a Message, String> {
    let item = &written.item;
    let what = format!("{} ({}) to number {}", item.wamid, row.id, item.number);
    match replies.as_slice() {
        [] => Err(format!("{what} was not answered")),
        [reply] => {
            let key = world::chain_key(step);
            if reply.template_key.as_deref() != Some(key.as_str()) {
                let got = reply.template_key.as_deref().unwrap_or("nothing");
                return Err(format!(
                    "{what} was answered with `{got}`, not `{key}`: the conversation's state is wrong"
                ));
            }
            let to = format!("+{}", item.from);
            let text = world::chain_text(item.number, step, &item.name);
            if reply.to.as_deref() != Some(to.as_str())
                || reply.body.as_deref() != Some(text.as_str())
            {
                return Err(format!("the answer to {what} is for somebody else"));
            }
            if reply.conversation_id != row.conversation_id {
                return Err(format!(
                    "the answer to {what} stands in another conversation"
                ));
            }
            Ok(reply)
        }
        replies => Err(format!("{what} was answered {} times", replies.len())),
    }
}

/// The row of a message that a program asked for.
fn send<'a>(asked: &Asked, rows: Vec<&'a Message>) -> Result<Option<&'a Message>, String> {
    let what = format!("key {} of number {}", asked.key, asked.number);
    if asked.accepted > 1 {
        return Err(format!(
            "{what} was answered with 202 {} times",
            asked.accepted
        ));
    }
    match (rows.as_slice(), asked.ids.as_slice()) {
        ([], []) => Ok(None),
        ([], _) => Err(format!("{what} was answered and is lost")),
        ([row], ids) => {
            if ids.iter().any(|id| *id != row.id) {
                return Err(format!(
                    "{what}: callers were told of {ids:?}, there is {}",
                    row.id
                ));
            }
            let to = format!("+{}", asked.to);
            if row.to.as_deref() != Some(to.as_str())
                || row.body.as_deref() != Some(asked.text.as_str())
            {
                return Err(format!("{what} became another message"));
            }
            Ok(Some(row))
        }
        (rows, _) => Err(format!("{what} made {} messages", rows.len())),
    }
}

/// Compares the messages with what the provider accepted.
fn provider(facts: &Facts, outs: &[Vec<Out<'_>>], findings: &mut Findings) {
    let mut by_wamid: HashMap<(usize, &str), &Out<'_>> = HashMap::new();
    for (number, outs) in outs.iter().enumerate() {
        for out in outs {
            if let Some(id) = out.row.provider_message_id.as_deref() {
                by_wamid.insert((number, id), out);
            }
        }
    }
    let mut attempts: HashSet<&str> = HashSet::new();
    let mut reached: HashSet<&str> = HashSet::new();
    let mut last: BTreeMap<&(usize, String, &str), usize> = BTreeMap::new();
    for record in &facts.accepted {
        let number = meta::number_of(&record.phone_number_id).unwrap_or(usize::MAX);
        let what = format!("`{}` of number {number}", record.body);
        if let Some(data) = record.callback_data.as_deref()
            && !attempts.insert(data)
        {
            findings
                .broken
                .push(format!("{what}: one attempt was accepted twice ({data})"));
        }
        let Some(out) = by_wamid.get(&(number, &*record.wamid)) else {
            let data = record.callback_data.as_deref().unwrap_or("none");
            findings.broken.push(format!(
                "the provider accepted {what} ({data}), and no message shows that: it went out twice, or its status is lost"
            ));
            continue;
        };
        reached.insert(&out.row.id);
        accepted_as(record, out.row, &what, &mut findings.broken);
        if let Some(before) = last.insert(&out.lane, out.order)
            && before > out.order
        {
            findings
                .broken
                .push(format!("{what} to one person came before an earlier one"));
        }
    }
    findings.sent = reached.len();
    for out in outs.iter().flatten() {
        if !reached.contains(out.row.id.as_str()) {
            not_accepted(out.row, findings);
        }
    }
}

/// A message that the provider accepted is shown as what became of it.
fn accepted_as(record: &SendRecord, row: &Message, what: &str, broken: &mut Vec<String>) {
    let to = format!("+{}", record.to);
    if row.to.as_deref() != Some(to.as_str()) || row.body.as_deref() != Some(&*record.body) {
        broken.push(format!("{what} went to somebody else than {} says", row.id));
    }
    if row.may_be_duplicate {
        broken.push(format!(
            "{what}: {} was sent once more, although its tenant lets unknown outcomes be held",
            row.id
        ));
    }
    let told = record.statuses.iter().map(|status| height(status)).max();
    let least = told.unwrap_or(SENT).max(SENT);
    if height(&row.status) < least {
        broken.push(format!(
            "{what}: the provider told {:?}, {} shows `{}`",
            record.statuses, row.id, row.status
        ));
    }
    if row.outcome_unknown {
        broken.push(format!(
            "{what}: {} shows an unknown outcome after its status",
            row.id
        ));
    }
}

/// A message that the provider did not accept says why.
fn not_accepted(row: &Message, findings: &mut Findings) {
    let explained = row
        .error
        .as_ref()
        .is_some_and(|error| !error.class.is_empty() && !error.message.is_empty());
    match row.status.as_str() {
        "sending" if row.outcome_unknown && explained => findings.unknown += 1,
        "failed" if explained => findings.failed += 1,
        status if height(status) >= SENT && status != "failed" => findings.broken.push(format!(
            "{} is shown as `{status}`, and the provider never accepted it",
            row.id
        )),
        status => findings.broken.push(format!(
            "{} is left in `{status}` (unknown: {}, explained: {explained})",
            row.id, row.outcome_unknown
        )),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
