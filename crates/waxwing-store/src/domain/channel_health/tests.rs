use super::*;
use crate::domain::message_templates::tests::{A, B, at, channel, two_tenants};
use crate::store_test;

store_test!(numbers_are_known_by_what_was_told, |db| async move {
    let told = db.store().write(|tx| {
        two_tenants(tx)?;
        assert_eq!(get(tx, A, channel(1))?, None);
        let news = HealthNews {
            quality: Some("green".into()),
            throughput: Some(1_000),
            messaging_limit: None,
        };
        assert!(note(tx, A, channel(1), &news, at(1))?);
        assert!(!note(tx, A, channel(1), &news, at(2))?, "heard before");
        let limit = HealthNews {
            messaging_limit: Some("TIER_10K".into()),
            ..HealthNews::default()
        };
        assert!(note(tx, A, channel(1), &limit, at(3))?);
        assert!(alert(tx, A, channel(1), Some("ACCOUNT_VIOLATION"), at(4))?);
        assert!(!alert(tx, A, channel(1), Some("ACCOUNT_VIOLATION"), at(5))?);
        templates_synced(tx, A, channel(1), Some("no account"), at(6))?;
        templates_synced(tx, B, channel(3), None, at(7))?;
        assert_eq!(all(tx, B)?.len(), 1);
        assert_eq!(sync_times(tx)?.len(), 2);
        let told = get(tx, A, channel(1))?;
        assert!(alert(tx, A, channel(1), None, at(8))?);
        assert_eq!(get(tx, A, channel(1))?.and_then(|row| row.alerted_at), None);
        Ok(told)
    });
    let expected = HealthRow {
        channel_id: channel(1),
        quality: Some("green".into()),
        throughput: Some(1_000),
        messaging_limit: Some("TIER_10K".into()),
        alert: Some("ACCOUNT_VIOLATION".into()),
        alerted_at: Some(at(4)),
        templates_synced_at: Some(at(6)),
        templates_error: Some("no account".into()),
        updated_at: at(6),
    };
    assert_eq!(told.await.unwrap(), Some(expected));
});
