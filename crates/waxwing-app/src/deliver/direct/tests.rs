use std::sync::Arc;

use super::*;
use crate::deliver::{DeliveryInbox, signal};
use crate::directory::DirectoryHandle;
use crate::runtime::SystemIds;
use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::identity::Identity;
use waxwing_core::ids::{ChannelId, ContactId, ConversationId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::settings::TenantSettings;
use waxwing_core::step::ConversationState;
use waxwing_core::time::{Clock, Timestamp};
use waxwing_core::window::Window;
use waxwing_store::domain::channels::{self, NewChannel};
use waxwing_store::domain::contacts::{self, NewContact};
use waxwing_store::domain::conversations::{self, Remembered};
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::messages::{self, NewMessage, Way};
use waxwing_store::domain::queue::{End, Record};
use waxwing_store::domain::{tenants, unknown};
use waxwing_store::{Store, store_test};

const NOW: Timestamp = Timestamp::from_seconds(100);
const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const CHANNEL: ChannelId = ChannelId::from_uuid(Uuid::from_u128(2));
const NODE: NodeId = NodeId::from_uuid(Uuid::from_u128(3));

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A tenant with a channel, and a delivery that is open.
struct Scene {
    base: Base,
    directory: Arc<Directory>,
    signal: DeliverySignal,
    inbox: DeliveryInbox,
}

async fn scene(store: &Store) -> Scene {
    let base = Base {
        store: store.clone(),
        keyring: Keyring::for_tests(7),
        clock: Arc::new(Now),
        ids: Arc::new(SystemIds::new()),
    };
    let keyring = base.keyring.clone();
    let created = store.write(move |tx| {
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
        channels::create(tx, &keyring, TENANT, &channel, NOW).map(|_| ())
    });
    created.await.unwrap();
    let directory = DirectoryHandle::load(&base, Vec::new()).await.unwrap();
    let (signal, inbox) = signal();
    inbox.slots.open();
    Scene {
        base,
        directory: directory.current(),
        signal,
        inbox,
    }
}

/// Queues replies: `lanes` says which conversation each belongs to.
fn reply(tx: &mut Tx<'_>, base: &Base, lanes: &[u128]) -> Result<Vec<Hint>, StoreError> {
    let mut hints = Vec::new();
    for lane in lanes {
        let contact_id = ContactId::from_uuid(Uuid::from_u128(*lane));
        let conversation_id = ConversationId::from_uuid(Uuid::from_u128(*lane));
        if conversations::get(tx, TENANT, conversation_id)?.is_none() {
            let identity = Identity {
                phone: Phone::from_wa_id(&format!("1650555{lane:04}")).ok(),
                ..Identity::default()
            };
            let contact = NewContact {
                tenant_id: TENANT,
                id: contact_id,
                identity: &identity,
                profile_name: None,
            };
            contacts::create_many(tx, &base.keyring, &[contact], NOW)?;
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
        }
        let message_id = MessageId::new(&*base.ids);
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
                purpose: Purpose::Reply,
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
        messages::add_many(tx, &base.keyring, &[message], NOW)?;
        hints.push(Hint {
            tenant_id: TENANT,
            conversation_id,
            channel_id: CHANNEL,
            message_id,
            priority: i64::from(Purpose::Reply.priority()),
        });
    }
    Ok(hints)
}

impl Scene {
    fn claimer(
        &self,
        attempts: &Attempts,
    ) -> impl Fn(&mut Tx<'_>, &[u128]) -> Result<(Vec<Hint>, Direct), StoreError>
    + Send
    + Sync
    + 'static
    + use<> {
        let (base, signal, begun) = (self.base.clone(), self.signal.clone(), attempts.clone());
        let directory = Arc::clone(&self.directory);
        move |tx, lanes| {
            let claimer = Claimer {
                base: &base,
                directory: &directory,
                node: NODE,
            };
            let hints = reply(tx, &base, lanes)?;
            let direct = signal.claim_now(tx, &claimer, &hints, &begun)?;
            Ok((hints, direct))
        }
    }

    /// Queues replies and claims what can be claimed, in one transaction.
    async fn reply(
        &self,
        lanes: &'static [u128],
    ) -> Result<(Vec<Hint>, Vec<Taken>, Attempts), StoreError> {
        let attempts = Attempts::default();
        let claim = self.claimer(&attempts);
        let (hints, taken) = self
            .base
            .store
            .write(move |tx| {
                let (hints, direct) = claim(tx, lanes)?;
                let waits = hints.len() - direct.taken.len();
                assert_eq!(direct.hints.len(), waits, "what is not claimed waits");
                Ok((hints, direct.taken))
            })
            .await?;
        Ok((hints, taken, attempts))
    }

    /// The status of a message, whether its outcome is unknown, and how many attempts it had.
    async fn state(&self, hint: &Hint) -> (String, bool, usize) {
        let id = hint.message_id;
        let keyring = self.base.keyring.clone();
        let look = self.base.store.read(move |tx| {
            let row = messages::get(tx, &keyring, TENANT, id)?.expect("the message is there");
            let attempts = messages::attempts(tx, TENANT, id)?.len();
            Ok((row.status, row.outcome_unknown, attempts))
        });
        look.await.unwrap()
    }
}

fn queued() -> (String, bool, usize) {
    ("queued".into(), false, 0)
}

fn sending() -> (String, bool, usize) {
    ("sending".into(), false, 1)
}

store_test!(
    the_first_reply_of_each_conversation_is_claimed,
    |db| async move {
        let scene = scene(db.store()).await;
        let (hints, taken, _) = scene.reply(&[10, 11, 10]).await.unwrap();
        let claimed: Vec<_> = taken.iter().map(Taken::message_id).collect();
        assert_eq!(claimed, [hints[0].message_id, hints[1].message_id]);
        assert_eq!(scene.state(&hints[0]).await, sending());
        assert_eq!(scene.state(&hints[1]).await, sending());
        assert_eq!(scene.state(&hints[2]).await, queued());
        assert!(!scene.inbox.slots.all_back(), "each holds a slot");

        // The lane stays busy until the first one has ended.
        let (later, none, _) = scene.reply(&[10]).await.unwrap();
        assert!(none.is_empty());
        assert_eq!(scene.state(&later[0]).await, queued());

        drop(taken);
        assert!(scene.inbox.slots.all_back());
    }
);

store_test!(a_lane_is_free_again_after_its_record, |db| async move {
    let scene = scene(db.store()).await;
    let (_, taken, _) = scene.reply(&[10]).await.unwrap();
    let claimed = &taken[0].claimed;
    let record = Record {
        tenant_id: TENANT,
        message_id: claimed.message_id,
        conversation_id: claimed.conversation_id,
        channel_id: CHANNEL,
        attempt_id: claimed.attempt_id,
        end: End::Sent { provider_id: None },
    };
    let keyring = scene.base.keyring.clone();
    let recorded = db
        .store()
        .write(move |tx| queue::record(tx, &keyring, std::slice::from_ref(&record), NOW));
    assert_eq!(recorded.await, Ok(vec![true]));
    let (hints, again, _) = scene.reply(&[10]).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(scene.state(&hints[0]).await, sending());
});

store_test!(without_room_replies_wait_in_the_queue, |db| async move {
    let scene = scene(db.store()).await;
    let all: Vec<_> =
        std::iter::from_fn(|| scene.inbox.slots.take_for_reply(TENANT, CHANNEL)).collect();
    let (hints, taken, attempts) = scene.reply(&[10]).await.unwrap();
    assert!(taken.is_empty());
    assert!(attempts.take().is_empty());
    assert_eq!(scene.state(&hints[0]).await, queued());
    drop(all);

    scene.inbox.slots.close();
    let (hints, taken, _) = scene.reply(&[11]).await.unwrap();
    assert!(taken.is_empty(), "the process ends");
    assert_eq!(scene.state(&hints[0]).await, queued());
});

store_test!(a_channel_that_stops_is_not_sent_through, |db| async move {
    let scene = scene(db.store()).await;
    let broken = |broken: Option<&'static str>| {
        db.store().write(move |tx| {
            channels::set_status(
                tx,
                TENANT,
                CHANNEL,
                broken.map(str::to_owned).as_deref(),
                NOW,
            )
        })
    };
    assert_eq!(broken(Some("no token")).await, Ok(true));
    let (hints, taken, _) = scene.reply(&[10]).await.unwrap();
    assert!(taken.is_empty());
    assert_eq!(scene.state(&hints[0]).await, queued());
    assert!(scene.inbox.slots.all_back());
});

store_test!(a_paused_channel_is_not_sent_through, |db| async move {
    let scene = scene(db.store()).await;
    let (_, taken, _) = scene.reply(&[10]).await.unwrap();
    let claimed = &taken[0].claimed;
    let record = Record {
        tenant_id: TENANT,
        message_id: claimed.message_id,
        conversation_id: claimed.conversation_id,
        channel_id: CHANNEL,
        attempt_id: claimed.attempt_id,
        end: End::Retry {
            due_at: NOW.plus(std::time::Duration::from_secs(5)),
            counts: true,
            error: waxwing_core::errors::ProviderError::own(
                waxwing_core::errors::ErrorClass::Retry,
                "too fast",
            ),
            pause_channel: true,
        },
    };
    let keyring = scene.base.keyring.clone();
    let recorded = db
        .store()
        .write(move |tx| queue::record(tx, &keyring, std::slice::from_ref(&record), NOW));
    assert_eq!(recorded.await, Ok(vec![true]));
    let (hints, none, _) = scene.reply(&[11]).await.unwrap();
    assert!(none.is_empty());
    assert_eq!(scene.state(&hints[0]).await, queued());
});

store_test!(
    a_transaction_that_fails_gives_its_slots_back,
    |db| async move {
        let scene = scene(db.store()).await;
        let claim = scene.claimer(&Attempts::default());
        let failed = db.store().write(move |tx| {
            assert_eq!(claim(tx, &[10])?.1.taken.len(), 1);
            Err::<(), _>(StoreError::Refused("something else is wrong"))
        });
        assert_eq!(
            failed.await,
            Err(StoreError::Refused("something else is wrong"))
        );
        assert!(scene.inbox.slots.all_back());
    }
);

store_test!(
    a_claim_whose_commit_is_in_doubt_goes_back,
    |db| async move {
        let scene = scene(db.store()).await;
        let (hints, taken, attempts) = scene.reply(&[10]).await.unwrap();
        drop(taken);
        let begun = attempts.take();
        assert_eq!(begun.len(), 1);
        let released = db.store().write(move |tx| queue::release(tx, &begun, NOW));
        assert_eq!(released.await, Ok(1));
        assert_eq!(scene.state(&hints[0]).await, queued());
    }
);

store_test!(
    a_process_that_dies_before_it_sends_leaves_an_unknown,
    |db| async move {
        let scene = scene(db.store()).await;
        let (hints, taken, _) = scene.reply(&[10]).await.unwrap();
        drop(taken);
        let found = db
            .store()
            .write(|tx| unknown::recover(tx, NODE, NOW))
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            scene.state(&hints[0]).await,
            ("sending".into(), true, 1),
            "shown as it is"
        );
    }
);
