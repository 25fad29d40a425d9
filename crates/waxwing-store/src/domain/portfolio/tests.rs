use super::*;
use crate::domain::channel_health::{self, HealthNews};
use crate::domain::crypto::Keyring;
use crate::domain::gate;
use crate::domain::messages::{self, NewMessage, Way};
use crate::domain::queue::tests::{CHANNEL, TENANT, queued, uuid};
use crate::domain::queue::{self, End, Hint, Record};
use crate::store_test;
use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{AttemptId, ContactId, NodeId};

/// A day and a second after the contacts of [`queued`] wrote.
const CLOSED: Timestamp = Timestamp::from_seconds(100 + 24 * 3_600 + 1);

fn later(hours: u64) -> Timestamp {
    CLOSED.plus(Duration::from_secs(hours * 3_600))
}

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

/// A message template for the person of a hint.
fn template(tx: &mut Tx<'_>, hint: Hint, n: u128) -> Result<Hint, StoreError> {
    let message_id = MessageId::from_uuid(uuid(n));
    let message = NewMessage {
        tenant_id: TENANT,
        id: message_id,
        conversation_id: hint.conversation_id,
        contact_id: ContactId::from_uuid(hint.conversation_id.uuid()),
        channel_id: CHANNEL,
        content: Content::MessageTemplate {
            name: "hello".into(),
            language: "en".into(),
            components: Vec::new(),
        },
        way: Way::Out {
            purpose: Purpose::Bulk,
            template_key: None,
            idempotency_key: None,
            request_hash: None,
            due_at: CLOSED,
            waits_for: None,
            outside_window: None,
        },
        reply_to: None,
        cause: None,
    };
    messages::add_many(tx, &keyring(), &[message], CLOSED)?;
    Ok(Hint { message_id, ..hint })
}

/// How many of these can be claimed, and how many are held for the limit.
fn claim(
    tx: &mut Tx<'_>,
    hints: &[Hint],
    n: u128,
    now: Timestamp,
) -> Result<(usize, usize), StoreError> {
    let attempts: Vec<_> = (n..)
        .map(|n| AttemptId::from_uuid(uuid(n)))
        .take(hints.len())
        .collect();
    let hints: Vec<_> = hints.iter().copied().zip(attempts).collect();
    let claims = queue::claim(tx, &keyring(), &hints, NodeId::from_uuid(uuid(6)), now)?;
    assert!(claims.held.iter().all(|held| held.held == Held::Limited));
    Ok((claims.claimed.len(), claims.held.len()))
}

fn limited(tx: &mut Tx<'_>, word: &str) -> Result<(), StoreError> {
    let news = HealthNews {
        messaging_limit: Some(word.to_owned()),
        ..HealthNews::default()
    };
    channel_health::note(tx, TENANT, CHANNEL, &news, CLOSED).map(|_| ())
}

store_test!(people_beyond_the_limit_wait_for_a_day, |db| async move {
    let done = db.store().write(move |tx| {
        let people = queued(tx, &keyring(), 5)?;
        // What `queued` queued is refused outside of the window and gone.
        let gone: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(n, hint)| (*hint, AttemptId::from_uuid(uuid(2_000 + n as u128))))
            .collect();
        queue::claim(tx, &keyring(), &gone, NodeId::from_uuid(uuid(6)), CLOSED)?;
        limited(tx, "3")?;
        let mut first = Vec::new();
        for (n, hint) in people.iter().enumerate() {
            first.push(template(tx, *hint, 3_000 + n as u128)?);
        }
        assert_eq!(claim(tx, &first, 4_000, CLOSED)?, (3, 2));
        let waiting = messages::get(tx, &keyring(), TENANT, first[4].message_id)?.unwrap();
        assert_eq!(waiting.status, "queued");
        assert_eq!(waiting.waits_for.as_deref(), Some("portfolio_limit"));
        assert_eq!(waiting.due_at, CLOSED.plus(LOOK_AGAIN));
        assert_eq!(waiting.attempts, 0);

        // Whoever is counted already gets more; nobody else does, and the look is made again.
        for hint in &first[..3] {
            let attempt = messages::attempts(tx, TENANT, hint.message_id)?;
            assert_eq!(attempt.len(), 1);
        }
        assert_eq!(claim(tx, &first[3..], 4_100, later(1))?, (0, 2));
        assert_eq!(claim(tx, &first[3..], 4_200, later(24))?, (0, 2));
        // Somebody counts for a whole day at least, and then makes room.
        assert_eq!(claim(tx, &first[3..], 4_300, later(25))?, (2, 0));
        Ok(())
    });
    assert_eq!(done.await, Ok(()));
});

store_test!(answers_count_for_nobody, |db| async move {
    let done = db.store().write(move |tx| {
        let people = queued(tx, &keyring(), 4)?;
        limited(tx, "1")?;
        let open = CLOSED.minus(Duration::from_secs(60));
        assert_eq!(claim(tx, &people, 4_000, open)?, (4, 0));
        Ok(())
    });
    assert_eq!(done.await, Ok(()));
});

store_test!(
    a_raised_limit_and_a_person_who_writes_let_messages_go,
    |db| async move {
        let done = db.store().write(move |tx| {
            let people = queued(tx, &keyring(), 3)?;
            let open = CLOSED.minus(Duration::from_secs(60));
            assert_eq!(claim(tx, &people, 4_000, open)?, (3, 0));
            for (n, hint) in people.iter().enumerate() {
                let sent = Record {
                    tenant_id: TENANT,
                    message_id: hint.message_id,
                    conversation_id: hint.conversation_id,
                    channel_id: CHANNEL,
                    attempt_id: AttemptId::from_uuid(uuid(4_000 + n as u128)),
                    end: End::Sent { provider_id: None },
                };
                queue::record(tx, &keyring(), &[sent], open)?;
            }
            limited(tx, "1")?;
            let mut first = Vec::new();
            for (n, hint) in people.iter().enumerate() {
                first.push(template(tx, *hint, 3_000 + n as u128)?);
            }
            assert_eq!(claim(tx, &first, 5_000, CLOSED)?, (1, 2));
            let lane = (TENANT, first[1].conversation_id);
            let released = gate::release(tx, &[lane], CLOSED)?;
            assert_eq!(released.len(), 1, "the person wrote");
            limited(tx, "TIER_10K")?;
            assert_eq!(
                claim(tx, &first[2..], 5_100, CLOSED)?,
                (0, 0),
                "not before it looks again"
            );
            assert_eq!(claim(tx, &first[2..], 5_200, later(1))?, (1, 0));
            Ok(())
        });
        assert_eq!(done.await, Ok(()));
    }
);
