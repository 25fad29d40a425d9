use super::merges::{Outcome, Reason};
use super::*;
use crate::domain::channels::{self, NewChannel};
use crate::domain::conversations::{self, Remembered};
use crate::domain::tenants;
use crate::store_test;
use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::consent::Marketing;
use waxwing_core::identity::{AliasKind, Bsuid};
use waxwing_core::ids::{ChannelId, ConversationId, MergeId};
use waxwing_core::secret::Secret;
use waxwing_core::settings::TenantSettings;
use waxwing_core::step::ConversationState;

const A: TenantId = TenantId::from_uuid(Uuid::from_u128(0xa));
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn contact(n: u128) -> ContactId {
    ContactId::from_uuid(Uuid::from_u128(n))
}

fn channel(n: u128) -> ChannelId {
    ChannelId::from_uuid(Uuid::from_u128(n))
}

fn keyring() -> Keyring {
    Keyring::for_tests(7)
}

fn identity(phone: Option<&str>, user: Option<&str>) -> Identity {
    Identity {
        phone: phone.map(|digits| Phone::from_wa_id(digits).unwrap()),
        user_id: user.map(|id| Bsuid::parse(id).unwrap()),
        ..Identity::default()
    }
}

fn add(tx: &mut Tx<'_>, n: u128, identity: &Identity) -> Result<(), StoreError> {
    let new = NewContact {
        tenant_id: A,
        id: contact(n),
        identity,
        profile_name: None,
    };
    create_many(tx, &keyring(), &[new], NOW)
}

fn thread(tx: &mut Tx<'_>, n: u128, on: u128, with: u128) -> Result<(), StoreError> {
    let thread = Remembered {
        tenant_id: A,
        id: ConversationId::from_uuid(Uuid::from_u128(n)),
        channel_id: channel(on),
        contact_id: contact(with),
        memory: ConversationState::default(),
    };
    conversations::create_many(tx, &[thread], NOW)
}

fn start(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tenants::create(tx, A, "T", &TenantSettings::default(), NOW)?;
    for n in [1, 2] {
        let new = NewChannel {
            id: channel(n),
            kind: ChannelKind::Meta,
            name: "Main".into(),
            sender_id: n.to_string(),
            account_id: None,
            display_phone: None,
            credentials: Credentials::new().with(credential::ACCESS_TOKEN, Secret::new("t")),
        };
        channels::create(tx, &keyring(), A, &new, NOW)?;
    }
    Ok(())
}

fn who(tx: &mut Tx<'_>, identity: &Identity) -> Result<Option<ContactId>, StoreError> {
    let found = find_many(tx, &keyring(), &[(A, identity)])?;
    Ok(found.into_iter().flatten().next().map(|row| row.id))
}

fn merge(tx: &mut Tx<'_>, n: u128, reason: Reason) -> Result<Outcome, StoreError> {
    let id = MergeId::from_uuid(Uuid::from_u128(n));
    merges::merge(tx, &keyring(), A, id, contact(1), contact(2), reason, NOW)
}

const PHONE: &str = "16505551234";
const USER: &str = "US.13491208655302741918";

store_test!(
    one_message_with_both_ids_makes_two_contacts_one,
    |db| async move {
        let outcome = db.store().write(move |tx| {
            start(tx)?;
            let (by_phone, by_user) = (identity(Some(PHONE), None), identity(None, Some(USER)));
            add(tx, 1, &by_phone)?;
            add(tx, 2, &by_user)?;
            thread(tx, 11, 1, 1)?;
            thread(tx, 12, 1, 2)?;
            thread(tx, 13, 2, 2)?;

            let both = identity(Some(PHONE), Some(USER));
            let known = get(tx, A, contact(1))?.unwrap();
            let other = learn(tx, &keyring(), A, &known, &both, None, NOW)?;
            assert_eq!(other, Some(contact(2)));
            assert_eq!(merge(tx, 90, Reason::SameMessage)?, Outcome::Merged);

            assert_eq!(
                who(tx, &by_user)?,
                Some(contact(1)),
                "the alias leads to the other"
            );
            let one = get(tx, A, contact(1))?.unwrap();
            assert_eq!(one.user_id(&keyring(), A)?.unwrap().as_str(), USER);
            let of = |tx: &mut Tx<'_>, n| {
                let id = ConversationId::from_uuid(Uuid::from_u128(n));
                conversations::get(tx, A, id).map(|row| {
                    let row = row.unwrap();
                    (row.contact_id, row.status)
                })
            };
            assert_eq!(of(tx, 12)?, (contact(2), "closed".to_owned()));
            assert_eq!(of(tx, 13)?, (contact(1), "open".to_owned()));
            assert_eq!(
                merge(tx, 91, Reason::ByHand)?,
                Outcome::NotThere,
                "merged away"
            );
            let listed = list(tx, &keyring(), A, &Filter::default(), 9)?;
            assert_eq!(listed.len(), 1);

            let parted = merges::undo(tx, A, MergeId::from_uuid(Uuid::from_u128(90)), NOW)?;
            assert_eq!(parted, Some((contact(1), contact(2))));
            assert_eq!(who(tx, &by_user)?, Some(contact(2)));
            assert!(get(tx, A, contact(1))?.unwrap().user_id_sealed.is_none());
            assert_eq!(of(tx, 12)?, (contact(2), "open".to_owned()));
            assert_eq!(of(tx, 13)?, (contact(2), "open".to_owned()));
            assert_eq!(merge(tx, 92, Reason::SameMessage)?, Outcome::Parted);
            assert_eq!(merge(tx, 93, Reason::ByHand)?, Outcome::Merged);
            let merges = merges::of_contact(tx, A, contact(1), 9)?;
            assert_eq!(merges.len(), 2);
            Ok(())
        });
        outcome.await.unwrap();
    }
);

store_test!(
    contradicting_contacts_are_merged_by_hand_only,
    |db| async move {
        let outcome = db.store().write(move |tx| {
            start(tx)?;
            add(tx, 1, &identity(Some(PHONE), None))?;
            add(tx, 2, &identity(Some("16505554321"), Some(USER)))?;
            assert_eq!(merge(tx, 90, Reason::SameMessage)?, Outcome::Contradicts);
            assert_eq!(merge(tx, 91, Reason::ByHand)?, Outcome::Merged);
            Ok(())
        });
        outcome.await.unwrap();
    }
);

store_test!(a_new_number_replaces_the_old_one, |db| async move {
    let outcome = db.store().write(move |tx| {
        start(tx)?;
        let old = identity(Some(PHONE), None);
        add(tx, 1, &old)?;
        let new = identity(Some("16505554321"), Some(USER));
        let ids = NewIds {
            phone: new.phone.clone(),
            former_phone: old.phone.clone(),
            user_id: new.user_id.clone(),
        };
        for _ in 0..2 {
            assert_eq!(change_ids(tx, &keyring(), A, contact(1), &ids, NOW)?, None);
            assert_eq!(who(tx, &old)?, None, "the next owner is somebody else");
            assert_eq!(who(tx, &new)?, Some(contact(1)));
        }
        let row = get(tx, A, contact(1))?.unwrap();
        assert_eq!(row.phone(&keyring(), A)?, new.phone);

        add(tx, 2, &old)?;
        let back = NewIds {
            phone: old.phone.clone(),
            former_phone: new.phone.clone(),
            user_id: None,
        };
        assert_eq!(
            change_ids(tx, &keyring(), A, contact(1), &back, NOW)?,
            Some(contact(2)),
            "taken"
        );
        assert_eq!(who(tx, &new)?, Some(contact(1)), "nothing was changed");
        Ok(())
    });
    outcome.await.unwrap();
});

store_test!(the_latest_wish_about_marketing_counts, |db| async move {
    let outcome = db.store().write(move |tx| {
        start(tx)?;
        add(tx, 1, &identity(Some(PHONE), None))?;
        let at = |seconds| NOW.plus(std::time::Duration::from_secs(seconds));
        let set = |tx: &mut Tx<'_>, wish, seconds| {
            set_marketing(tx, A, contact(1), wish, at(seconds), NOW)
        };
        assert!(set(tx, Marketing::OptedOut, 10)?);
        assert!(!set(tx, Marketing::OptedIn, 5)?, "older");
        assert!(!set(tx, Marketing::OptedOut, 10)?, "again");
        assert_eq!(
            record(tx, A, contact(1))?.unwrap().marketing.unwrap(),
            "opted_out"
        );
        assert!(set(tx, Marketing::OptedIn, 11)?);
        let alias = identity(Some(PHONE), None).aliases().remove(0);
        assert_eq!(alias.kind, AliasKind::Phone);
        let filter = Filter {
            blocked: false,
            alias: Some(alias),
            before: None,
        };
        let listed = list(tx, &keyring(), A, &filter, 9)?;
        assert_eq!(listed[0].marketing.as_deref(), Some("opted_in"));
        Ok(())
    });
    outcome.await.unwrap();
});
