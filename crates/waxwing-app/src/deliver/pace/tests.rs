use uuid::Uuid;
use waxwing_core::ids::{MessageId, TenantId};
use waxwing_core::pacing::CIRCUIT_FAILURES;

use super::*;

fn channel(n: u128) -> ChannelId {
    ChannelId::from_uuid(Uuid::from_u128(n))
}

fn hint(channel_id: u128, person: u128, purpose: Purpose) -> Hint {
    Hint {
        tenant_id: TenantId::from_uuid(Uuid::from_u128(1)),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(person)),
        channel_id: channel(channel_id),
        message_id: MessageId::from_uuid(Uuid::from_u128(person)),
        priority: i64::from(purpose.priority()),
    }
}

fn terms(kind: ChannelKind, scope: u128) -> Terms {
    let pace = Pace {
        messages: 80,
        per: Duration::from_secs(1),
        concurrency: 40,
    };
    Terms::new(kind, pace, ChannelLimits::default(), channel(scope))
}

fn limits() -> Arc<dyn Limits> {
    Arc::new(InProcess::default())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + millis * 1_000)
}

/// Sends whatever goes during ten seconds, each answered at once; how many went.
fn busy(limits: &Arc<dyn Limits>, terms: &Terms, purpose: Purpose, answer: Answer) -> u32 {
    let mut went = 0;
    for millis in 0..10_000 {
        for person in 0..4 {
            let one = hint(1, u128::from(went) * 4 + person, purpose);
            if let Ok(permit) = Permit::take(limits, terms, &one, at(millis)) {
                permit.ended(answer, at(millis), 0.5);
                went += 1;
            }
        }
    }
    went
}

#[test]
fn a_channel_gets_its_rate() {
    let went = busy(
        &limits(),
        &terms(ChannelKind::Meta, 1),
        Purpose::Bulk,
        Answer::Accepted,
    );
    assert!((800..=812).contains(&went), "{went}");
}

#[test]
fn a_storm_of_refusals_slows_down() {
    let limits = limits();
    let terms = terms(ChannelKind::Meta, 1);
    let went = busy(&limits, &terms, Purpose::Bulk, Answer::TooFast(None));
    assert!(went < 40, "{went}");
    let permit = Permit::take(&limits, &terms, &hint(1, 1, Purpose::Bulk), at(200_000)).unwrap();
    let learned = permit.ended(
        Answer::TooFast(Some(Duration::from_secs(9))),
        at(200_000),
        0.5,
    );
    assert_eq!(learned.rests_until, at(209_000));
    assert_eq!(
        Permit::take(&limits, &terms, &hint(1, 2, Purpose::Reply), at(208_000)).unwrap_err(),
        Hold::Channel(at(209_000))
    );
}

#[test]
fn a_part_of_the_rate_is_kept_for_replies() {
    let (limits, terms) = (limits(), terms(ChannelKind::Meta, 1));
    let mut permits = Vec::new();
    let mut person = 0;
    let mut fill = |purpose| {
        let before = permits.len();
        while let Ok(permit) = Permit::take(&limits, &terms, &hint(1, person, purpose), at(0)) {
            permits.push(permit);
            person += 1;
        }
        permits.len() - before
    };
    assert!(fill(Purpose::Bulk) > 0);
    assert_eq!(fill(Purpose::Bulk), 0);
    assert_eq!(fill(Purpose::Transactional), 0);
    assert_eq!(fill(Purpose::Reply), 12, "150 ms of 80 a second");
}

#[test]
fn channels_of_one_key_share_its_rate_and_a_person_is_not_flooded() {
    let limits = limits();
    let (first, other) = (terms(ChannelKind::Msg91, 1), terms(ChannelKind::Msg91, 1));
    let mut went = [0; 2];
    for person in 0..100 {
        for (n, terms) in [(1, &first), (2, &other)] {
            let one = hint(n, person, Purpose::Bulk);
            if let Ok(permit) = Permit::take(&limits, terms, &one, at(0)) {
                permit.ended(Answer::Accepted, at(0), 0.0);
                went[usize::try_from(n).unwrap() - 1] += 1;
            }
        }
    }
    assert_eq!(went.iter().sum::<i32>(), 9, "one bucket for both");

    let meta = terms(ChannelKind::Meta, 7);
    let mut burst = 0;
    let mut millis = 0;
    let held = loop {
        match Permit::take(&limits, &meta, &hint(7, 1, Purpose::Reply), at(millis)) {
            Ok(permit) => {
                permit.ended(Answer::Accepted, at(millis), 0.0);
                burst += 1;
            }
            Err(Hold::Channel(_) | Hold::Answer(_)) => millis += 1,
            Err(Hold::Pair(until)) => break until,
        }
    };
    assert_eq!(burst, 45);
    assert!(held.since(at(millis)) > Duration::from_secs(4));
    assert!(
        Permit::take(
            &limits,
            &meta,
            &hint(7, 2, Purpose::Reply),
            at(millis + 100)
        )
        .is_ok()
    );
}

#[test]
fn what_is_not_sent_is_given_back() {
    let (limits, terms) = (limits(), terms(ChannelKind::Meta, 1));
    for person in 0..1_000 {
        drop(Permit::take(&limits, &terms, &hint(1, person, Purpose::Bulk), at(0)).unwrap());
        let permit = Permit::take(&limits, &terms, &hint(1, person, Purpose::Bulk), at(0));
        permit.unwrap().ended(Answer::NotTried, at(0), 0.0);
    }
}

#[test]
fn a_silent_provider_holds_few_places_and_a_dead_one_none() {
    let (limits, terms) = (limits(), terms(ChannelKind::Meta, 1));
    let mut permits = Vec::new();
    for millis in 0..10_000 {
        let one = hint(1, millis, Purpose::Bulk);
        if let Ok(permit) = Permit::take(&limits, &terms, &one, at(i64::try_from(millis).unwrap()))
        {
            permits.push(permit);
        }
    }
    assert_eq!(permits.len(), terms.in_flight, "as many as it bears");
    let mut opened = None;
    for permit in permits.drain(..) {
        let learned = permit.ended(Answer::Failed, at(10_000), 1.0);
        opened = opened.or(learned.circuit);
    }
    assert_eq!(opened, Some(Some(at(12_000))));
    let one = hint(1, 1, Purpose::Reply);
    assert_eq!(
        Permit::take(&limits, &terms, &one, at(11_000)).unwrap_err(),
        Hold::Channel(at(12_000))
    );
    let probe = Permit::take(&limits, &terms, &one, at(12_000)).unwrap();
    assert!(Permit::take(&limits, &terms, &hint(1, 2, Purpose::Reply), at(12_000)).is_err());
    let learned = probe.ended(Answer::Accepted, at(12_500), 0.0);
    assert_eq!(learned.circuit, Some(None));
    assert!(Permit::take(&limits, &terms, &hint(1, 2, Purpose::Reply), at(12_500)).is_ok());
    assert!(CIRCUIT_FAILURES as usize <= terms.in_flight);
}
