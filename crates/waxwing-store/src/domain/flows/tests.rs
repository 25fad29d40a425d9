use super::*;
use crate::store_test;
use uuid::Uuid;
use waxwing_core::settings::TenantSettings;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn id(n: u128) -> FlowId {
    FlowId::from_uuid(Uuid::from_u128(n))
}

fn set(fallback: &str) -> FlowSet {
    FlowSet {
        flows: Vec::new(),
        fallback_template_key: Some(fallback.into()),
    }
}

store_test!(each_put_is_a_new_version_of_its_tenant, |db| async move {
    let outcome = db.store().write(|tx| {
        for tenant in [A, B] {
            tenants::create(
                tx,
                tenant,
                "T",
                &TenantSettings::default(),
                Timestamp::default(),
            )?;
        }
        assert_eq!(current(tx, A)?, None);
        let now = Timestamp::from_seconds(3);
        put(tx, A, id(1), &set("one"), now)?;
        put(tx, B, id(2), &set("other"), now)?;
        let put_last = put(tx, A, id(3), &set("two"), now)?;
        assert_eq!(put_last, current(tx, A)?);
        let nobody = TenantId::from_uuid(Uuid::from_u128(0xc));
        assert_eq!(put(tx, nobody, id(4), &set("x"), now)?, None);
        Ok([current(tx, A)?, current(tx, B)?]
            .map(|record| record.map(|r| (r.version, r.set.fallback_template_key))))
    });
    assert_eq!(
        outcome.await.unwrap(),
        [
            Some((2, Some("two".into()))),
            Some((1, Some("other".into())))
        ]
    );
});

store_test!(parallel_puts_count_without_gaps, |db| async move {
    db.store()
        .write(|tx| {
            tenants::create(tx, A, "T", &TenantSettings::default(), Timestamp::default())
                .map(|_| ())
        })
        .await
        .unwrap();
    let tasks: Vec<_> = (1..=8u128)
        .map(|n| {
            let store = db.store().clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| put(tx, A, id(n), &set("x"), Timestamp::default()))
                    .await
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap().unwrap().unwrap().version);
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
});
