use std::time::Duration;

use super::*;
use crate::domain::conversations::{self, Remembered};
use crate::domain::crypto::Keyring;
use crate::domain::messages::{self, NewMessage, WaitsFor, Way};
use crate::domain::queue::tests::{CHANNEL, NOW, TENANT, queued, uuid};
use crate::domain::queue::{self, End, Record};
use crate::store_test;
use waxwing_core::ids::{ContactId, NodeId};

/// A day and a second after the contacts of [`queued`] wrote.
const CLOSED: Timestamp = Timestamp::from_seconds(100 + 24 * 3_600 + 1);

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

fn node() -> NodeId {
    NodeId::from_uuid(uuid(6))
}

fn attempt(n: u128) -> AttemptId {
    AttemptId::from_uuid(uuid(1_000 + n))
}

fn template() -> Content {
    Content::MessageTemplate {
        name: "hello".into(),
        language: "en".into(),
        components: Vec::new(),
    }
}

/// Another message in the conversation of a hint.
fn add(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    first: Hint,
    n: u128,
    waits_for: Option<(WaitsFor, Timestamp)>,
    outside_window: Option<OutsideWindow>,
) -> Result<Hint, StoreError> {
    let message_id = MessageId::from_uuid(uuid(n));
    let message = NewMessage {
        tenant_id: TENANT,
        id: message_id,
        conversation_id: first.conversation_id,
        contact_id: ContactId::from_uuid(first.conversation_id.uuid()),
        channel_id: CHANNEL,
        content: Content::Text {
            body: "later".into(),
            preview_url: false,
        },
        way: Way::Out {
            purpose: Purpose::Transactional,
            template_key: None,
            idempotency_key: None,
            request_hash: None,
            due_at: waits_for.map_or(NOW, |(_, due)| due),
            waits_for: waits_for.map(|(why, _)| why),
            outside_window,
        },
        reply_to: None,
        cause: None,
    };
    messages::add_many(tx, keyring, &[message], NOW)?;
    Ok(Hint {
        message_id,
        ..first
    })
}

fn standing(tx: &mut Tx<'_>, hint: Hint) -> Result<(String, Option<String>, i64), StoreError> {
    let row = messages::get(tx, &keyring(), TENANT, hint.message_id)?.expect("it is there");
    Ok((row.status, row.waits_for, row.attempts))
}

store_test!(
    what_a_closed_window_does_is_the_senders_choice,
    |db| async move {
        let keyring = keyring();
        let done = db.store().write(move |tx| {
            let hints = queued(tx, &keyring, 4)?;
            let until = CLOSED.plus(Duration::from_secs(60));
            // The messages of `queued` come first in their conversations and are refused.
            let refused: Vec<_> = hints
                .iter()
                .enumerate()
                .map(|(n, hint)| (*hint, attempt(n as u128)))
                .collect();
            let claims = queue::claim(tx, &keyring, &refused, node(), CLOSED)?;
            assert!(claims.claimed.is_empty());
            assert!(claims.held.iter().all(|held| held.held == Held::Failed));
            assert_eq!(standing(tx, hints[0])?, ("failed".into(), None, 0));
            assert!(messages::attempts(tx, TENANT, hints[0].message_id)?.is_empty());

            let instead = OutsideWindow::Template {
                content: Box::new(template()),
            };
            let instead = add(tx, &keyring, hints[0], 500, None, Some(instead))?;
            let wait = OutsideWindow::Wait {
                until: until.micros(),
            };
            let waits = add(tx, &keyring, hints[1], 501, None, Some(wait.clone()))?;
            let behind = add(
                tx,
                &keyring,
                hints[1],
                502,
                None,
                Some(OutsideWindow::Template {
                    content: Box::new(template()),
                }),
            )?;
            let claims = queue::claim(
                tx,
                &keyring,
                &[(instead, attempt(10)), (waits, attempt(11))],
                node(),
                CLOSED,
            )?;
            assert_eq!(claims.claimed.len(), 1);
            assert_eq!(claims.claimed[0].content, template());
            assert_eq!(messages::attempts(tx, TENANT, instead.message_id)?.len(), 1);
            assert_eq!(
                messages::get(tx, &keyring, TENANT, instead.message_id)?.map(|row| row.kind),
                Some("message_template".into())
            );
            assert_eq!(
                standing(tx, waits)?,
                ("queued".into(), Some("window".into()), 0)
            );
            // What waits for the contact does not hold up what can go.
            assert_eq!(
                queue::claim(tx, &keyring, &[(behind, attempt(12))], node(), CLOSED)?
                    .claimed
                    .len(),
                1
            );

            let released = release(
                tx,
                &[
                    (TENANT, waits.conversation_id),
                    (TENANT, instead.conversation_id),
                ],
                CLOSED,
            )?;
            assert_eq!(
                released
                    .iter()
                    .map(|hint| hint.message_id)
                    .collect::<Vec<_>>(),
                [waits.message_id]
            );
            assert_eq!(standing(tx, waits)?, ("queued".into(), None, 0));
            let late = until.plus(Duration::from_secs(1));
            let third = add(
                tx,
                &keyring,
                hints[2],
                503,
                Some((WaitsFor::Window, until)),
                Some(wait),
            )?;
            let claims = queue::claim(tx, &keyring, &[(third, attempt(13))], node(), late)?;
            assert_eq!(claims.held[0].held, Held::Expired);
            assert_eq!(standing(tx, third)?.0, "expired");
            Ok(())
        });
        assert_eq!(done.await, Ok(()));
    }
);

store_test!(a_refusal_closes_the_window_it_is_about, |db| async move {
    let keyring = keyring();
    let done = db.store().write(move |tx| {
        let hint = queued(tx, &keyring, 1)?[0];
        let wait = OutsideWindow::Wait {
            until: CLOSED.micros(),
        };
        let second = add(tx, &keyring, hint, 600, None, Some(wait))?;
        let about = |hint: Hint| RefusedOutside {
            tenant_id: TENANT,
            message_id: hint.message_id,
            conversation_id: hint.conversation_id,
        };
        let record = |hint: Hint, attempt_id, end| Record {
            tenant_id: TENANT,
            message_id: hint.message_id,
            conversation_id: hint.conversation_id,
            channel_id: CHANNEL,
            attempt_id,
            end,
        };
        let window = |tx: &mut Tx<'_>| -> Result<Option<Timestamp>, StoreError> {
            let row = conversations::get(tx, TENANT, hint.conversation_id)?;
            Ok(row.and_then(|row| row.window_expires_at))
        };
        let later = NOW.plus(Duration::from_secs(10));
        let claims = queue::claim(tx, &keyring, &[(hint, attempt(1))], node(), NOW)?;
        assert_eq!(claims.claimed.len(), 1);
        let sent = End::Sent { provider_id: None };
        queue::record(tx, &keyring, &[record(hint, attempt(1), sent)], NOW)?;

        // The contact writes before the refusal of the first one comes: that one is about the window before.
        let memory = waxwing_core::step::ConversationState {
            window: Window::default().after(later, false),
            ..Default::default()
        };
        let opened = Remembered {
            tenant_id: TENANT,
            id: hint.conversation_id,
            channel_id: CHANNEL,
            contact_id: ContactId::from_uuid(hint.conversation_id.uuid()),
            memory,
        };
        conversations::remember_many(tx, &[opened], later)?;
        assert!(
            refused_by_provider(tx, &[about(hint)], later)?.is_empty(),
            "it chose nothing"
        );
        assert_eq!(window(tx)?, Some(later.plus(SERVICE_WINDOW)));

        // The second one is refused in spite of what our clock says, and waits.
        assert_eq!(
            queue::claim(tx, &keyring, &[(second, attempt(2))], node(), later)?
                .claimed
                .len(),
            1
        );
        queue::record(
            tx,
            &keyring,
            &[record(
                second,
                attempt(2),
                End::Failed(Held::Failed.refusal()),
            )],
            later,
        )?;
        let again = refused_by_provider(tx, &[about(second)], later)?;
        assert_eq!(window(tx)?, Some(later));
        assert_eq!(
            again.iter().map(|hint| hint.message_id).collect::<Vec<_>>(),
            [second.message_id]
        );
        let claims = queue::claim(tx, &keyring, &[(second, attempt(3))], node(), later)?;
        assert_eq!(claims.held[0].held, Held::Waits);
        Ok(())
    });
    assert_eq!(done.await, Ok(()));
});
