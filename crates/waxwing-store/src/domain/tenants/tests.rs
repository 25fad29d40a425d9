use super::*;
use crate::store_test;
use waxwing_core::ids::{FlowId, TemplateId};
use waxwing_core::template::TemplateForm;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn two_tenants(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    create(tx, A, "A", &TenantSettings::default(), at(1))?;
    create(tx, B, "B", &TenantSettings::default(), at(1))?;
    Ok(())
}

store_test!(
    the_default_tenant_is_made_once_and_keeps_its_settings,
    |db| async move {
        let ensure = |country: Option<&str>| {
            let settings = TenantSettings {
                default_country: country.map(Into::into),
                ..TenantSettings::default()
            };
            db.store()
                .write(move |tx| ensure_default(tx, &settings, at(1)))
        };
        let (first, second) = tokio::join!(ensure(Some("DE")), ensure(Some("DE")));
        assert_eq!(first.unwrap(), second.unwrap());
        let third = ensure(None).await.unwrap();
        assert_eq!(
            (third.id, third.settings.default_country.as_deref()),
            (DEFAULT_TENANT, Some("DE"))
        );
    }
);

store_test!(tenants_are_listed_in_pages, |db| async move {
    let pages =
        db.store().write(|tx| {
            two_tenants(tx)?;
            ensure_default(tx, &TenantSettings::default(), at(1))?;
            let first = list(tx, None, 2)?;
            let second = list(tx, first.last().map(|last| last.id), 2)?;
            Ok([first, second]
                .map(|page| page.into_iter().map(|record| record.id).collect::<Vec<_>>()))
        });
    assert_eq!(pages.await.unwrap(), [vec![A, B], vec![DEFAULT_TENANT]]);
});

store_test!(
    settings_change_one_tenant_and_its_version,
    |db| async move {
        let outcome = db.store().write(|tx| {
            two_tenants(tx)?;
            let changed = update(tx, A, at(9), |name, settings| {
                "New".clone_into(name);
                settings.session_seconds = 60;
            })?;
            assert_eq!(changed, get(tx, A)?);
            let nobody = TenantId::from_uuid(Uuid::from_u128(0xc));
            assert!(update(tx, nobody, at(9), |_, _| {})?.is_none());
            assert!(!bump_config_version(tx, nobody, at(9))?);
            Ok((changed.expect("A exists"), get(tx, B)?.expect("B exists")))
        });
        let (a, b) = outcome.await.unwrap();
        assert_eq!(
            (
                a.name.as_str(),
                a.settings.session_seconds,
                a.config_version
            ),
            ("New", 60, 2)
        );
        assert_eq!((a.created_at, a.updated_at), (at(1), at(9)));
        assert_eq!(
            (
                b.name.as_str(),
                b.settings.session_seconds,
                b.config_version
            ),
            ("B", 3_600, 1)
        );
    }
);

store_test!(
    every_change_of_the_configuration_raises_its_version,
    |db| async move {
        let outcome = db.store().write(|tx| {
            two_tenants(tx)?;
            let template = Template {
                key: "menu".into(),
                name: String::new(),
                description: None,
                active: true,
                form: TemplateForm::Text {
                    body: "Hi {{name}}".into(),
                },
            };
            let mut versions = vec![config_version(tx, A)?];
            templates::create(
                tx,
                A,
                TemplateId::from_uuid(Uuid::from_u128(1)),
                &template,
                false,
                at(2),
            )?;
            versions.push(config_version(tx, A)?);
            templates::put(tx, A, &template, at(3))?;
            versions.push(config_version(tx, A)?);
            let set = FlowSet {
                flows: Vec::new(),
                fallback_template_key: Some("menu".into()),
            };
            flows::put(tx, A, FlowId::from_uuid(Uuid::from_u128(2)), &set, at(4))?;
            versions.push(config_version(tx, A)?);
            let loaded = load_tenant_config(tx, A)?.expect("A exists");
            assert_eq!(loaded.templates.keys().collect::<Vec<_>>(), ["menu"]);
            assert_eq!(
                (loaded.flows, loaded.flows_version, loaded.config_version),
                (set, 1, 4)
            );
            templates::delete(tx, A, "menu", at(5))?;
            versions.push(config_version(tx, A)?);

            let other = load_tenant_config(tx, B)?.expect("B exists");
            assert!(other.templates.is_empty() && other.flows == FlowSet::default());
            assert_eq!((other.config_version, other.flows_version), (1, 0));
            let nobody = TenantId::from_uuid(Uuid::from_u128(0xc));
            assert!(load_tenant_config(tx, nobody)?.is_none());
            assert_eq!(
                config_versions(tx, &[B, nobody, A])?,
                [Some(1), None, Some(5)]
            );
            Ok(versions)
        });
        assert_eq!(outcome.await.unwrap(), [1, 2, 3, 4, 5].map(Some));
    }
);
