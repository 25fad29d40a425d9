use super::*;

fn keyring(byte: u8) -> Keyring {
    Keyring::for_tests(byte)
}

fn tenant(n: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n))
}

#[test]
fn opens_only_in_its_place_under_its_key() {
    let keys = keyring(1);
    let row = Uuid::from_u128(7);
    let place = Place::new("contacts", "phone_sealed", &row);
    let sealed = keys.seal(tenant(1), place, b"+16505551234");
    assert_eq!(
        &**keys.open(tenant(1), place, &sealed).unwrap(),
        b"+16505551234"
    );
    assert_ne!(
        sealed,
        keys.seal(tenant(1), place, b"+16505551234"),
        "nonces are fresh"
    );

    let other_row = Uuid::from_u128(8);
    assert_eq!(
        keys.open(tenant(2), place, &sealed),
        Err(OpenError::Damaged)
    );
    for elsewhere in [
        Place::new("contacts", "phone_sealed", &other_row),
        Place::new("contacts", "username_sealed", &row),
        Place::new("messages", "phone_sealed", &row),
    ] {
        assert_eq!(
            keys.open(tenant(1), elsewhere, &sealed),
            Err(OpenError::Damaged),
            "{elsewhere:?}"
        );
    }
    assert_eq!(keys.open_system(place, &sealed), Err(OpenError::Damaged));
    assert_eq!(
        keyring(2).open(tenant(1), place, &sealed),
        Err(OpenError::Damaged)
    );
}

#[test]
fn old_versions_open_until_they_are_gone() {
    let keys = keyring(1);
    let row = Uuid::from_u128(7);
    let place = Place::new("contacts", "phone_sealed", &row);
    let mut secrets = Secrets::fresh();
    keys.install(tenant(1).uuid(), &secrets);
    let (old, hash) = (
        keys.seal(tenant(1), place, b"v"),
        keys.blind(tenant(1), BlindPurpose::Alias, &[b"v"]),
    );
    secrets.data.push((2, fresh_key()));
    keys.install(tenant(1).uuid(), &secrets);
    assert_eq!(sealed_version(&keys.seal(tenant(1), place, b"v")), Some(1));
    secrets.current = 2;
    keys.install(tenant(1).uuid(), &secrets);
    let new = keys.seal(tenant(1), place, b"v");
    assert_eq!(
        (sealed_version(&old), sealed_version(&new)),
        (Some(1), Some(2))
    );
    for sealed in [&old, &new] {
        assert_eq!(&**keys.open(tenant(1), place, sealed).unwrap(), b"v");
    }
    secrets.data.remove(0);
    keys.install(tenant(1).uuid(), &secrets);
    let gone = keys.open(tenant(1), place, &old);
    assert_eq!(gone, Err(OpenError::ForeignKey));
    assert_eq!(hash, keys.blind(tenant(1), BlindPurpose::Alias, &[b"v"]));
    keys.destroy(tenant(1));
    assert!(keys.open(tenant(1), place, &new).is_err());
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let keys = keyring(1);
    let row = Uuid::nil();
    let place = Place::new("t", "c", &row);
    let sealed = keys.seal(tenant(1), place, b"value");
    for length in 0..sealed.len() {
        assert!(keys.open(tenant(1), place, &sealed[..length]).is_err());
    }
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[position] ^= 1;
        assert!(keys.open(tenant(1), place, &changed).is_err());
    }
}

#[test]
fn blind_hashes_differ_by_tenant_purpose_and_parts() {
    let keys = keyring(1);
    let hash = |n, purpose, parts: &[&[u8]]| keys.blind(tenant(n), purpose, parts);
    let base = hash(1, BlindPurpose::Alias, &[b"ab", b"c"]);
    assert_eq!(base, hash(1, BlindPurpose::Alias, &[b"ab", b"c"]));
    assert_ne!(base, hash(2, BlindPurpose::Alias, &[b"ab", b"c"]));
    assert_ne!(base, hash(1, BlindPurpose::Mark, &[b"ab", b"c"]));
    assert_ne!(base, hash(1, BlindPurpose::Alias, &[b"a", b"bc"]));
}
