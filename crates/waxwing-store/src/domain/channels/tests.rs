use waxwing_core::channel::credential;

use super::*;
use crate::domain::tenants;
use crate::store_test;
use waxwing_core::settings::TenantSettings;
const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn id(n: u128) -> ChannelId {
    ChannelId::from_uuid(Uuid::from_u128(n))
}

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

fn new(n: u128, sender: &str, account: Option<&str>, app_secret: Option<&str>) -> NewChannel {
    let mut credentials =
        Credentials::new().with(credential::ACCESS_TOKEN, Secret::new("EAAtoken"));
    if let Some(secret) = app_secret {
        credentials.set(credential::APP_SECRET, Secret::new(secret));
    }
    NewChannel {
        id: id(n),
        kind: ChannelKind::Meta,
        name: "Main".into(),
        sender_id: sender.into(),
        account_id: account.map(Into::into),
        display_phone: None,
        credentials,
    }
}

fn two_tenants(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for tenant in [A, B] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), at(0))?;
    }
    Ok(())
}

store_test!(channels_belong_to_one_tenant, |db| async move {
    let keys = keyring();
    let outcome = db.store().write(move |tx| {
        two_tenants(tx)?;
        let made = create(
            tx,
            &keys,
            A,
            &new(1, "100", Some("w1"), Some("s3cret")),
            at(1),
        )?;
        create(tx, &keys, B, &new(2, "200", Some("w2"), None), at(1))?;
        assert_eq!(get(tx, &keys, A, id(1))?.as_ref(), Some(&made));
        assert_eq!(get(tx, &keys, B, id(1))?, None);
        assert_eq!(
            update(tx, &keys, B, id(1), at(2), |draft| draft.name =
                "mine".into())?,
            None
        );
        assert!(!disable(tx, &keys, B, id(1), at(2))?);
        assert!(!set_status(tx, B, id(1), Some("x"), at(2))?);
        assert_eq!(list(tx, &keys, A, None, 10)?.len(), 1);
        assert!(list(tx, &keys, A, Some(id(1)), 10)?.is_empty());
        assert_eq!(
            get(tx, &keys, A, id(1))?.as_ref(),
            Some(&made),
            "nothing of it changed"
        );
        Ok(made)
    });
    let made = outcome.await.unwrap();
    assert_eq!(
        made.secret_hash,
        Some(secret_hash(&keyring(), &Secret::new("s3cret")))
    );
    assert_eq!(
        made.credentials
            .get(credential::ACCESS_TOKEN)
            .map(Secret::expose),
        Some("EAAtoken")
    );
    let shown = format!("{made:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("EAAtoken"),
        "{shown}"
    );
});

store_test!(
    a_number_belongs_to_one_channel_of_all_tenants,
    |db| async move {
        let keys = keyring();
        let first = keys.clone();
        db.store()
            .write(move |tx| {
                two_tenants(tx)?;
                create(tx, &first, A, &new(1, "100", None, None), at(1)).map(|_| ())
            })
            .await
            .unwrap();
        for tenant in [A, B] {
            let keys = keys.clone();
            let taken = db
                .store()
                .write(move |tx| create(tx, &keys, tenant, &new(2, "100", None, None), at(2)))
                .await;
            let Err(StoreError::Conflict { constraint }) = taken else {
                panic!("the number is used: {taken:?}");
            };
            assert!(constraint.contains("channel_routes"), "{constraint}");
        }
        let again = keys.clone();
        let outcome = db.store().write(move |tx| {
            assert!(
                get(tx, &again, B, id(2))?.is_none(),
                "the refused channel left nothing"
            );
            assert!(disable(tx, &again, A, id(1), at(3))?);
            assert_eq!(by_sender(tx, ChannelKind::Meta, "100")?, None);
            create(tx, &again, B, &new(3, "100", None, None), at(4))?;
            by_sender(tx, ChannelKind::Meta, "100")
        });
        assert_eq!(outcome.await.unwrap(), Some((B, id(3))));
        let enabled = db
            .store()
            .write(move |tx| update(tx, &keys, A, id(1), at(5), |draft| draft.enabled = true))
            .await;
        assert!(
            matches!(enabled, Err(StoreError::Conflict { .. })),
            "{enabled:?}"
        );
    }
);

store_test!(
    an_account_resolves_when_one_channel_has_it,
    |db| async move {
        let keys = keyring();
        let outcome = db.store().write(move |tx| {
            two_tenants(tx)?;
            create(tx, &keys, A, &new(1, "100", Some("w1"), None), at(1))?;
            let alone = by_account(tx, ChannelKind::Meta, "w1")?;
            create(tx, &keys, A, &new(2, "200", None, None), at(1))?;
            update(tx, &keys, A, id(2), at(2), |draft| {
                draft.account_id = Some("w1".into())
            })?;
            let two = by_account(tx, ChannelKind::Meta, "w1")?;
            disable(tx, &keys, A, id(1), at(3))?;
            let left = by_account(tx, ChannelKind::Meta, "w1")?;
            Ok([alone, two, left, by_account(tx, ChannelKind::Twilio, "w1")?])
        });
        assert_eq!(
            outcome.await.unwrap(),
            [Some((A, id(1))), None, Some((A, id(2))), None]
        );
    }
);

store_test!(
    broken_ends_with_new_credentials_and_never_touches_disabled,
    |db| async move {
        let keys = keyring();
        let outcome = db.store().write(move |tx| {
            two_tenants(tx)?;
            create(tx, &keys, A, &new(1, "100", None, None), at(1))?;
            let mut epochs = vec![epoch(tx)?];
            assert!(set_status(tx, A, id(1), Some("token expired"), at(2))?);
            epochs.push(epoch(tx)?);
            let broken = get(tx, &keys, A, id(1))?.expect("it exists");
            assert_eq!(
                (broken.status, broken.status_reason.as_deref()),
                (ChannelStatus::Broken, Some("token expired"))
            );
            let renamed = update(tx, &keys, A, id(1), at(3), |draft| {
                draft.name = "New".into()
            })?
            .expect("it exists");
            assert_eq!(
                renamed.status,
                ChannelStatus::Broken,
                "a name mends nothing"
            );
            epochs.push(epoch(tx)?);
            let mended = update(tx, &keys, A, id(1), at(4), |draft| {
                draft
                    .credentials
                    .set(credential::ACCESS_TOKEN, Secret::new("new"))
            })?;
            let mended = mended.expect("it exists");
            assert_eq!(
                (mended.status, mended.status_reason.clone()),
                (ChannelStatus::Active, None)
            );
            assert_eq!(get(tx, &keys, A, id(1))?, Some(mended));
            assert!(disable(tx, &keys, A, id(1), at(5))?);
            assert!(!set_status(tx, A, id(1), None, at(6))?);
            assert!(load_directory(tx, &keys)?.0.is_empty());
            epochs.push(epoch(tx)?);
            Ok(epochs)
        });
        let epochs = outcome.await.unwrap();
        assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    }
);

store_test!(
    the_directory_has_all_tenants_and_survives_a_foreign_key,
    |db| async move {
        let keys = keyring();
        let outcome = db.store().write(move |tx| {
            two_tenants(tx)?;
            create(tx, &keys, A, &new(1, "100", None, Some("own")), at(1))?;
            let other = Keyring::for_tests(8);
            create(tx, &other, B, &new(2, "200", None, None), at(1))?;
            create(tx, &keys, B, &new(3, "300", None, None), at(1))?;
            load_directory(tx, &keys)
        });
        let (mut opened, sealed) = outcome.await.unwrap();
        opened.sort_by_key(|record| record.channel_id);
        let found: Vec<_> = opened
            .iter()
            .map(|record| (record.tenant_id, record.channel_id))
            .collect();
        assert_eq!((found, sealed), (vec![(A, id(1)), (B, id(3))], vec![id(2)]));
    }
);

store_test!(
    a_channel_of_the_settings_is_made_then_brought_up_to_date,
    |db| async move {
        let keys = keyring();
        let outcome = db.store().write(move |tx| {
            two_tenants(tx)?;
            let first = ensure(tx, &keys, A, &new(1, "100", None, None), at(1))?;
            let before = epoch(tx)?;
            let same = ensure(tx, &keys, A, &new(2, "100", None, None), at(2))?;
            assert_eq!((&same, epoch(tx)?), (&first, before), "nothing to do");
            let changed = ensure(
                tx,
                &keys,
                A,
                &new(3, "100", Some("w"), Some("secret")),
                at(3),
            )?;
            assert_eq!(
                (changed.channel_id, changed.account_id.as_deref()),
                (id(1), Some("w"))
            );
            assert!(changed.secret_hash.is_some());
            Ok(keys.clone())
        });
        let keys = outcome.await.unwrap();
        let foreign = db
            .store()
            .write(move |tx| ensure(tx, &keys, B, &new(4, "100", None, None), at(4)))
            .await;
        assert!(
            matches!(foreign, Err(StoreError::Conflict { .. })),
            "{foreign:?}"
        );
    }
);
