//! Links to files that need no credential: for the pages of people, and for providers that fetch what we send.
//!
//! A link names the tenant, the file and its end, and carries a keyed check of all three. Nothing about it is stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use waxwing_core::ids::{MediaId, TenantId};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::crypto::{BlindPurpose, Keyring};

const BYTES: usize = 16 + 16 + 8 + 16;

/// The part of a link behind `/media/`. It is good until `until`.
#[must_use]
pub fn encode(keyring: &Keyring, tenant: TenantId, media: MediaId, until: Timestamp) -> String {
    let end = until.seconds().to_be_bytes();
    let mut token = Vec::with_capacity(BYTES);
    token.extend_from_slice(tenant.uuid().as_bytes());
    token.extend_from_slice(media.uuid().as_bytes());
    token.extend_from_slice(&end);
    token.extend_from_slice(&check(keyring, tenant, media, end));
    URL_SAFE_NO_PAD.encode(token)
}

/// The file that a link names; `None` when the link is not ours or its time is over.
#[must_use]
pub fn decode(keyring: &Keyring, token: &str, now: Timestamp) -> Option<(TenantId, MediaId)> {
    if token.len() > BYTES * 2 {
        return None;
    }
    let token: [u8; BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let tenant = TenantId::from_uuid(Uuid::from_slice(&token[..16]).ok()?);
    let media = MediaId::from_uuid(Uuid::from_slice(&token[16..32]).ok()?);
    let end: [u8; 8] = token[32..40].try_into().ok()?;
    let right = check(keyring, tenant, media, end);
    // Looks at every byte, so that the time tells nothing.
    let differs = right
        .iter()
        .zip(&token[40..])
        .fold(0, |differs, (one, other)| differs | (one ^ other));
    let good =
        differs == 0 && right.len() == BYTES - 40 && i64::from_be_bytes(end) >= now.seconds();
    good.then_some((tenant, media))
}

fn check(keyring: &Keyring, tenant: TenantId, media: MediaId, end: [u8; 8]) -> Vec<u8> {
    // Whoever calls may name any tenant, so this is no matter of the tenant's own keys.
    let (tenant, media) = (tenant.uuid(), media.uuid());
    let parts: [&[u8]; 3] = [tenant.as_bytes(), media.as_bytes(), &end];
    keyring.blind_system(BlindPurpose::Link, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_links_are_good_and_only_for_their_time() {
        let keys = Keyring::for_tests(1);
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let media = MediaId::from_uuid(Uuid::from_u128(2));
        let until = Timestamp::from_seconds(100);
        let link = encode(&keys, tenant, media, until);
        assert_eq!(decode(&keys, &link, until), Some((tenant, media)));
        assert_eq!(decode(&keys, &link, Timestamp::from_seconds(101)), None);
        let other = Keyring::for_tests(2);
        assert_eq!(decode(&other, &link, until), None);
        let bytes = URL_SAFE_NO_PAD.decode(&link).unwrap();
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_eq!(
                decode(&keys, &URL_SAFE_NO_PAD.encode(changed), until),
                None,
                "{position}"
            );
        }
        for bad in [
            "",
            "a",
            "../../etc/passwd",
            &link[1..],
            &format!("{link}A"),
            &"A".repeat(1_000),
        ] {
            assert_eq!(decode(&keys, bad, until), None, "{bad}");
        }
    }
}
