use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn hint(tenant: u128, message: u128, priority: i64) -> Hint {
    Hint {
        tenant_id: TenantId::from_uuid(Uuid::from_u128(tenant)),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(message)),
        channel_id: ChannelId::from_uuid(Uuid::from_u128(tenant)),
        message_id: MessageId::from_uuid(Uuid::from_u128(message)),
        priority,
    }
}

const NOW: Timestamp = Timestamp::from_seconds(100);

fn later(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

fn numbers<T>(taken: Vec<(Hint, T)>) -> Vec<u128> {
    let number = |hint: Hint| hint.message_id.uuid().as_u128();
    taken.into_iter().map(|(hint, _)| number(hint)).collect()
}

fn goes(_: &Hint) -> Result<(), Hold> {
    Ok(())
}

#[test]
fn tenants_take_turns_and_replies_overtake() {
    let mut ready = Ready::default();
    for message in 0..100 {
        assert!(ready.push(hint(1, message, 50)));
    }
    assert!(ready.push(hint(2, 500, 50)));
    assert!(ready.push(hint(1, 900, 10)));
    assert_eq!(numbers(ready.take(3, NOW, |_| 9, goes)), [900, 500, 0]);
}

#[test]
fn a_tenant_without_room_waits_and_is_first_again() {
    let mut ready = Ready::default();
    for message in 0..4 {
        ready.push(hint(1, message, 10));
        ready.push(hint(2, 10 + message, 10));
    }
    let one_has_no_room = |tenant: TenantId| usize::from(tenant.uuid().as_u128() != 1);
    assert_eq!(ready.take(8, NOW, one_has_no_room, goes).len(), 1);
    let next = ready.take(1, NOW, |_| 9, goes);
    assert_eq!(next[0].0.tenant_id.uuid().as_u128(), 1);
}

#[test]
fn a_hint_is_kept_once_and_room_is_limited() {
    let mut ready = Ready::default();
    ready.push(hint(1, 1, 10));
    ready.push(hint(1, 1, 10));
    assert_eq!(ready.take(10, NOW, |_| 9, goes).len(), 1);
    assert!(ready.is_idle());
    let accepted = (0..=KEPT_MAX as u128)
        .filter(|message| ready.push(hint(message % 20, *message, 10)))
        .count();
    assert_eq!(accepted, KEPT_MAX);
}

#[test]
fn a_channel_that_rests_is_asked_once_and_leaves_room() {
    let mut ready = Ready::default();
    for message in 0..10_000 {
        assert!(ready.push(hint(1, message, 50)));
    }
    assert!(ready.push(hint(2, 20_000, 50)));
    let mut asked = 0;
    let taken = ready.take(
        100,
        NOW,
        |_| 99,
        |hint| {
            asked += 1;
            if hint.tenant_id.uuid().as_u128() == 1 {
                Err(Hold::Channel(later(500)))
            } else {
                Ok(())
            }
        },
    );
    assert_eq!((numbers(taken), asked), (vec![20_000], 2));
    assert!(ready.is_idle());
    assert_eq!(ready.rests_until(), Some(later(500)));
    assert_eq!(ready.enough().len(), 1);
    assert!(ready.take(9, later(499), |_| 9, goes).is_empty());
    // A reply is more urgent than what the channel rests for.
    ready.push(hint(1, 30_000, 10));
    assert_eq!(numbers(ready.take(1, later(499), |_| 9, goes)), [30_000]);
    assert_eq!(
        ready.take(9_999, later(500), |_| 9_999, goes).len(),
        KEPT_PER_LINE_MAX
    );
    assert!(ready.wants_look(), "the others were dropped");
    assert!(!ready.wants_look());
}

#[test]
fn a_person_who_waits_does_not_hold_up_the_channel() {
    let mut ready = Ready::default();
    for message in 0..3 {
        ready.push(hint(1, message, 50));
    }
    let taken = ready.take(
        9,
        NOW,
        |_| 9,
        |hint| {
            if hint.message_id.uuid().as_u128() == 0 {
                Err(Hold::Pair(later(100)))
            } else {
                Ok(())
            }
        },
    );
    assert_eq!(numbers(taken), [1, 2]);
    assert_eq!(ready.rests_until(), Some(later(100)));
    assert!(ready.knows(hint(1, 0, 50).message_id));
    assert!(ready.take(9, later(99), |_| 9, goes).is_empty());
    assert_eq!(numbers(ready.take(9, later(100), |_| 9, goes)), [0]);
    assert_eq!(ready.rests_until(), None);
}

proptest! {
    /// Whatever rests and whoever comes: each message goes exactly once, and at the end nothing is left.
    #[test]
    fn nothing_is_lost_and_nothing_goes_twice(
        hints in proptest::collection::vec((1u128..4, 0u128..60, 0usize..3), 0..120),
        holds in proptest::collection::vec((0u8..3, 1u64..50), 1..40),
    ) {
        let mut ready = Ready::default();
        let mut pushed = HashSet::new();
        let mut gone = HashSet::new();
        let mut now = NOW;
        let mut turn = 0;
        let mut step = |ready: &mut Ready, now: Timestamp, calm: bool, gone: &mut HashSet<u128>| {
            let taken = ready.take(5, now, |_| 3, |_| {
                let (what, wait) = holds[turn % holds.len()];
                turn += 1;
                let until = now.plus(Duration::from_millis(wait));
                match what {
                    _ if calm => Ok(()),
                    0 => Err(Hold::Channel(until)),
                    1 => Err(Hold::Pair(until)),
                    _ => Ok(()),
                }
            });
            for (hint, ()) in taken {
                let message = (hint.tenant_id.uuid().as_u128(), hint.message_id.uuid().as_u128());
                assert!(gone.insert(message.1), "{message:?} went twice");
            }
        };
        for (tenant, message, priority) in hints {
            let message = tenant * 1_000 + message;
            if !pushed.contains(&message) {
                pushed.insert(message);
                prop_assert!(ready.push(hint(tenant, message, [10, 20, 50][priority])));
            }
            now = now.plus(Duration::from_millis(7));
            step(&mut ready, now, false, &mut gone);
        }
        for _ in 0..200 {
            now = now.plus(Duration::from_millis(60));
            step(&mut ready, now, true, &mut gone);
        }
        prop_assert_eq!(&gone, &pushed);
        prop_assert!(ready.is_idle() && ready.rests_until().is_none());
        prop_assert!(ready.lines.is_empty() && ready.known.is_empty() && ready.tenants.is_empty());
    }
}
