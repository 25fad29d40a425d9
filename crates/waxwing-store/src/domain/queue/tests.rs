use uuid::Uuid;
use waxwing_core::identity::Identity;
use waxwing_core::phone::Phone;
use waxwing_core::settings::TenantSettings;
use waxwing_core::step::ConversationState;
use zeroize::Zeroizing;

use super::*;
use crate::domain::channels::{self, ChannelKind, Credentials, NewChannel};
use crate::domain::contacts::{self, NewContact};
use crate::domain::conversations::{self, Remembered};
use crate::domain::messages::{self, NewMessage, Way};
use crate::domain::tenants;
use crate::store_test;

const NOW: Timestamp = Timestamp::from_seconds(100);

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A tenant with one queued message, and the hint that leads to it.
fn one_queued(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<Hint, StoreError> {
    let tenant_id = TenantId::from_uuid(uuid(1));
    let (channel_id, contact_id) = (ChannelId::from_uuid(uuid(2)), ContactId::from_uuid(uuid(3)));
    let id = ConversationId::from_uuid(uuid(4));
    let message_id = MessageId::from_uuid(uuid(5));
    tenants::create(tx, tenant_id, "T", &TenantSettings::default(), NOW)?;
    let channel = NewChannel {
        id: channel_id,
        kind: ChannelKind::Meta,
        name: "Main".into(),
        sender_id: "100".into(),
        account_id: None,
        display_phone: None,
        credentials: Credentials::new(),
    };
    channels::create(tx, keyring, tenant_id, &channel, NOW)?;
    let identity = Identity {
        phone: Phone::from_wa_id("16505551234").ok(),
        ..Identity::default()
    };
    let contact = NewContact {
        tenant_id,
        id: contact_id,
        identity: &identity,
        profile_name: None,
    };
    contacts::create_many(tx, keyring, &[contact], NOW)?;
    let memory = ConversationState::default();
    let conversation = Remembered {
        tenant_id,
        id,
        channel_id,
        contact_id,
        memory,
    };
    conversations::create_many(tx, &[conversation], NOW)?;
    let message = NewMessage {
        tenant_id,
        id: message_id,
        conversation_id: id,
        contact_id,
        channel_id,
        content: Content::Text {
            body: "x".into(),
            preview_url: false,
        },
        way: Way::Out {
            purpose: Purpose::Reply,
            template_key: None,
            idempotency_key: None,
            request_hash: None,
            due_at: NOW,
        },
        reply_to: None,
        cause: None,
    };
    messages::add_many(tx, keyring, &[message], NOW)?;
    Ok(Hint {
        tenant_id,
        conversation_id: id,
        message_id,
        priority: 10,
    })
}

store_test!(a_claim_in_doubt_is_taken_back, |db| async move {
    let keyring = Keyring::new(&Zeroizing::new([7; 32]));
    let outcome = db.store().write(move |tx| {
        let hint = one_queued(tx, &keyring)?;
        let node = NodeId::from_uuid(uuid(6));
        let [first, second, foreign] = [7, 8, 9].map(|n| AttemptId::from_uuid(uuid(n)));
        assert_eq!(claim(tx, &[(hint, first)], node, NOW)?.len(), 1);
        assert_eq!(
            release(tx, &[(hint, foreign)], NOW)?,
            0,
            "only its own attempt"
        );
        assert_eq!(release(tx, &[(hint, first)], NOW)?, 1);
        assert_eq!(release(tx, &[(hint, first)], NOW)?, 0, "once");
        let row = messages::get(tx, hint.tenant_id, hint.message_id)?;
        assert_eq!(
            row.map(|row| (row.status, row.attempts)),
            Some(("queued".into(), 0))
        );
        assert!(messages::attempts(tx, hint.tenant_id, hint.message_id)?.is_empty());
        let again = claim(tx, &[(hint, second)], node, NOW)?;
        assert_eq!(again.first().map(|claimed| claimed.attempts), Some(1));
        Ok(())
    });
    assert_eq!(outcome.await, Ok(()));
});
