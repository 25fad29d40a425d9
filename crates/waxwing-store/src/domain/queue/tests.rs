use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::domain::channels::{self, NewChannel};
use crate::domain::contacts::{self, NewContact};
use crate::domain::conversations::{self, Remembered};
use crate::domain::messages::{self, NewMessage, Way};
use crate::domain::statuses::{self, Incoming, Update};
use crate::domain::tenants;
use crate::store_test;
use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::identity::Identity;
use waxwing_core::phone::Phone;
use waxwing_core::settings::TenantSettings;
use waxwing_core::status::DeliveryStatus;
use waxwing_core::step::ConversationState;
use waxwing_core::window::Window;

pub(in crate::domain) const NOW: Timestamp = Timestamp::from_seconds(100);

pub(in crate::domain) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(in crate::domain) const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
pub(in crate::domain) const CHANNEL: ChannelId = ChannelId::from_uuid(Uuid::from_u128(2));

/// A tenant with queued messages, each to a contact of its own, and the hints that lead to them.
pub(in crate::domain) fn queued(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    count: u128,
) -> Result<Vec<Hint>, StoreError> {
    tenants::create(tx, TENANT, "T", &TenantSettings::default(), NOW)?;
    let channel = NewChannel {
        id: CHANNEL,
        kind: ChannelKind::Meta,
        name: "Main".into(),
        sender_id: "100".into(),
        account_id: None,
        display_phone: None,
        credentials: Credentials::new(),
    };
    channels::create(tx, keyring, TENANT, &channel, NOW)?;
    (0..count)
        .map(|n| one_queued(tx, keyring, 100 + n))
        .collect()
}

fn one_queued(tx: &mut Tx<'_>, keyring: &Keyring, n: u128) -> Result<Hint, StoreError> {
    let contact_id = ContactId::from_uuid(uuid(n));
    let conversation_id = ConversationId::from_uuid(uuid(n));
    let message_id = MessageId::from_uuid(uuid(n));
    let identity = Identity {
        phone: Phone::from_wa_id(&format!("1650555{n:04}")).ok(),
        ..Identity::default()
    };
    let contact = NewContact {
        tenant_id: TENANT,
        id: contact_id,
        identity: &identity,
        profile_name: None,
    };
    contacts::create_many(tx, keyring, &[contact], NOW)?;
    let conversation = Remembered {
        tenant_id: TENANT,
        id: conversation_id,
        channel_id: CHANNEL,
        contact_id,
        memory: ConversationState {
            window: Window::default().after(NOW, false),
            ..ConversationState::default()
        },
    };
    conversations::create_many(tx, &[conversation], NOW)?;
    let message = NewMessage {
        tenant_id: TENANT,
        id: message_id,
        conversation_id,
        contact_id,
        channel_id: CHANNEL,
        content: Content::Text {
            body: "x".into(),
            preview_url: false,
        },
        way: Way::Out {
            purpose: Purpose::Transactional,
            template_key: None,
            idempotency_key: None,
            request_hash: None,
            due_at: NOW,
            waits_for: None,
            outside_window: None,
        },
        reply_to: None,
        cause: None,
    };
    messages::add_many(tx, keyring, &[message], NOW)?;
    Ok(Hint {
        tenant_id: TENANT,
        conversation_id,
        channel_id: CHANNEL,
        message_id,
        priority: 20,
    })
}

fn provider_id(n: usize) -> ProviderMessageId {
    ProviderMessageId::parse(&format!("wamid.{n}")).unwrap()
}

// The same messages get their answers in one order and their statuses in the other, at the same time, again and
// again. A deadlock would show as a closure that ran twice.
store_test!(
    answers_and_statuses_do_not_lock_each_other,
    |db| async move {
        const MESSAGES: usize = 40;
        const ROUNDS: u32 = 30;
        let keyring = Keyring::for_tests(7);
        let keys = keyring.clone();
        let claims = db.store().write(move |tx| {
            let claims: Vec<_> = queued(tx, &keys, MESSAGES as u128)?
                .into_iter()
                .enumerate()
                .map(|(n, hint)| (hint, AttemptId::from_uuid(uuid(1_000 + n as u128))))
                .collect();
            assert_eq!(
                claim(tx, &keys, &claims, NodeId::from_uuid(uuid(6)), NOW)?
                    .claimed
                    .len(),
                MESSAGES
            );
            Ok(claims)
        });
        let claims = claims.await.unwrap();
        let records: Arc<Vec<Record>> = Arc::new(
            claims
                .iter()
                .enumerate()
                .map(|(n, (hint, attempt))| Record {
                    tenant_id: TENANT,
                    message_id: hint.message_id,
                    conversation_id: hint.conversation_id,
                    channel_id: CHANNEL,
                    attempt_id: *attempt,
                    end: End::Sent {
                        provider_id: Some(provider_id(n)),
                    },
                })
                .collect(),
        );
        let incoming: Arc<Vec<Incoming>> = Arc::new(
            claims
                .iter()
                .enumerate()
                .rev()
                .map(|(n, (_, attempt))| Incoming {
                    tenant_id: TENANT,
                    channel_id: CHANNEL,
                    provider_id: provider_id(n),
                    alias: None,
                    attempt_id: Some(*attempt),
                    update: Update {
                        status: DeliveryStatus::Delivered,
                        at: NOW.micros(),
                        error: None,
                        charge: None,
                        pricing: None,
                    },
                    parked_id: uuid(5_000 + n as u128),
                })
                .collect(),
        );
        let runs = Arc::new(AtomicU32::new(0));
        for _ in 0..ROUNDS {
            let (keys, records, counter) =
                (keyring.clone(), Arc::clone(&records), Arc::clone(&runs));
            let answers = db.store().write(move |tx| {
                counter.fetch_add(1, Ordering::SeqCst);
                record(tx, &keys, &records, NOW).map(|_| ())
            });
            let (keys, incoming, counter) =
                (keyring.clone(), Arc::clone(&incoming), Arc::clone(&runs));
            let statuses = db.store().write(move |tx| {
                counter.fetch_add(1, Ordering::SeqCst);
                statuses::apply(tx, &keys, &incoming, NOW).map(|_| ())
            });
            assert_eq!(tokio::join!(answers, statuses), (Ok(()), Ok(())));
        }
        assert_eq!(
            runs.load(Ordering::SeqCst),
            2 * ROUNDS,
            "nothing had to run again"
        );
    }
);

store_test!(a_claim_in_doubt_is_taken_back, |db| async move {
    let keyring = Keyring::for_tests(7);
    let outcome = db.store().write(move |tx| {
        let hint = queued(tx, &keyring, 1)?[0];
        let node = NodeId::from_uuid(uuid(6));
        let [first, second, foreign] = [7, 8, 9].map(|n| AttemptId::from_uuid(uuid(n)));
        assert_eq!(
            claim(tx, &keyring, &[(hint, first)], node, NOW)?
                .claimed
                .len(),
            1
        );
        assert_eq!(
            release(tx, &[(hint, foreign)], NOW)?,
            0,
            "only its own attempt"
        );
        assert_eq!(release(tx, &[(hint, first)], NOW)?, 1);
        assert_eq!(release(tx, &[(hint, first)], NOW)?, 0, "once");
        let row = messages::get(tx, &keyring, hint.tenant_id, hint.message_id)?;
        assert_eq!(
            row.map(|row| (row.status, row.attempts)),
            Some(("queued".into(), 0))
        );
        assert!(messages::attempts(tx, hint.tenant_id, hint.message_id)?.is_empty());
        let again = claim(tx, &keyring, &[(hint, second)], node, NOW)?;
        assert_eq!(
            again.claimed.first().map(|claimed| claimed.attempts),
            Some(1)
        );
        Ok(())
    });
    assert_eq!(outcome.await, Ok(()));
});
