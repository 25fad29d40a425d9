use std::net::IpAddr;

use serde_json::json;
use waxwing_core::audit::Actor;
use waxwing_core::ids::UserId;

use super::verify::{Fault, Found, Walk, begin, step};
use super::*;
use crate::{Scope, Statement, store_test};

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn of(tenant: TenantId) -> Chain {
    Chain::new(Some(tenant), Book::Audit)
}

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_219_200 + i64::try_from(n).unwrap())
}

fn entry(n: u64) -> AuditEntryId {
    // As ids are made: 48 bits of milliseconds, the version, the variant.
    let millis = u128::from(1_795_219_200 + n) * 1_000;
    let id = millis << 80 | 0x7000_8000_0000_0000_0000 | u128::from(n);
    AuditEntryId::from_uuid(Uuid::from_u128(id))
}

fn write(tx: &mut Tx<'_>, tenant: Option<TenantId>, n: u64) -> Result<(), StoreError> {
    let deed = Deed {
        tenant,
        at: at(n),
        actor: Actor::User(UserId::from_uuid(Uuid::from_u128(1))),
        address: Some(IpAddr::from([192, 0, 2, 1])),
        action: "template.change",
    };
    let change = Change::of(json!({"n": n}), json!({"n": n + 1}));
    Trail::new(entry(n), Book::Audit, deed, keyring()).record(
        tx,
        &Object::one("template", n),
        &change,
    )
}

/// A chain of ten, and one of another tenant with the same entries.
fn ten(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for n in 1..=10 {
        write(tx, Some(A), n)?;
        write(tx, Some(B), n)?;
        if n == 4 {
            chain(tx, &keyring())?;
        }
    }
    chain(tx, &keyring()).map(|_| ())
}

fn walk(
    tx: &mut Tx<'_>,
    tenant: Option<TenantId>,
    checkpoint: Option<Checkpoint>,
) -> Result<Result<Walk, Fault>, StoreError> {
    let mut found = begin(
        tx,
        &keyring(),
        Chain::new(tenant, Book::Audit),
        checkpoint,
        at(20),
    )?;
    loop {
        match found {
            Found::More(walk) => found = step(tx, &keyring(), walk)?,
            Found::Whole(walk) => return Ok(Ok(walk)),
            Found::Broken(fault) => return Ok(Err(fault)),
        }
    }
}

fn fault(tx: &mut Tx<'_>) -> Result<Option<Fault>, StoreError> {
    walk(tx, Some(A), None).map(Result::err)
}

store_test!(
    entries_are_chained_and_told_with_what_they_hold,
    |db| async move {
        let work = db.store().write(|tx| {
            ten(tx)?;
            write(tx, None, 1)?;
            assert_eq!(chain(tx, &keyring())?, 1);
            assert_eq!(chain(tx, &keyring())?, 0);
            for (tenant, count) in [(Some(A), 10), (Some(B), 10), (None, 1)] {
                let whole = walk(tx, tenant, None)?.unwrap();
                assert_eq!((whole.entries, whole.checkpoint().seq), (count, count));
            }
            let all = list(tx, &keyring(), of(A), &Filter::default(), 3)?;
            let seqs: Vec<_> = all.iter().map(|one| one.seq).collect();
            assert_eq!(seqs, [Some(10), Some(9), Some(8)]);
            let change = json!({"before": {"n": 10}, "after": {"n": 11}});
            assert_eq!(all[0].change, Some(change));
            assert_eq!(all[0].address.as_deref(), Some("192.0.2.1"));
            let filter = Filter {
                object_id: Some("7".into()),
                before: Some(entry(9)),
                ..Filter::default()
            };
            let one = list(tx, &keyring(), of(A), &filter, 9)?;
            assert_eq!((one.len(), one[0].id), (1, entry(7)));
            assert_eq!(checkpoints(tx, None, 9)?.len(), 3);
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

macro_rules! tampering {
    ($($name:ident = $sql:literal => $fault:expr;)*) => {
        $(store_test!($name, |db| async move {
            static TAMPER: Statement = Statement::new("TAMPER", $sql, Scope::Tenant);
            let work = db.store().write(|tx| {
                ten(tx)?;
                assert_eq!(fault(tx)?, None);
                assert!(tx.execute(&TAMPER, &params![A])? > 0);
                assert_eq!(fault(tx)?, Some($fault));
                Ok(())
            });
            assert_eq!(work.await, Ok(()));
        });)*
    };
}

tampering! {
    another_time_is_found = "UPDATE audit_entries SET at = at + 1 WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_actor_is_found = "UPDATE audit_entries SET actor = 'x' WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_address_is_found = "UPDATE audit_entries SET address = NULL WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_action_is_found = "UPDATE audit_entries SET action = 'x' WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_object_is_found = "UPDATE audit_entries SET object = 'x' WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_id_is_found = "UPDATE audit_entries SET object_id = '9' WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    no_change_is_found = "UPDATE audit_entries SET change_sealed = NULL WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_change_is_found = "UPDATE audit_entries SET change_sealed = (SELECT change_sealed FROM audit_entries WHERE tenant_id = $1 AND seq = 4) \
        WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_proof_is_found = "UPDATE audit_entries SET proof = link WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
    another_link_is_found = "UPDATE audit_entries SET link = proof WHERE tenant_id = $1 AND seq = 3" => Fault::Misplaced(entry(3));
    a_dropped_entry_is_found = "DELETE FROM audit_entries WHERE tenant_id = $1 AND seq = 3" => Fault::Missing(3);
    a_dropped_first_entry_is_found = "DELETE FROM audit_entries WHERE tenant_id = $1 AND seq = 1" => Fault::Missing(1);
    a_cut_end_is_found = "DELETE FROM audit_entries WHERE tenant_id = $1 AND seq > 8" => Fault::Missing(9);
    a_moved_entry_is_found = "UPDATE audit_entries SET seq = 30 WHERE tenant_id = $1 AND seq = 3" => Fault::Missing(3);
    a_moved_end_is_found = "UPDATE audit_heads SET seq = 8, link = (SELECT link FROM audit_entries e WHERE e.tenant_id = $1 AND e.seq = 8) \
        WHERE tenant_id = $1" => Fault::NoEnd;
    a_moved_beginning_is_found = "UPDATE audit_heads SET first_seq = 2, first_link = (SELECT link FROM audit_entries e WHERE e.tenant_id = $1 \
        AND e.seq = 2) WHERE tenant_id = $1" => Fault::NoEnd;
    a_lost_end_is_found = "DELETE FROM audit_heads WHERE tenant_id = $1" => Fault::NoEnd;
    // The entry of another tenant, with all that stands in its row.
    an_entry_of_others_is_found = "UPDATE audit_entries SET proof = (SELECT proof FROM audit_entries o WHERE o.tenant_id <> $1 AND o.seq = 3), \
        link = (SELECT link FROM audit_entries o WHERE o.tenant_id <> $1 AND o.seq = 3) WHERE tenant_id = $1 AND seq = 3" => Fault::Changed(entry(3));
}

static UNCHAIN: Statement = Statement::new(
    "UNCHAIN",
    "UPDATE audit_entries SET seq = NULL, link = NULL WHERE tenant_id = $1",
    Scope::Tenant,
);
static NO_HEAD: Statement = Statement::new(
    "NO_HEAD",
    "DELETE FROM audit_heads WHERE tenant_id = $1",
    Scope::Tenant,
);

store_test!(a_chain_that_was_dissolved_is_found, |db| async move {
    let work = db.store().write(|tx| {
        ten(tx)?;
        tx.execute(&UNCHAIN, &params![A])?;
        tx.execute(&NO_HEAD, &params![A])?;
        let late = begin(tx, &keyring(), of(A), None, at(3_600))?;
        assert!(
            matches!(late, Found::Broken(Fault::Misplaced(_))),
            "{late:?}"
        );
        Ok(())
    });
    assert_eq!(work.await, Ok(()));
});

static MOVE: Statement = Statement::new(
    "MOVE",
    "UPDATE audit_entries SET seq = $3 WHERE tenant_id = $1 AND seq = $2",
    Scope::Tenant,
);

store_test!(exchanged_entries_are_found, |db| async move {
    let work = db.store().write(|tx| {
        ten(tx)?;
        for (from, to) in [(3, 99), (4, 3), (99, 4)] {
            tx.execute(&MOVE, &params![A, from, to])?;
        }
        assert_eq!(fault(tx)?, Some(Fault::Misplaced(entry(4))));
        Ok(())
    });
    assert_eq!(work.await, Ok(()));
});

static CUT: Statement = Statement::new(
    "CUT",
    "DELETE FROM audit_entries WHERE tenant_id = $1 AND seq > 4",
    Scope::Tenant,
);

store_test!(
    a_checkpoint_finds_what_was_cut_with_its_end,
    |db| async move {
        let work = db.store().write(|tx| {
            for n in 1..=4 {
                write(tx, Some(A), n)?;
            }
            chain(tx, &keyring())?;
            let old = tx.query_one::<HeadRow>(&SEEN_HEAD, &params![A, "audit"])?;
            for n in 5..=10 {
                write(tx, Some(A), n)?;
            }
            chain(tx, &keyring())?;
            let point = walk(tx, Some(A), None)?.unwrap().checkpoint();
            // Somebody brings an old end back, with its proof.
            tx.execute(&CUT, &params![A])?;
            tx.execute(
                &SET_HEAD,
                &params![A, "audit", old.seq, old.link, old.proof],
            )?;
            assert_eq!(fault(tx)?, None, "nothing in the database tells");
            assert_eq!(walk(tx, Some(A), Some(point))?.err(), Some(Fault::Cut));
            Ok(())
        });
        assert_eq!(work.await, Ok(()));
    }
);

store_test!(old_entries_go_and_the_rest_stays_proven, |db| async move {
    let work = db.store().write(|tx| {
        ten(tx)?;
        let before = walk(tx, Some(A), None)?.unwrap().checkpoint();
        let young = entry(5).uuid();
        assert_eq!(chains_with_older(tx, young, None, 9)?, [A, B]);
        assert_eq!(delete_older(tx, &keyring(), A, at(5), 3)?, 3);
        assert_eq!(delete_older(tx, &keyring(), A, at(5), 3)?, 1);
        assert_eq!(delete_older(tx, &keyring(), A, at(5), 3)?, 0);
        let left = walk(tx, Some(A), Some(before))?.unwrap();
        assert_eq!(left.entries, 6);
        write(tx, Some(A), 11)?;
        assert_eq!(walk(tx, Some(A), None)?.unwrap().entries, 7);
        chain(tx, &keyring())?;
        assert_eq!(walk(tx, Some(A), None)?.unwrap().entries, 7);
        Ok(())
    });
    assert_eq!(work.await, Ok(()));
});
