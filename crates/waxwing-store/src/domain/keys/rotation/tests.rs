use std::collections::BTreeSet;

use waxwing_core::channel::{ChannelKind, Credentials};
use waxwing_core::identity::Identity;
use waxwing_core::ids::{ChannelId, ContactId, TenantId};
use waxwing_core::phone::Phone;
use waxwing_core::secret::Secret;
use waxwing_core::settings::TenantSettings;
use zeroize::Zeroizing;

use super::super::tests::{masters, now};
use super::super::{adopt, destroy, refresh};
use super::*;
use crate::domain::channels::{self, NewChannel};
use crate::domain::contacts::NewContact;
use crate::domain::crypto::{Master, Masters};
use crate::domain::{contacts, tenants};
use crate::store_test;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn contact(n: u128) -> ContactId {
    ContactId::from_uuid(Uuid::from_u128(n))
}

fn phone(n: u128) -> Phone {
    Phone::from_wa_id(&format!("1650555{n:04}")).unwrap()
}

/// Two tenants with a channel and some contacts each.
fn fill(tx: &mut Tx<'_>) -> Result<Keyring, StoreError> {
    for tenant in [A, B] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), now())?;
    }
    let keyring = adopt(tx, &masters(1), now())?.unwrap();
    for tenant in [A, B] {
        let new = NewChannel {
            id: ChannelId::from_uuid(tenant.uuid()),
            kind: ChannelKind::Meta,
            name: "N".into(),
            sender_id: tenant.to_string(),
            account_id: None,
            display_phone: None,
            credentials: Credentials::new().with("accessToken", Secret::new("token")),
        };
        channels::create(tx, &keyring, tenant, &new, now())?;
        for n in 1..=450 {
            let identity = Identity {
                phone: Some(phone(n)),
                ..Identity::default()
            };
            let new = NewContact {
                tenant_id: tenant,
                id: contact(n),
                identity: &identity,
                profile_name: None,
            };
            contacts::create_many(tx, &keyring, &[new], now())?;
        }
    }
    Ok(keyring)
}

fn phones(tx: &mut Tx<'_>, keyring: &Keyring, tenant: TenantId) -> Result<usize, StoreError> {
    let mut found = 0;
    for n in 1..=450 {
        let record = contacts::get(tx, tenant, contact(n))?.unwrap();
        assert_eq!(record.phone(keyring, tenant)?, Some(phone(n)));
        found += 1;
    }
    Ok(found)
}

fn versions(tx: &mut Tx<'_>, tenant: TenantId) -> Result<BTreeSet<u32>, StoreError> {
    let rows: Vec<SealedRow> = tx.query(&PHONES, &params![tenant, Uuid::nil(), 1_000])?;
    let sealed = rows.iter().filter_map(|row| row.sealed.as_ref());
    Ok(sealed.filter_map(|one| sealed_version(one)).collect())
}

store_test!(
    new_keys_take_the_place_of_old_ones_step_by_step,
    |db| async move {
        let work = db.store().write(|tx| {
            let keyring = fill(tx)?;
            let before = keyring.clone();
            assert_eq!(begin(tx, &keyring, None, now())?, Some(B.uuid()));
            assert_eq!(begin(tx, &keyring, Some(B.uuid()), now())?, None);
            assert_eq!(standing(tx, &keyring)?.owners, 3);
            // Nobody seals with a key that others may not know yet.
            assert_eq!(step(tx, &keyring, now())?, Step::Waits);
            let mut at = now();
            let mut steps = 0;
            while standing(tx, &keyring)?.owners > 0 {
                // Each step is taken by a process that has just started.
                let fresh = adopt(tx, &masters(1), at)?.unwrap();
                match step(tx, &fresh, at)? {
                    Step::Did => steps += 1,
                    Step::Waits => at = at.plus(SPREAD),
                }
                let fresh = adopt(tx, &masters(1), at)?.unwrap();
                assert_eq!(phones(tx, &fresh, A)?, 450);
                assert!(steps < 200);
            }
            let after = adopt(tx, &masters(1), at)?.unwrap();
            for tenant in [A, B] {
                assert_eq!(versions(tx, tenant)?, BTreeSet::from([2]));
                assert_eq!(phones(tx, &after, tenant)?, 450);
                let identity = Identity {
                    phone: Some(phone(7)),
                    ..Identity::default()
                };
                let found = contacts::find_many(tx, &after, &[(tenant, &identity)])?;
                let found = found[0].as_ref().map(|row| row.id);
                assert_eq!(found, Some(contact(7)), "hashes stay");
            }
            let (records, broken) = channels::load_directory(tx, &after)?;
            assert_eq!((records.len(), broken.len()), (2, 0));
            // Who has only the old key opens nothing any more, until it reads the keys again.
            let record = contacts::get(tx, A, contact(1))?.unwrap();
            assert!(record.phone(&before, A).is_err());
            refresh(tx, &before)?;
            assert_eq!(record.phone(&before, A)?, Some(phone(1)));
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

store_test!(
    a_new_master_key_wraps_everything_and_the_old_one_is_needless,
    |db| {
        async move {
            let both = || {
                let key = |byte| Master::new(&Zeroizing::new([byte; 32]));
                Masters::new(key(2), Some(key(1)))
            };
            let work = db.store().write(move |tx| {
                fill(tx)?;
                assert!(adopt(tx, &masters(2), now())?.is_none());
                let keyring = adopt(tx, &both(), now())?.unwrap();
                assert_eq!(standing(tx, &keyring)?.foreign, 6);
                assert_eq!(rewrap(tx, &keyring)?, (6, 0));
                assert_eq!(standing(tx, &keyring)?.foreign, 0);
                assert!(adopt(tx, &masters(1), now())?.is_none());
                let keyring = adopt(tx, &masters(2), now())?.unwrap();
                assert_eq!(phones(tx, &keyring, A)?, 450);
                destroy(tx, A, now())?;
                let keyring = adopt(tx, &masters(2), now())?.unwrap();
                let record = contacts::get(tx, A, contact(1))?.unwrap();
                assert!(record.phone(&keyring, A).is_err());
                assert_eq!(phones(tx, &keyring, B)?, 450);
                Ok(())
            });
            assert_eq!(work.await, Ok(()));
        }
    }
);

static SEALED_COLUMNS: Statement = Statement::new(
    "SEALED_COLUMNS",
    "SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p \
     WHERE m.type = 'table' AND p.name LIKE '%\\_sealed' ESCAPE '\\'",
    crate::Scope::Global,
);

#[tokio::test]
async fn no_sealed_column_is_forgotten() {
    let db = crate::testing::TestDb::sqlite().await;
    let read = db
        .store()
        .read(|tx| tx.query::<String>(&SEALED_COLUMNS, &[]));
    let there: BTreeSet<String> = read.await.unwrap().into_iter().collect();
    let all = OF_TENANTS.iter().chain(OF_PLATFORM);
    let known: BTreeSet<String> = all
        .map(|one| format!("{}.{}", one.table, one.column))
        .collect();
    assert_eq!(there, known);
}
