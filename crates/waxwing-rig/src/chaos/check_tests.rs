use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::api::MessageError;
use crate::meta::{Does, Item};

fn item(wamid: &str, does: Does) -> Item {
    Item {
        number: 0,
        wamid: wamid.into(),
        from: "4915700000003".into(),
        name: "P3at0".into(),
        does,
        at: 1,
    }
}

fn message(id: &str, direction: &str, body: &str) -> Message {
    Message {
        id: id.into(),
        conversation_id: "cnv".into(),
        direction: direction.into(),
        body: Some(body.into()),
        status: "received".into(),
        provider_message_id: None,
        idempotency_key: None,
        to: None,
        from: None,
        error: None,
        outcome_unknown: false,
        may_be_duplicate: false,
        template_key: None,
    }
}

fn accepted(wamid: &str, to: &str, body: &str, statuses: &[&'static str]) -> SendRecord {
    SendRecord {
        provider: waxwing_emulator::Provider::Meta,
        phone_number_id: meta::phone_number_id(0).into(),
        wamid: Arc::from(wamid),
        to: to.into(),
        kind: "text",
        body: body.into(),
        callback_data: Some(format!("w1.{wamid}").into()),
        answered: true,
        at: Instant::now(),
        statuses: statuses.to_vec(),
    }
}

/// A message that was answered, and a send, as they must look.
fn good() -> Facts {
    let phone = "4915700000003";
    let text = world::chain_text(0, 0, "P3at0");
    let received = Message {
        provider_message_id: Some("in-1".into()),
        from: Some(format!("+{phone}")),
        ..message("msg_1", "IN", "start")
    };
    let reply = Message {
        provider_message_id: Some("out-1".into()),
        idempotency_key: Some("auto-reply:msg_1".into()),
        to: Some(format!("+{phone}")),
        status: "read".into(),
        template_key: Some("step-0".into()),
        ..message("msg_2", "OUT", &text)
    };
    let sent = Message {
        provider_message_id: Some("out-2".into()),
        idempotency_key: Some("k-0".into()),
        to: Some("+4916000000000".into()),
        status: "delivered".into(),
        ..message("msg_3", "OUT", "n0 send k-0")
    };
    Facts {
        written: vec![Written {
            item: item("in-1", Does::Says("start".into())),
            step: Some(0),
            acknowledged: true,
        }],
        asked: vec![Asked {
            number: 0,
            key: "k-0".into(),
            to: "4916000000000".into(),
            text: "n0 send k-0".into(),
            ids: vec!["msg_3".into()],
            accepted: 1,
            answered: true,
        }],
        accepted: vec![
            accepted("out-1", phone, &text, &["sent", "delivered", "read"]),
            accepted(
                "out-2",
                "4916000000000",
                "n0 send k-0",
                &["delivered", "sent"],
            ),
        ],
        messages: vec![vec![sent, reply, received]],
        aside: Vec::new(),
    }
}

/// Requires exactly one finding, with these words.
fn finds(words: &str, change: impl FnOnce(&mut Facts)) {
    let mut facts = good();
    change(&mut facts);
    let broken = judge(&facts).broken;
    assert!(
        broken.iter().any(|problem| problem.contains(words)),
        "`{words}` is not among {broken:?}"
    );
}

#[test]
fn what_is_right_is_right() {
    let findings = judge(&good());
    assert_eq!(findings.broken, Vec::<String>::new());
    assert_eq!(
        (findings.sent, findings.unknown, findings.failed),
        (2, 0, 0)
    );
}

#[test]
fn lost_and_doubled_webhooks_are_found() {
    finds("is lost", |facts| {
        facts.messages[0].pop();
    });
    finds("took effect 2 times", |facts| {
        let again = Message {
            id: "msg_9".into(),
            ..facts.messages[0][2].clone()
        };
        facts.messages[0].push(again);
    });
    finds("was not answered", |facts| {
        facts.messages[0].remove(1);
    });
    finds("kept aside", |facts| facts.aside.push("poison".into()));
    finds("nobody wrote", |facts| facts.written.clear());
}

#[test]
fn a_webhook_without_an_answer_may_be_missing() {
    let mut facts = good();
    facts.written[0].acknowledged = false;
    facts.messages[0].truncate(1);
    facts.accepted.remove(0);
    assert_eq!(judge(&facts).broken, Vec::<String>::new());
}

#[test]
fn a_second_acceptance_is_found() {
    finds("went out twice", |facts| {
        let again = accepted("out-9", "4916000000000", "n0 send k-0", &[]);
        facts.accepted.push(again);
    });
    finds("accepted twice", |facts| {
        let again = facts.accepted[0].clone();
        facts.accepted.push(again);
    });
}

#[test]
fn a_status_that_went_back_is_found() {
    finds("the provider told", |facts| {
        facts.messages[0][0].status = "sent".into()
    });
    finds("the provider told", |facts| {
        facts.messages[0][1].status = "delivered".into()
    });
    finds("sent once more", |facts| {
        facts.messages[0][0].may_be_duplicate = true
    });
    finds("unknown outcome after its status", |facts| {
        facts.messages[0][1].outcome_unknown = true
    });
}

#[test]
fn a_send_that_vanishes_or_multiplies_is_found() {
    finds("is lost", |facts| {
        facts.messages[0].remove(0);
    });
    finds("made 2 messages", |facts| {
        let again = Message {
            id: "msg_9".into(),
            ..facts.messages[0][0].clone()
        };
        facts.messages[0].push(again);
    });
    finds("callers were told", |facts| {
        facts.asked[0].ids.push("msg_8".into())
    });
    finds("202 2 times", |facts| facts.asked[0].accepted = 2);
    finds("nobody asked", |facts| facts.asked.clear());
}

#[test]
fn mixed_up_people_and_states_are_found() {
    finds("stands under another contact", |facts| {
        facts.messages[0][2].from = Some("+4915700000004".into());
    });
    finds("is for somebody else", |facts| {
        facts.messages[0][1].body = Some(world::chain_text(1, 0, "P3at1"));
    });
    finds("went to somebody else", |facts| {
        facts.accepted[0].to = "4915700000004".into()
    });
    finds("state is wrong", |facts| {
        facts.messages[0][1].template_key = Some("step-1".into())
    });
    finds("another conversation", |facts| {
        facts.messages[0][1].conversation_id = "other".into()
    });
}

#[test]
fn what_is_not_accepted_must_say_why() {
    let unsent = |status: &str, unknown: bool, error: bool| {
        let mut facts = good();
        facts.accepted.pop();
        let row = &mut facts.messages[0][0];
        row.status = status.into();
        row.outcome_unknown = unknown;
        row.provider_message_id = None;
        row.error = error.then(|| MessageError {
            class: "unknown".into(),
            message: "no answer".into(),
        });
        judge(&facts)
    };
    assert_eq!(unsent("sending", true, true).unknown, 1);
    assert_eq!(unsent("failed", false, true).failed, 1);
    for (status, unknown, error) in [
        ("queued", false, false),
        ("sending", false, false),
        ("sending", true, false),
        ("failed", false, false),
        ("sent", false, false),
        ("delivered", false, true),
    ] {
        assert_eq!(
            unsent(status, unknown, error).broken.len(),
            1,
            "{status} {unknown} {error}"
        );
    }
}

#[test]
fn messages_to_one_person_that_overtake_each_other_are_found() {
    let mut facts = good();
    let mut second = facts.asked[0].clone();
    (second.key, second.text, second.ids) =
        ("k-1".into(), "n0 send k-1".into(), vec!["msg_4".into()]);
    facts.asked.push(second);
    let row = Message {
        id: "msg_4".into(),
        provider_message_id: Some("out-3".into()),
        idempotency_key: Some("k-1".into()),
        body: Some("n0 send k-1".into()),
        ..facts.messages[0][0].clone()
    };
    facts.messages[0].push(row);
    facts
        .accepted
        .push(accepted("out-3", "4916000000000", "n0 send k-1", &["sent"]));
    assert_eq!(judge(&facts).broken, Vec::<String>::new());
    facts.accepted.swap(1, 2);
    let broken = judge(&facts).broken;
    assert_eq!(broken.len(), 1);
    assert!(broken[0].contains("before an earlier one"), "{broken:?}");
}
