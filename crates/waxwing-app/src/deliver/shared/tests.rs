//! The same tests for both ways to keep limits: two nodes with one Redis, and two that are one process.

use std::time::Instant;

use uuid::Uuid;
use waxwing_core::channel::{ChannelKind, ChannelLimits};
use waxwing_core::delivery::Purpose;
use waxwing_core::ids::{ChannelId, ConversationId, MessageId, TenantId};
use waxwing_providers::messaging::Pace;
use waxwing_testkit::{RedisServer, wait_for};

use super::*;
use crate::deliver::pace::Permit;
use crate::runtime::SystemClock;

const DEADLINE: Duration = Duration::from_secs(20);

/// Two nodes that share.
struct Nodes {
    limits: [Arc<dyn Limits>; 2],
    shared: Vec<SharedLimits>,
    redis: Option<RedisServer>,
    _stop: watch::Sender<bool>,
}

impl Nodes {
    fn in_process() -> Self {
        let limits: Arc<dyn Limits> = Arc::new(InProcess::default());
        Self {
            limits: [Arc::clone(&limits), limits],
            shared: Vec::new(),
            redis: None,
            _stop: watch::channel(false).0,
        }
    }

    async fn on_redis() -> Option<Self> {
        let redis = RedisServer::start().await?;
        let url = Secret::new(redis.url());
        let (stop, stopped) = watch::channel(false);
        let mut shared = Vec::new();
        for n in 1..=2 {
            let node = NodeId::from_uuid(Uuid::from_u128(n));
            let clock = Arc::new(SystemClock);
            let limits = SharedLimits::start(&url, "it", node, clock).await.unwrap();
            assert!(limits.is_up());
            tokio::spawn(limits.clone().run(stopped.clone()));
            shared.push(limits);
        }
        let limits = |n: usize| -> Arc<dyn Limits> { Arc::clone(&shared[n].0) as _ };
        Some(Self {
            limits: [limits(0), limits(1)],
            shared,
            redis: Some(redis),
            _stop: stop,
        })
    }
}

/// Makes two tests of an async function that takes nodes.
macro_rules! both {
    ($name:ident) => {
        mod $name {
            use super::Nodes;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_process() {
                super::$name(Nodes::in_process()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                if let Some(nodes) = Nodes::on_redis().await {
                    super::$name(nodes).await;
                }
            }
        }
    };
}

fn terms(per_second: u32, limits: ChannelLimits) -> Terms {
    let pace = Pace {
        messages: per_second,
        per: Duration::from_secs(1),
        concurrency: 1_000,
    };
    let scope = ChannelId::from_uuid(Uuid::from_u128(1));
    Terms::new(ChannelKind::Meta, pace, limits, scope)
}

fn hint(person: u128, purpose: Purpose) -> Hint {
    Hint {
        tenant_id: TenantId::from_uuid(Uuid::from_u128(1)),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(person)),
        channel_id: ChannelId::from_uuid(Uuid::from_u128(1)),
        message_id: MessageId::from_uuid(Uuid::from_u128(person)),
        priority: i64::from(purpose.priority()),
    }
}

/// What the delivery worker does before it claims.
async fn go(limits: &Arc<dyn Limits>, terms: &Terms, hints: &[Hint]) -> Vec<Permit> {
    let now = SystemClock.now();
    let wanted = hints
        .iter()
        .filter_map(|hint| {
            let permit = Permit::take(limits, terms, hint, now).ok()?;
            Some((*hint, Some(permit)))
        })
        .collect();
    let (agreed, _) = Permit::agree(limits, wanted).await;
    agreed
        .into_iter()
        .filter_map(|(_, permit)| permit)
        .collect()
}

fn accepted(permit: Permit) {
    permit.ended(Answer::Accepted, SystemClock.now(), 0.5);
}

/// How many of all that want to go do, in a while, each answered at once.
async fn in_a_while(nodes: &Nodes, terms: &Terms, span: Duration) -> usize {
    let (began, mut went, mut person) = (Instant::now(), 0, 0);
    while began.elapsed() < span {
        for limits in &nodes.limits {
            let hints = [0; 8].map(|_| {
                person += 1;
                hint(person, Purpose::Bulk)
            });
            let permits = go(limits, terms, &hints).await;
            went += permits.len();
            permits.into_iter().for_each(accepted);
            tokio::task::yield_now().await;
        }
    }
    went
}

const SPAN: Duration = Duration::from_millis(1_500);

both!(together_they_have_one_rate);
async fn together_they_have_one_rate(nodes: Nodes) {
    let went = in_a_while(&nodes, &terms(200, ChannelLimits::default()), SPAN).await;
    // 300 and the 20 that may go ahead of their time; a busy machine is late now and then.
    assert!((240..=330).contains(&went), "{went}");
}

both!(a_person_is_flooded_by_none_of_them);
async fn a_person_is_flooded_by_none_of_them(nodes: Nodes) {
    let limits = ChannelLimits {
        contact_burst: Some(5),
        ..ChannelLimits::default()
    };
    let terms = terms(1_000, limits);
    let mut went = 0;
    for _ in 0..10 {
        for limits in &nodes.limits {
            let permits = go(limits, &terms, &[hint(7, Purpose::Reply)]).await;
            went += permits.len();
            permits.into_iter().for_each(accepted);
        }
    }
    assert_eq!(went, 5);
    let held = |n: usize| {
        let now = SystemClock.now();
        Permit::take(&nodes.limits[n], &terms, &hint(7, Purpose::Reply), now).err()
    };
    assert!(matches!(held(0), Some(Hold::Pair(_))));
    assert!(matches!(held(1), Some(Hold::Pair(_))));
    assert_eq!(
        go(&nodes.limits[1], &terms, &[hint(8, Purpose::Reply)])
            .await
            .len(),
        1
    );
}

both!(calls_at_the_same_time_are_counted_over_all);
async fn calls_at_the_same_time_are_counted_over_all(nodes: Nodes) {
    let limits = ChannelLimits {
        concurrency: Some(6),
        ..ChannelLimits::default()
    };
    let terms = terms(1_000, limits);
    let mut under_way = Vec::new();
    for person in 0..20 {
        for (n, limits) in nodes.limits.iter().enumerate() {
            let one = hint(person * 2 + n as u128, Purpose::Reply);
            under_way.extend(go(limits, &terms, &[one]).await);
        }
    }
    assert_eq!(under_way.len(), 6);
    accepted(under_way.remove(0));
    let until = Instant::now() + DEADLINE;
    let mut more = Vec::new();
    while more.is_empty() {
        assert!(Instant::now() < until, "a call that ended leaves room");
        more = go(&nodes.limits[1], &terms, &[hint(99, Purpose::Reply)]).await;
        tokio::task::yield_now().await;
    }
}

both!(what_is_not_sent_costs_nothing);
async fn what_is_not_sent_costs_nothing(nodes: Nodes) {
    let terms = terms(80, ChannelLimits::default());
    for person in 0..300 {
        for limits in &nodes.limits {
            let permits = go(limits, &terms, &[hint(person, Purpose::Bulk)]).await;
            assert_eq!(permits.len(), 1, "the {person}th of each node");
        }
    }
}

both!(a_refusal_slows_all_of_them_down);
async fn a_refusal_slows_all_of_them_down(nodes: Nodes) {
    let terms = terms(200, ChannelLimits::default());
    let mut permits = go(&nodes.limits[0], &terms, &[hint(1, Purpose::Bulk)]).await;
    let refusal = Answer::TooFast(Some(Duration::from_millis(1_000)));
    let began = Instant::now();
    permits.remove(0).ended(refusal, SystemClock.now(), 0.5);
    // The other node learns of it within the time that telling takes.
    let mut person = 1;
    let mut rested = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(2) {
        person += 1;
        let went = go(&nodes.limits[1], &terms, &[hint(person, Purpose::Bulk)]).await;
        if !went.is_empty() && began.elapsed() > Duration::from_millis(500) {
            rested = began.elapsed();
            break;
        }
        went.into_iter().for_each(accepted);
    }
    assert!(rested > Duration::from_millis(950), "{rested:?}");
    let went = in_a_while(&nodes, &terms, SPAN).await;
    assert!(went < 240, "half the rate, growing: {went}");
}

both!(what_does_not_ask_counts_all_the_same);
async fn what_does_not_ask_counts_all_the_same(nodes: Nodes) {
    let terms = terms(100, ChannelLimits::default());
    let mut taken = 0;
    while let Ok(permit) = Permit::take(
        &nodes.limits[0],
        &terms,
        &hint(taken, Purpose::Reply),
        SystemClock.now(),
    ) {
        accepted(permit);
        taken += 1;
    }
    assert!((24..30).contains(&taken), "250 ms of 100 a second: {taken}");
    let until = Instant::now() + Duration::from_millis(150);
    let mut went = 0;
    while Instant::now() < until {
        taken += 1;
        let permits = go(&nodes.limits[1], &terms, &[hint(taken, Purpose::Bulk)]).await;
        went += permits.len();
        permits.into_iter().for_each(accepted);
    }
    assert!(
        went <= 14,
        "what went before it was told, and then nothing: {went}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_node_has_its_part_until_it_is_back() {
    let Some(mut nodes) = Nodes::on_redis().await else {
        return;
    };
    let terms = terms(200, ChannelLimits::default());
    nodes.limits.iter().for_each(|limits| limits.workers(2));
    assert!(in_a_while(&nodes, &terms, Duration::from_millis(300)).await > 40);
    nodes.redis.as_mut().unwrap().kill();
    let went = in_a_while(&nodes, &terms, SPAN).await;
    assert!((220..=345).contains(&went), "{went}");
    assert!(nodes.shared.iter().all(|shared| !shared.is_up()));
    nodes.redis.as_mut().unwrap().boot().await;
    let back = || nodes.shared.iter().all(SharedLimits::is_up).then_some(());
    wait_for(DEADLINE, back).await.unwrap();
    let went = in_a_while(&nodes, &terms, SPAN).await;
    assert!((240..=350).contains(&went), "{went}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_holds_nobody_up_for_long() {
    let Some(nodes) = Nodes::on_redis().await else {
        return;
    };
    let terms = terms(200, ChannelLimits::default());
    let paused = nodes.redis.as_ref().unwrap().line("CLIENT PAUSE 2000 ALL");
    assert_eq!(paused.as_deref(), Some("+OK"));
    let began = Instant::now();
    let permits = go(&nodes.limits[0], &terms, &[hint(1, Purpose::Bulk)]).await;
    assert_eq!(permits.len(), 1);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let again = || nodes.shared[0].is_up().then_some(());
    wait_for(DEADLINE, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_ends_by_itself_and_names_nobody() {
    let Some(nodes) = Nodes::on_redis().await else {
        return;
    };
    let terms = terms(200, ChannelLimits::default());
    let one = hint(1, Purpose::Bulk);
    let ids = [one.channel_id.to_string(), one.conversation_id.to_string()];
    let permits = go(&nodes.limits[0], &terms, &[one]).await;
    let redis = nodes.redis.as_ref().unwrap();
    let keys = redis.list("KEYS *");
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in keys {
        let named = key.strip_prefix("{waxwing:it}:").unwrap();
        let id = named.split_once(':').unwrap().1;
        assert!(ids.contains(&id.to_owned()), "{key}");
        let ends = redis.line(&format!("PTTL {key}")).unwrap();
        let millis: i64 = ends.trim_start_matches(':').parse().unwrap();
        assert!((1..=30_000).contains(&millis), "{key}: {ends}");
    }
    permits.into_iter().for_each(accepted);
}

#[tokio::test]
async fn an_address_that_is_none_is_told_without_its_password() {
    let url = Secret::new("redis://:hunter2@");
    let node = NodeId::from_uuid(Uuid::from_u128(1));
    let failed = SharedLimits::start(&url, "it", node, Arc::new(SystemClock)).await;
    let text = failed.unwrap_err().to_string();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_redis_is_told_in_words() {
    let Some(mut redis) = RedisServer::start().await else {
        return;
    };
    let url = Secret::new(redis.url());
    assert!(look(&url).await.unwrap().contains('.'), "a version");
    let set = redis.line("CONFIG SET requirepass hunter2");
    assert_eq!(set.as_deref(), Some("+OK"));
    let wrong = redis.url().replace("//", "//:wrong@");
    let text = look(&Secret::new(wrong)).await.unwrap_err().to_string();
    assert_eq!(text, "it refuses the user or the password");
    redis.kill();
    let text = look(&url).await.unwrap_err().to_string();
    assert!(text.starts_with("it cannot be reached"), "{text}");
}
