use super::*;
use crate::store_test;
use waxwing_core::settings::TenantSettings;
use waxwing_core::template::TemplateForm;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn id(n: u128) -> TemplateId {
    TemplateId::from_uuid(Uuid::from_u128(n))
}

fn template(key: &str, name: &str, body: &str) -> Template {
    Template {
        key: key.into(),
        name: name.into(),
        description: None,
        active: true,
        form: TemplateForm::Text { body: body.into() },
    }
}

fn key_of(made: Creation) -> String {
    match made {
        Creation::Created(record) => record.template.key,
        other => panic!("expected a template, got {other:?}"),
    }
}

fn two_tenants(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for tenant in [A, B] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), at(0))?;
    }
    Ok(())
}

#[test]
fn generated_keys_avoid_used_ones_and_stay_keys() {
    let used = BTreeSet::from(["menu".to_owned(), "menu_2".to_owned()]);
    assert_eq!(free_key("menu", &used), "menu_3");
    assert_eq!(free_key("other", &used), "other");
    let long = key_from_name(&"long name ".repeat(40));
    let key = free_key(&long, &BTreeSet::from([long.clone()]));
    assert!(waxwing_core::template::is_key(&key), "{key}");
}

store_test!(
    templates_are_made_read_replaced_and_deleted_by_tenant,
    |db| async move {
        let outcome = db.store().write(|tx| {
            two_tenants(tx)?;
            let made = templates_of_two(tx)?;
            let other = get(tx, B, "menu")?.expect("B has its own");
            assert_eq!(other.template.form, TemplateForm::Text { body: "B".into() });

            let changed = put(tx, A, &template("menu", "Menu", "new"), at(5))?.expect("A has it");
            assert_eq!(
                (changed.version, changed.created_at, changed.updated_at),
                (2, at(1), at(5))
            );
            assert_eq!(get(tx, B, "menu")?, Some(other), "another tenant's stays");
            assert_eq!(put(tx, A, &template("none", "", "x"), at(5))?, None);

            assert!(delete(tx, A, "menu", at(6))?);
            assert!(!delete(tx, A, "menu", at(6))?);
            assert!(get(tx, A, "menu")?.is_none());
            assert!(get(tx, B, "menu")?.is_some());
            Ok(made)
        });
        assert_eq!(outcome.await.unwrap(), ["menu", "menu_2", "menu_3", "menu"]);
    }
);

fn templates_of_two(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    let mut keys = vec![key_of(create(
        tx,
        A,
        id(1),
        &template("menu", "Menu", "A"),
        false,
        at(1),
    )?)];
    keys.push(key_of(create(
        tx,
        A,
        id(2),
        &template("", "Menu", "A"),
        true,
        at(1),
    )?));
    keys.push(key_of(create(
        tx,
        A,
        id(3),
        &template("", "menu!", "A"),
        true,
        at(1),
    )?));
    keys.push(key_of(create(
        tx,
        B,
        id(4),
        &template("menu", "Menu", "B"),
        false,
        at(1),
    )?));
    assert_eq!(
        create(tx, A, id(5), &template("menu", "Menu", "A"), false, at(1))?,
        Creation::KeyTaken
    );
    let nobody = TenantId::from_uuid(Uuid::from_u128(0xc));
    assert_eq!(
        create(tx, nobody, id(6), &template("x", "", "x"), false, at(1))?,
        Creation::NoTenant
    );
    Ok(keys)
}

store_test!(lists_are_paged_in_order, |db| async move {
    let pages =
        db.store().write(|tx| {
            two_tenants(tx)?;
            for n in 1..=5 {
                let owner = if n == 3 { B } else { A };
                create(
                    tx,
                    owner,
                    id(n),
                    &template(&format!("t{n}"), "", "x"),
                    false,
                    at(1),
                )?;
            }
            let first = list(tx, A, None, 2)?;
            let second = list(tx, A, first.last().map(|last| last.id), 10)?;
            Ok([first, second]
                .map(|page| page.into_iter().map(|t| t.template.key).collect::<Vec<_>>()))
        });
    assert_eq!(pages.await.unwrap(), [vec!["t1", "t2"], vec!["t4", "t5"]]);
});

store_test!(parallel_names_get_different_keys, |db| async move {
    db.store().write(two_tenants).await.unwrap();
    let tasks: Vec<_> = (1..=8u128)
        .map(|n| {
            let store = db.store().clone();
            tokio::spawn(async move {
                store
                    .write(move |tx| create(tx, A, id(n), &template("", "Menu", "x"), true, at(1)))
                    .await
            })
        })
        .collect();
    let mut keys = BTreeSet::new();
    for task in tasks {
        keys.insert(key_of(task.await.unwrap().unwrap()));
    }
    assert_eq!(keys.len(), 8, "{keys:?}");
});

store_test!(a_tenant_has_a_bounded_number, |db| async move {
    let last = db.store().write(|tx| {
        two_tenants(tx)?;
        let rows = (0..limits::TEMPLATES).map(|n| {
            let definition = Value::json(&template(&format!("t{n}"), "", "x"))?;
            Ok(params![
                A,
                id(n as u128 + 1).uuid(),
                format!("t{n}"),
                true,
                definition,
                at(1)
            ])
        });
        let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
        tx.execute_many(&INSERT_TEMPLATE, &rows)?;
        let over = create(tx, A, id(9_999), &template("over", "", "x"), false, at(1))?;
        Ok((
            over,
            create(tx, B, id(10_000), &template("first", "", "x"), false, at(1))?,
        ))
    });
    let (over, other) = last.await.unwrap();
    assert_eq!(over, Creation::Full);
    assert_eq!(key_of(other), "first");
});
