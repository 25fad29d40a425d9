use super::*;
use crate::domain::channels::{self, NewChannel};
use crate::domain::crypto::Keyring;
use crate::domain::tenants;
use crate::store_test;
use serde_json::json;
use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::settings::TenantSettings;

pub(crate) const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
pub(crate) const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(crate) fn channel(n: u128) -> ChannelId {
    ChannelId::from_uuid(Uuid::from_u128(n))
}

fn id(n: u128) -> MessageTemplateId {
    MessageTemplateId::from_uuid(Uuid::from_u128(n))
}

/// A has the channels 1 and 2, B has 3.
pub(crate) fn two_tenants(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let keyring = Keyring::for_tests(7);
    for (tenant, numbers) in [(A, &[1, 2][..]), (B, &[3])] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), at(0))?;
        for n in numbers {
            let new = NewChannel {
                id: channel(*n),
                kind: ChannelKind::Meta,
                name: "Main".into(),
                sender_id: n.to_string(),
                account_id: Some("waba".into()),
                display_phone: None,
                credentials: Credentials::new(),
            };
            channels::create(tx, &keyring, tenant, &new, at(0))?;
        }
    }
    Ok(())
}

fn record(n: u128, on: u128, name: &str, language: &str) -> MessageTemplateRecord {
    let components = [
        json!({"type": "BODY", "text": "Hi {{1}}, hello.", "example": {"body_text": [["Ada"]]}}),
        json!({"type": "GLITTER", "much": true}),
    ];
    let category = TemplateCategory::Utility;
    let mut template = MessageTemplate::new(name, language, category, None, &components);
    template.ttl_seconds = Some(60);
    MessageTemplateRecord {
        id: id(n),
        channel_id: channel(on),
        provider_id: None,
        template,
        standing: Standing::draft(category),
        submitted_at: None,
        told_at: None,
        synced_at: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

store_test!(
    message_templates_are_kept_whole_and_by_tenant,
    |db| async move {
        let outcome = db.store().write(|tx| {
            two_tenants(tx)?;
            let made = record(1, 1, "order", "en_US");
            assert_eq!(create(tx, A, &made)?, Creation::Created);
            assert_eq!(get(tx, A, id(1))?.as_ref(), Some(&made));
            assert_eq!(get(tx, B, id(1))?, None);
            assert_eq!(
                create(tx, A, &record(2, 1, "order", "en_US"))?,
                Creation::Taken
            );
            assert_eq!(
                create(tx, A, &record(2, 1, "order", "de"))?,
                Creation::Created
            );
            assert_eq!(
                create(tx, B, &record(3, 3, "order", "en_US"))?,
                Creation::Created
            );
            let mut changed = lock(tx, A, id(1))?.expect("it is there");
            changed.provider_id = Some("17".into());
            changed.standing.status = TemplateStatus::Approved;
            changed.standing.quality = TemplateQuality::Yellow;
            changed.standing.category = TemplateCategory::Marketing;
            changed.standing.next_category = Some(TemplateCategory::Utility);
            changed.standing.reason = Some("because".into());
            changed.template.category = TemplateCategory::Marketing;
            changed.told_at = Some(at(3));
            changed.updated_at = at(4);
            save(tx, A, &changed, at(4))?;
            assert_eq!(get(tx, A, id(1))?, Some(changed));
            save(tx, B, &record(1, 1, "stolen", "en"), at(5))?;
            assert!(!delete(tx, B, id(1))?);
            Ok(get(tx, A, id(1))?.expect("it is there").template.name)
        });
        assert_eq!(outcome.await.unwrap(), "order");
    }
);

store_test!(a_name_is_taken_once_by_channel, |db| async move {
    let taken = db.store().write(|tx| {
        two_tenants(tx)?;
        create(tx, A, &record(1, 1, "one", "en"))?;
        create(tx, A, &record(2, 1, "two", "en"))?;
        let mut two = record(2, 1, "one", "en");
        two.updated_at = at(2);
        save(tx, A, &two, at(2))
    });
    assert!(matches!(taken.await, Err(StoreError::Conflict { .. })));
});

store_test!(
    templates_are_found_as_providers_name_them,
    |db| async move {
        db.store()
            .write(|tx| {
                two_tenants(tx)?;
                for (n, on, name, language) in [
                    (1, 1, "order", "en"),
                    (2, 2, "order", "de"),
                    (3, 2, "other", "en"),
                ] {
                    let mut made = record(n, on, name, language);
                    made.provider_id = Some(format!("p{n}"));
                    if n == 3 {
                        made.standing.status = TemplateStatus::Pending;
                    }
                    create(tx, A, &made)?;
                }
                let both = [channel(1), channel(2)];
                let mut found = |channels: &[ChannelId], provider: Option<&str>, name, language| {
                    find(tx, A, channels, provider, name, language)
                };
                assert_eq!(found(&both, Some("p2"), None, None)?, Some(id(2)));
                assert_eq!(found(&both[..1], Some("p2"), None, None)?, None);
                assert_eq!(
                    found(&both, Some("new"), Some("order"), Some("de"))?,
                    Some(id(2))
                );
                assert_eq!(found(&both, None, Some("order"), Some("fr"))?, None);
                assert_eq!(by_name(tx, A, &both, "order")?.len(), 2);
                assert_eq!(by_name(tx, A, &both[1..], "order")?.len(), 1);
                assert_eq!(of_channel(tx, A, channel(2))?, [id(2), id(3)]);
                assert_eq!(pending(tx, 10)?, [(A, channel(2), id(3))]);
                let only = |filter: &Filter, tx: &mut Tx<'_>| -> Result<usize, StoreError> {
                    Ok(list(tx, A, filter, None, 10)?.len())
                };
                let name = Filter {
                    name: Some("order".into()),
                    ..Filter::default()
                };
                assert_eq!(only(&name, tx)?, 2);
                let status = Filter {
                    status: Some("pending".into()),
                    channel_id: Some(channel(2)),
                    ..Filter::default()
                };
                assert_eq!(only(&status, tx)?, 1);
                assert_eq!(list(tx, A, &Filter::default(), Some(id(1)), 1)?.len(), 1);
                assert!(delete(tx, A, id(3))?);
                assert_eq!(only(&Filter::default(), tx)?, 2);
                Ok(())
            })
            .await
            .unwrap();
    }
);
