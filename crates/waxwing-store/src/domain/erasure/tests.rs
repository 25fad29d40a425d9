use std::collections::BTreeSet;

use waxwing_core::content::Content;
use waxwing_core::identity::{Identity, ProviderMessageId};
use waxwing_core::ids::{MessageId, WebhookEventId};
use waxwing_core::phone::Phone;

use super::*;
use crate::Scope;
use crate::domain::contacts::{self, NewContact};
use crate::domain::messages::{self, NewMessage, Way};
use crate::domain::queue::tests::{CHANNEL, NOW, TENANT, queued, uuid};
use crate::domain::queue::{End, Record};
use crate::domain::{inbox, queue, tenants};
use crate::{Statement, store_test};

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

static RAW: Statement = Statement::new(
    "RAW",
    "INSERT INTO webhook_events (id, provider, partition, partition_mask, query, state, body_sealed, body_hash, secret_hash, \
     crashes, received_at) VALUES ($1, 'meta', 0, 1, '', $2, $3, $4, $4, 0, 1)",
    Scope::Global,
);

fn raw(tx: &mut Tx<'_>, n: u128, state: &str, body: &str) -> Result<(), StoreError> {
    let id = WebhookEventId::from_uuid(uuid(n));
    let (sealed, hash) = inbox::seal_body(&keyring(), id, body.as_bytes());
    tx.execute(&RAW, &params![id, state, sealed, hash])
        .map(|_| ())
}

static RAW_LEFT: Statement = Statement::new(
    "RAW_LEFT",
    "SELECT id FROM webhook_events WHERE id <> $1 ORDER BY id",
    Scope::Global,
);
static RAW_DONE: Statement = Statement::new(
    "RAW_DONE",
    "UPDATE webhook_events SET state = 'done' WHERE id = $1",
    Scope::Global,
);

/// Runs steps, each by a process that has just started, until nothing is left or it waits.
fn run(tx: &mut Tx<'_>) -> Result<Step, StoreError> {
    for _ in 0..500 {
        match step(tx, &keyring(), NOW)? {
            Step::Did => {}
            other => return Ok(other),
        }
    }
    panic!("it does not end");
}

/// An inbound message in the conversation of the first queued one.
fn inbound(tx: &mut Tx<'_>, contact: ContactId, n: u128) -> Result<MessageId, StoreError> {
    let id = MessageId::from_uuid(uuid(n));
    let message = NewMessage {
        tenant_id: TENANT,
        id,
        conversation_id: waxwing_core::ids::ConversationId::from_uuid(contact.uuid()),
        contact_id: contact,
        channel_id: CHANNEL,
        content: Content::Text {
            body: "my secret".into(),
            preview_url: false,
        },
        way: Way::In {
            provider_id: ProviderMessageId::parse("wamid.x").unwrap(),
            sent_at: NOW,
        },
        reply_to: None,
        cause: None,
    };
    messages::add_many(tx, &keyring(), &[message], NOW)?;
    Ok(id)
}

fn phone_of(tx: &mut Tx<'_>, contact: ContactId) -> Result<String, StoreError> {
    let row = contacts::get(tx, TENANT, contact)?.unwrap();
    let phone = row.phone(&keyring(), TENANT)?.unwrap();
    Ok(phone.e164())
}

store_test!(
    an_erased_contact_leaves_counts_and_no_words,
    |db| async move {
        let work = db.store().write(|tx| {
            let hints = queued(tx, &keyring(), 2)?;
            let of = |n: usize| ContactId::from_uuid(hints[n].conversation_id.uuid());
            let (ada, bob) = (of(0), of(1));
            let heard = inbound(tx, ada, 900)?;
            let digits = phone_of(tx, ada)?.trim_start_matches('+').to_owned();
            raw(tx, 801, "done", &format!("{{\"from\":\"{digits}\"}}"))?;
            raw(tx, 802, "done", "{\"from\":\"somebody else\"}")?;
            raw(tx, 803, "pending", &format!("{{\"wa_id\":\"{digits}\"}}"))?;
            assert_eq!(
                begin(tx, &keyring(), TENANT, ada, uuid(700), Reason::Request, NOW)?,
                Some(true)
            );
            let again = begin(tx, &keyring(), TENANT, ada, uuid(701), Reason::Request, NOW)?;
            assert_eq!(again, Some(false));
            let nobody = ContactId::from_uuid(uuid(4_242));
            let none = begin(
                tx,
                &keyring(),
                TENANT,
                nobody,
                uuid(702),
                Reason::Request,
                NOW,
            )?;
            assert_eq!(none, None);
            // At once: nothing names them, nothing is sent to them.
            let row = contacts::get(tx, TENANT, ada)?.unwrap();
            assert_eq!((row.phone_sealed, row.profile_name), (None, None));
            let sent = messages::get(tx, &keyring(), TENANT, hints[0].message_id)?.unwrap();
            assert_eq!(sent.status, "cancelled");
            // The raw request that is not handled yet is waited for.
            assert_eq!(run(tx)?, Step::Waits);
            let erasure = of_contact(tx, TENANT, ada)?.unwrap();
            assert!(erasure.done_at.is_none());
            tx.execute(&RAW_DONE, &params![uuid(803)])?;
            assert_eq!(run(tx)?, Step::Idle);
            assert!(of_contact(tx, TENANT, ada)?.unwrap().done_at.is_some());
            let blank = messages::get(tx, &keyring(), TENANT, heard)?.unwrap();
            assert_eq!(
                (blank.status.as_str(), blank.kind.as_str()),
                ("received", "text")
            );
            assert_eq!(blank.content.0, json!({"type": "text", "erased": true}));
            let left: Vec<Uuid> = tx.query(&RAW_LEFT, &params![Uuid::nil()])?;
            assert_eq!(left, [uuid(802)]);
            // Others are as they were.
            assert!(phone_of(tx, bob).is_ok());
            let theirs = messages::get(tx, &keyring(), TENANT, hints[1].message_id)?.unwrap();
            assert_eq!(theirs.status, "queued");
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

store_test!(
    what_is_being_sent_is_blanked_when_it_has_ended,
    |db| async move {
        let work = db.store().write(|tx| {
            let hints = queued(tx, &keyring(), 1)?;
            let ada = ContactId::from_uuid(hints[0].conversation_id.uuid());
            let node = waxwing_core::ids::NodeId::from_uuid(uuid(6));
            let attempt = waxwing_core::ids::AttemptId::from_uuid(uuid(1_000));
            let claims = queue::claim(tx, &keyring(), &[(hints[0], attempt)], node, NOW)?;
            assert_eq!(claims.claimed.len(), 1);
            begin(tx, &keyring(), TENANT, ada, uuid(700), Reason::Request, NOW)?;
            assert_eq!(run(tx)?, Step::Waits);
            let record = Record {
                tenant_id: TENANT,
                message_id: hints[0].message_id,
                attempt_id: attempt,
                conversation_id: hints[0].conversation_id,
                channel_id: hints[0].channel_id,
                end: End::Sent { provider_id: None },
            };
            queue::record(tx, &keyring(), &[record], NOW)?;
            assert_eq!(run(tx)?, Step::Idle);
            let sent = messages::get(tx, &keyring(), TENANT, hints[0].message_id)?.unwrap();
            assert_eq!(sent.status, "sent");
            assert_eq!(sent.content.0["erased"], true);
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

store_test!(an_opt_out_outlives_the_erasure, |db| async move {
    let work = db.store().write(|tx| {
        let hints = queued(tx, &keyring(), 1)?;
        let ada = ContactId::from_uuid(hints[0].conversation_id.uuid());
        let phone = Phone::from_wa_id(phone_of(tx, ada)?.trim_start_matches('+')).unwrap();
        let wish = waxwing_core::consent::Marketing::OptedOut;
        contacts::set_marketing(tx, TENANT, ada, wish, NOW, NOW)?;
        begin(
            tx,
            &keyring(),
            TENANT,
            ada,
            uuid(700),
            Reason::Inactivity,
            NOW,
        )?;
        assert_eq!(run(tx)?, Step::Idle);
        let identity = Identity {
            phone: Some(phone),
            ..Identity::default()
        };
        let back = ContactId::from_uuid(uuid(600));
        let new = NewContact {
            tenant_id: TENANT,
            id: back,
            identity: &identity,
            profile_name: None,
        };
        contacts::create_many(tx, &keyring(), &[new], NOW)?;
        assert_eq!(contacts::marketing(tx, TENANT, back)?, Some(wish));
        Ok(())
    });
    assert_eq!(work.await, Ok(()));
});

store_test!(
    people_of_whom_nothing_was_heard_are_found,
    |db| async move {
        let work = db.store().write(|tx| {
            let hints = queued(tx, &keyring(), 3)?;
            let later = NOW.plus(std::time::Duration::from_secs(200 * 86_400));
            let found = inactive(tx, TENANT, later, None, 10)?;
            assert_eq!(found.len(), hints.len());
            let none = inactive(tx, TENANT, Timestamp::from_seconds(1), None, 10)?;
            assert_eq!(none, []);
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

static TENANT_TABLES: Statement = Statement::new(
    "TENANT_TABLES",
    "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND p.name = 'tenant_id'",
    Scope::Global,
);

#[tokio::test]
async fn no_table_of_a_tenant_is_forgotten() {
    let db = crate::testing::TestDb::sqlite().await;
    let read = db
        .store()
        .read(|tx| tx.query::<String>(&TENANT_TABLES, &[]));
    let there: BTreeSet<String> = read.await.unwrap().into_iter().collect();
    let known = tenant::TABLES.iter().chain(tenant::AT_ONCE);
    let mut known: BTreeSet<String> = known.map(|(name, _)| (*name).to_owned()).collect();
    // Files have to leave their store first; sessions belong to people.
    known.extend(["media_objects".to_owned(), "sessions".to_owned()]);
    assert_eq!(there, known);
}

store_test!(
    an_erased_tenant_is_gone_and_others_are_not,
    |db| async move {
        let work = db.store().write(|tx| {
            queued(tx, &keyring(), 5)?;
            let other = TenantId::from_uuid(uuid(77));
            tenants::create(tx, other, "Other", &Default::default(), NOW)?;
            assert!(tenant::begin(tx, TENANT, NOW)?);
            assert!(!tenant::begin(tx, TENANT, NOW)?);
            assert!(tenants::get(tx, TENANT)?.is_none());
            let mut steps = 0;
            while tenant::step(tx)? {
                steps += 1;
                assert!(steps < 100);
            }
            assert!(tenants::get(tx, other)?.is_some());
            let left: Vec<Uuid> = tx.query(&LEFT, &params![TENANT])?;
            assert!(left.is_empty());
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

static LEFT: Statement = Statement::new(
    "LEFT",
    "SELECT id FROM tenants WHERE id = $1",
    Scope::Global,
);
