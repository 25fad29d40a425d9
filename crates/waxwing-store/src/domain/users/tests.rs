use uuid::Uuid;
use waxwing_core::account::{SESSION_IDLE, SESSION_LIFE};
use waxwing_core::ids::{ApiKeyId, InvitationId, SessionId};
use waxwing_core::settings::TenantSettings;

use super::*;
use crate::domain::api_keys::{self, ApiKeyRecord};
use crate::domain::invitations::{self, InvitationRecord};
use crate::domain::retention::{Aging, delete_older};
use crate::domain::sessions::{self, SessionKind, SessionRecord};
use crate::domain::tenants;
use crate::store_test;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const B: TenantId = TenantId::from_uuid(Uuid::from_u128(0xb));

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_219_200)
}

fn email(n: u128) -> Email {
    Email::parse(&format!("user{n}@example.com")).unwrap()
}

/// Two tenants; users 1 and 2, of whom 1 owns A and is a viewer of B.
fn people(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for tenant in [A, B] {
        tenants::create(tx, tenant, "T", &TenantSettings::default(), now())?;
    }
    for n in [1, 2] {
        let new = NewUser {
            id: user(n),
            email: &email(n),
            name: "U",
            password_hash: "phc",
        };
        add(tx, &new, now())?;
    }
    join(tx, A, user(1), Role::Owner, now())?;
    join(tx, B, user(1), Role::Viewer, now())
}

fn session(n: u128, of: UserId) -> SessionRecord {
    SessionRecord {
        id: SessionId::from_uuid(Uuid::from_u128(n)),
        user_id: of,
        kind: SessionKind::Bearer,
        tenant_id: Some(A),
        created_at: now(),
        seen_at: now(),
    }
}

store_test!(an_address_has_one_account, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        let found = by_email(tx, &email(1))?.map(|found| found.id);
        assert_eq!(found, Some(user(1)));
        assert!(by_email(tx, &email(3))?.is_none());
        assert!(set_password(tx, user(1), "other", now())?);
        assert_eq!(get(tx, user(1))?.unwrap().password_hash, "other");
        assert!(!set_password(tx, user(9), "other", now())?);
        Ok(())
    });
    assert_eq!(write.await, Ok(()));
    let again = db.store().write(|tx| {
        let new = NewUser {
            id: user(3),
            email: &email(1),
            name: "U",
            password_hash: "phc",
        };
        add(tx, &new, now())
    });
    assert!(matches!(again.await, Err(StoreError::Conflict { .. })));
});

store_test!(roles_belong_to_one_tenant_each, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        assert_eq!(role(tx, A, user(1))?, Some(Role::Owner));
        assert_eq!(role(tx, B, user(1))?, Some(Role::Viewer));
        assert_eq!(role(tx, A, user(2))?, None);
        let of: Vec<_> = tenants_of(tx, user(1))?
            .into_iter()
            .map(|of| (of.tenant_id, of.role))
            .collect();
        assert_eq!(of, [(A, Role::Owner), (B, Role::Viewer)]);
        assert_eq!(members(tx, A, None, 9)?.len(), 1);
        assert!(member(tx, A, user(2))?.is_none());
        Ok(())
    });
    assert_eq!(write.await, Ok(()));
});

store_test!(the_last_owner_stays, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        let all = |_| true;
        let last = change_membership(tx, A, user(1), Some(Role::Viewer), all)?;
        assert_eq!(last, Membership::LastOwner);
        let last = change_membership(tx, A, user(1), None, all)?;
        assert_eq!(last, Membership::LastOwner);
        join(tx, A, user(2), Role::Owner, now())?;
        let refused = change_membership(tx, A, user(1), None, |_| false)?;
        assert_eq!(refused, Membership::NotAllowed);
        let gone = change_membership(tx, A, user(1), None, all)?;
        assert_eq!(gone, Membership::Changed);
        let again = change_membership(tx, A, user(1), None, all)?;
        assert_eq!(again, Membership::Missing);
        assert_eq!(role(tx, B, user(1))?, Some(Role::Viewer));
        Ok(())
    });
    assert_eq!(write.await, Ok(()));
});

store_test!(two_changes_at_once_leave_an_owner, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        join(tx, A, user(2), Role::Owner, now())
    });
    assert_eq!(write.await, Ok(()));
    let leave = |n| {
        db.store()
            .write(move |tx| change_membership(tx, A, user(n), None, |_| true))
    };
    let (one, two) = tokio::join!(leave(1), leave(2));
    let ends = [one.unwrap(), two.unwrap()];
    assert!(ends.contains(&Membership::LastOwner), "{ends:?}");
    assert!(ends.contains(&Membership::Changed), "{ends:?}");
});

store_test!(
    a_session_ends_by_idleness_age_and_locking,
    |db| async move {
        let write = db.store().write(|tx| {
            people(tx)?;
            for (n, hash) in [(1, b"one"), (2, b"two")] {
                sessions::begin(tx, &session(n, user(1)), hash)?;
            }
            sessions::begin(tx, &session(3, user(2)), b"three")?;
            let known = |tx: &mut Tx<'_>, hash: &[u8], at| {
                Ok::<_, StoreError>(sessions::by_token(tx, hash, at)?.is_some())
            };
            assert!(known(tx, b"one", now())?);
            assert!(!known(tx, b"none", now())?);
            let idle = now().plus(SESSION_IDLE);
            assert!(!known(tx, b"one", idle)?);
            let before = idle.minus(std::time::Duration::from_secs(1));
            sessions::seen(tx, session(1, user(1)).id, before)?;
            assert!(known(tx, b"one", idle)?);
            let aged = now().plus(SESSION_LIFE);
            sessions::seen(tx, session(1, user(1)).id, aged)?;
            assert!(!known(tx, b"one", aged)?);
            // Nobody ends another person's session.
            assert!(!sessions::end(tx, user(2), session(2, user(1)).id)?);
            assert!(set_active(tx, user(1), false, now())?);
            assert!(!known(tx, b"two", now())?);
            assert!(set_active(tx, user(1), true, now())?);
            let kept = Some(session(2, user(1)).id);
            assert_eq!(sessions::end_all(tx, user(1), kept)?, 1);
            assert!(known(tx, b"two", now())? && known(tx, b"three", now())?);
            assert_eq!(delete_older(tx, Aging::Sessions, aged, 9)?, 0);
            let later = aged.plus(std::time::Duration::from_secs(1));
            assert_eq!(delete_older(tx, Aging::Sessions, later, 9)?, 2);
            Ok(())
        });
        assert_eq!(write.await, Ok(()));
    }
);

store_test!(links_and_invitations_work_once, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        let until = now().plus(std::time::Duration::from_secs(60));
        sessions::put_reset(tx, user(1), b"old", until)?;
        sessions::put_reset(tx, user(1), b"new", until)?;
        assert_eq!(sessions::take_reset(tx, b"old", now())?, None);
        assert_eq!(sessions::take_reset(tx, b"new", until)?, None);
        assert_eq!(sessions::take_reset(tx, b"new", now())?, Some(user(1)));
        assert_eq!(sessions::take_reset(tx, b"new", now())?, None);

        let invitation = |n| InvitationRecord {
            tenant_id: A,
            id: InvitationId::from_uuid(Uuid::from_u128(n)),
            email: email(2),
            role: Role::Sales,
            created_at: now(),
            expires_at: until,
        };
        assert!(invitations::put(tx, &invitation(1), b"first")?);
        assert!(invitations::put(tx, &invitation(2), b"second")?);
        assert!(invitations::by_token(tx, b"first", now())?.is_none());
        assert!(invitations::by_token(tx, b"second", until)?.is_none());
        let found = invitations::by_token(tx, b"second", now())?.unwrap();
        assert_eq!((found.tenant_id, found.role), (A, Role::Sales));
        assert_eq!(invitations::list(tx, B, None, 9, now())?.len(), 0);
        assert!(!invitations::take(tx, B, found.id)?);
        assert!(invitations::take(tx, A, found.id)?);
        assert!(!invitations::take(tx, A, found.id)?);
        Ok(())
    });
    assert_eq!(write.await, Ok(()));
});

store_test!(a_key_is_good_until_it_ends, |db| async move {
    let write = db.store().write(|tx| {
        people(tx)?;
        let key = |n, expires_at| ApiKeyRecord {
            tenant_id: A,
            id: ApiKeyId::from_uuid(Uuid::from_u128(n)),
            name: "K".into(),
            role: Role::Viewer,
            hint: "wax_abcd".into(),
            created_at: now(),
            expires_at,
            used_at: None,
            revoked_at: None,
        };
        assert!(api_keys::add(tx, &key(1, None), b"one")?);
        assert!(api_keys::add(tx, &key(2, Some(now())), b"two")?);
        assert!(api_keys::by_token(tx, b"two", now())?.is_none());
        let found = api_keys::by_token(tx, b"one", now())?.unwrap();
        api_keys::used(tx, A, found.id, now())?;
        let used_at = api_keys::get(tx, A, found.id)?.unwrap().used_at;
        assert_eq!(used_at, Some(now()));
        assert!(api_keys::get(tx, B, found.id)?.is_none());
        assert!(!api_keys::revoke(tx, B, found.id, now())?);
        assert!(api_keys::revoke(tx, A, found.id, now())?);
        assert!(!api_keys::revoke(tx, A, found.id, now())?);
        assert!(api_keys::by_token(tx, b"one", now())?.is_none());
        assert_eq!(api_keys::list(tx, A, None, 9)?.len(), 2);
        Ok(())
    });
    assert_eq!(write.await, Ok(()));
});
