use super::*;
use crate::domain::channels::{self, NewChannel};
use crate::domain::tenants;
use crate::store_test;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::settings::TenantSettings;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));
const NODE: NodeId = NodeId::from_uuid(Uuid::from_u128(0xd));
const CHANNEL: ChannelId = ChannelId::from_uuid(Uuid::from_u128(0xc));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn keys() -> Keyring {
    Keyring::for_tests(5)
}

fn media_id(n: u128) -> MediaId {
    MediaId::from_uuid(Uuid::from_u128(n))
}

fn prepare(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for tenant in [A, B] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), at(0))?;
        let channel = NewChannel {
            id: CHANNEL,
            kind: ChannelKind::Meta,
            name: "Main".into(),
            sender_id: tenant.to_string(),
            account_id: None,
            display_phone: None,
            credentials: Credentials::new(),
        };
        channels::create(tx, &keys(), tenant, &channel, at(0))?;
    }
    Ok(())
}

fn received(tenant: TenantId, n: u128) -> NewMedia {
    NewMedia {
        tenant_id: tenant,
        id: media_id(n),
        kind: MediaKind::Image,
        channel_id: CHANNEL,
        message_id: MessageId::from_uuid(Uuid::from_u128(n)),
        media: Media {
            id: Some(format!("provider-{n}")),
            mime_type: Some("image/jpeg; x=y".into()),
            filename: Some("a.jpg".into()),
            ..Media::default()
        },
        give_up_at: at(1_000),
        expires_at: at(2_000),
    }
}

fn content(object: u128, sha: u8) -> Stored {
    Stored {
        object: Uuid::from_u128(object),
        mime: "image/png".into(),
        mismatch: true,
        size: 7,
        sha256: [sha; 32],
    }
}

fn one(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    n: u128,
    object: u128,
    now: i64,
) -> Result<Option<Claimed>, StoreError> {
    let wanted = [(tenant, media_id(n), Uuid::from_u128(object))];
    Ok(claim(tx, &keys(), &wanted, NODE, at(now + 100), at(now))?.pop())
}

store_test!(
    a_file_is_claimed_once_and_taken_over_after_its_lease,
    |db| async move {
        let outcome = db.store().write(|tx| {
            prepare(tx)?;
            add_many(tx, &keys(), &[received(A, 1), received(B, 2)], at(1))?;
            assert_eq!(due(tx, 10, at(0))?, []);
            assert_eq!(due(tx, 10, at(1))?, [(A, media_id(1)), (B, media_id(2))]);
            let first = one(tx, A, 1, 11, 1)?.expect("it is due");
            assert_eq!((first.attempts, first.kind), (1, MediaKind::Image));
            assert_eq!(first.source.id.as_deref(), Some("provider-1"));
            assert!(one(tx, A, 1, 12, 2)?.is_none(), "claimed");
            assert!(one(tx, B, 1, 12, 2)?.is_none(), "another tenant's");
            assert_eq!(due(tx, 10, at(2))?, [(B, media_id(2))]);

            // The first holder is silent: after the lease somebody else may try, and the first one's word counts no more.
            let second = one(tx, A, 1, 13, 200)?.expect("the lease is over");
            assert_eq!(second.attempts, 2);
            assert!(!stored(tx, &first, &content(11, 1), at(201))?);
            assert!(stored(tx, &second, &content(13, 1), at(202))?);
            assert!(
                !stored(tx, &second, &content(13, 1), at(203)).unwrap_or(false),
                "once"
            );
            let row = get(tx, A, media_id(1))?.expect("there");
            assert_eq!(
                (row.status.as_str(), row.mime.as_deref(), row.mismatch),
                ("stored", Some("image/png"), true)
            );
            assert_eq!(
                open_name(&keys(), A, row.id, row.filename_sealed.as_deref())?.as_deref(),
                Some("a.jpg")
            );
            assert!(get(tx, B, media_id(1))?.is_none());
            Ok(())
        });
        outcome.await.unwrap();
    }
);

store_test!(
    the_same_content_is_kept_once_for_each_tenant_and_goes_with_its_last_file,
    |db| async move {
        let outcome = db.store().write(|tx| {
            prepare(tx)?;
            begin_objects(
                tx,
                &[
                    (A, Uuid::from_u128(1)),
                    (A, Uuid::from_u128(2)),
                    (B, Uuid::from_u128(3)),
                ],
                at(1),
            )?;
            let name = Some("x.png");
            let mut add = |tenant, n, object, expires| {
                add_stored(
                    tx,
                    &keys(),
                    tenant,
                    media_id(n),
                    MediaKind::Image,
                    name,
                    &content(object, 9),
                    at(expires),
                    at(1),
                )
            };
            let (first, second, other) = (add(A, 1, 1, 50)?, add(A, 2, 2, 100)?, add(B, 3, 3, 50)?);
            assert_eq!(first.object_id, Some(Uuid::from_u128(1)));
            assert_eq!(
                second.object_id, first.object_id,
                "the second upload refers to the first one's object"
            );
            assert_eq!(
                other.object_id,
                Some(Uuid::from_u128(3)),
                "tenants share nothing"
            );
            assert_eq!(
                deleting(tx, 10, at(1))?,
                [(A, Uuid::from_u128(2))],
                "the spare one goes"
            );
            assert_eq!(totals(tx)?, (2, 14, 0));

            keep_until(tx, A, media_id(2), at(300))?;
            assert_eq!(delete_expired(tx, 10, at(60))?, 2);
            let mut gone = deleting(tx, 10, at(60))?;
            gone.sort_unstable();
            assert_eq!(gone, [(A, Uuid::from_u128(2)), (B, Uuid::from_u128(3))]);
            forget_objects(tx, &gone)?;
            assert_eq!(delete_expired(tx, 10, at(200))?, 0, "it is used longer");
            assert_eq!(delete_expired(tx, 10, at(301))?, 1);
            assert_eq!(deleting(tx, 10, at(301))?, [(A, Uuid::from_u128(1))]);
            forget_objects(tx, &[(A, Uuid::from_u128(1))])?;
            assert_eq!(totals(tx)?, (0, 0, 0));
            Ok(())
        });
        outcome.await.unwrap();
    }
);

store_test!(
    what_fails_is_shown_and_may_be_tried_again,
    |db| async move {
        let outcome = db.store().write(|tx| {
            prepare(tx)?;
            add_many(tx, &keys(), &[received(A, 1)], at(1))?;
            let passing = ProviderError::own(ErrorClass::Retry, "later");
            let claimed = one(tx, A, 1, 11, 1)?.expect("due");
            again(tx, &claimed, &passing, false, at(10), at(2))?;
            assert!(one(tx, A, 1, 12, 9)?.is_none());
            let claimed = one(tx, A, 1, 12, 10)?.expect("due again");
            assert_eq!(claimed.attempts, 1, "the one before did not count");
            failed(
                tx,
                &claimed,
                &ProviderError::own(ErrorClass::Media, "gone"),
                at(11),
            )?;
            let row = get(tx, A, media_id(1))?.expect("there");
            assert_eq!(
                (row.status.as_str(), row.error_message.as_deref()),
                ("failed", Some("gone"))
            );
            assert_eq!(list(tx, A, Some("failed".into()), None, 10)?.len(), 1);
            assert_eq!(list(tx, B, None, None, 10)?.len(), 0);
            assert_eq!(deleting(tx, 10, at(20))?.len(), 2, "both objects go");
            assert!(retry(tx, A, media_id(1), at(500), at(12))?);
            assert!(!retry(tx, A, media_id(1), at(500), at(12))?);
            assert_eq!(due(tx, 10, at(12))?, [(A, media_id(1))]);

            let claimed = one(tx, A, 1, 14, 12)?.expect("due");
            assert_eq!(mark_lost(tx, at(12), 10)?, 0, "it may still be written");
            assert_eq!(mark_lost(tx, at(13), 10)?, 1);
            let late = stored(tx, &claimed, &content(14, 1), at(14));
            assert!(
                matches!(late, Err(StoreError::Refused(_))),
                "its object was taken away"
            );
            Ok(())
        });
        outcome.await.unwrap();
    }
);

// The same content arrives in many uploads at once: one object stays, and each file has it.
store_test!(parallel_uploads_of_one_content_agree, |db| async move {
    db.store().write(prepare).await.unwrap();
    let tasks: Vec<_> = (1..=8u128)
        .map(|n| {
            let store = db.store().clone();
            tokio::spawn(async move {
                let begin =
                    move |tx: &mut Tx<'_>| begin_objects(tx, &[(A, Uuid::from_u128(n))], at(1));
                store.write(begin).await.unwrap();
                loop {
                    let write = move |tx: &mut Tx<'_>| {
                        add_stored(
                            tx,
                            &keys(),
                            A,
                            media_id(n),
                            MediaKind::Image,
                            None,
                            &content(n, 1),
                            at(9),
                            at(1),
                        )
                    };
                    match store.write(write).await {
                        Ok(row) => return row.object_id,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    let mut objects = std::collections::BTreeSet::new();
    for task in tasks {
        objects.insert(task.await.unwrap());
    }
    assert_eq!(objects.len(), 1);
    let (count, spare) = db
        .store()
        .read(|tx| Ok((totals(tx)?.0, deleting(tx, 10, at(1))?.len())))
        .await
        .unwrap();
    assert_eq!((count, spare), (1, 7));
});

store_test!(
    what_a_dead_process_held_is_taken_over_at_once,
    |db| async move {
        let outcome = db.store().write(|tx| {
            prepare(tx)?;
            add_many(tx, &keys(), &[received(A, 1), received(B, 2)], at(1))?;
            let first = one(tx, A, 1, 11, 1)?.expect("due");
            let other = NodeId::from_uuid(Uuid::from_u128(0xe));
            assert_eq!(release(tx, other, at(2))?, 0);
            assert_eq!(release(tx, NODE, at(2))?, 1);
            let again = one(tx, A, 1, 12, 2)?.expect("due again");
            assert_eq!(again.attempts, 1, "it does not count");
            assert!(
                !stored(tx, &first, &content(11, 1), at(3))?,
                "the dead one comes too late"
            );
            assert!(stored(tx, &again, &content(12, 1), at(3))?);
            assert_eq!(release(tx, NODE, at(4))?, 0);
            Ok(())
        });
        outcome.await.unwrap();
    }
);
