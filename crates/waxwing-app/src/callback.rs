//! The callback data that goes out with a message and comes back in its statuses: it names the attempt, so that a
//! status finds its message even when the provider's answer was lost. It holds no personal data.

use uuid::Uuid;
use waxwing_core::ids::{AttemptId, TenantId};
use waxwing_store::domain::crypto::{BlindPurpose, Keyring};

const VERSION: &str = "w1";

/// The callback data of an attempt: version, attempt and a keyed check, so that nobody can name attempts of others.
#[must_use]
pub fn encode(keyring: &Keyring, tenant: TenantId, attempt: AttemptId) -> String {
    format!(
        "{VERSION}.{}.{}",
        attempt.uuid().simple(),
        check(keyring, tenant, attempt)
    )
}

/// The attempt that callback data names; `None` when it is not ours.
#[must_use]
pub fn decode(keyring: &Keyring, tenant: TenantId, data: &str) -> Option<AttemptId> {
    let mut parts = data.splitn(3, '.');
    let (version, id, given) = (parts.next()?, parts.next()?, parts.next()?);
    let attempt = AttemptId::from_uuid(Uuid::try_parse(id).ok()?);
    (version == VERSION && given == check(keyring, tenant, attempt)).then_some(attempt)
}

fn check(keyring: &Keyring, tenant: TenantId, attempt: AttemptId) -> String {
    let hash = keyring.blind(
        tenant,
        BlindPurpose::Request,
        &[b"callback", attempt.uuid().as_bytes()],
    );
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_data_decodes() {
        let keys = Keyring::for_tests(1);
        let (one, two) = (
            TenantId::from_uuid(Uuid::from_u128(1)),
            TenantId::from_uuid(Uuid::from_u128(2)),
        );
        let attempt = AttemptId::from_uuid(Uuid::from_u128(7));
        let data = encode(&keys, one, attempt);
        assert!(data.len() <= waxwing_core::limits::CALLBACK_DATA);
        assert_eq!(decode(&keys, one, &data), Some(attempt));
        assert_eq!(decode(&keys, two, &data), None);
        for foreign in [
            "",
            "w1",
            "w1..",
            "wx:01JD3ZK6Q0M5",
            &data[..data.len() - 1],
            &data.replace("w1", "w2"),
        ] {
            assert_eq!(decode(&keys, one, foreign), None, "{foreign}");
        }
    }
}
