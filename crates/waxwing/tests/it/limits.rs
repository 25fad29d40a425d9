//! Several nodes that share their limits through Redis, and what they do while it is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_testkit::{Api, Engine, Node, RedisServer, Tenant, TestApp};

use crate::support::{SOON, start};

/// Two nodes on PostgreSQL and one Redis, and a tenant whose channel may send 40 messages a second.
struct Two {
    redis: RedisServer,
    app: TestApp,
    node: Node,
    bank: Tenant,
}

const RATE: f64 = 40.0;

async fn two() -> Option<Two> {
    let redis = RedisServer::start().await?;
    let url = redis.url();
    let app = start(Engine::Postgres, |options| options.set("REDIS_URL", &url)).await?;
    let node = app.another().await;
    let bank = app.bank().await;
    let channel = format!("/api/tenants/{}/channels/{}", bank.id, bank.channel_id);
    let slow = json!({"limits": {"messagesPerSecond": 40}});
    assert_eq!(app.api.patch(&channel, &slow).await.status, 200);
    // Only upkeep tells a node how many there are.
    for api in [&app.api, &node.api] {
        assert_eq!(redis_check(api).await, json!({"ok": true}));
    }
    Some(Two {
        redis,
        app,
        node,
        bank,
    })
}

async fn redis_check(api: &Api) -> Value {
    api.get("/health").await.body["checks"]["redis"].clone()
}

fn number(n: usize) -> String {
    format!("1650555{n:04}")
}

impl Two {
    /// Queues messages by both nodes in turn, to be sent from one moment on.
    async fn queue(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            let api = [&self.app.api, &self.node.api][n % 2];
            let path = format!("/tenants/{}/send/template", self.bank.id);
            let body = json!({"to": format!("+{}", number(n)), "priority": "bulk",
                "messageTemplate": {"name": "hello", "language": "en"}});
            let answer = api.post(&path, &body).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        }
    }

    fn sent(&self) -> usize {
        self.app.emulator.ledger().sends().len()
    }

    async fn until_sent(&self, count: usize) {
        let until = Instant::now() + 2 * SOON;
        while self.sent() < count {
            assert!(
                Instant::now() < until,
                "{} of {count}\n{}",
                self.sent(),
                self.app.logs()
            );
            tokio::task::yield_now().await;
        }
    }

    fn each_once(&self, count: usize) {
        for n in 0..count {
            let sends = self.app.emulator.ledger().sends_to(&number(n)).len();
            assert_eq!(sends, 1, "to {n}\n{}", self.app.logs());
        }
    }

    /// How many attempts each node made.
    async fn attempts(&self) -> [f64; 2] {
        let mut attempts = [0.0; 2];
        let nodes = [
            (&self.app.api, &self.app.metrics),
            (&self.node.api, &self.node.metrics),
        ];
        for (place, (api, metrics)) in nodes.into_iter().enumerate() {
            let url = format!("{metrics}/metrics");
            let text = api.send(|client, _| client.get(url)).await.text;
            attempts[place] = text
                .lines()
                .filter(|line| line.starts_with("whatsapp_send_attempts_total"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
        }
        attempts
    }
}

/// The most that went within any second.
fn most_in_a_second(times: &mut [Instant]) -> usize {
    times.sort_unstable();
    let within = |first: &Instant| {
        let end = *first + Duration::from_secs(1);
        times
            .iter()
            .filter(|at| *first <= **at && **at < end)
            .count()
    };
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_pass_the_rate_of_a_channel() {
    let Some(two) = two().await else {
        return;
    };
    two.queue(0..240).await;
    two.until_sent(240).await;
    let mut times: Vec<_> = two
        .app
        .emulator
        .ledger()
        .sends()
        .iter()
        .map(|send| send.at)
        .collect();
    let most = most_in_a_second(&mut times);
    // The rate, what may go ahead of its time, and what a busy machine sends late. Two that share nothing send 80.
    assert!(most <= 58, "{most} in a second");
    let took = times[239].duration_since(times[0]).as_secs_f64();
    assert!(took > 230.0 / RATE, "{took}");
    let attempts = two.attempts().await;
    assert!(
        attempts.iter().all(|count| *count > 20.0),
        "both send: {attempts:?}"
    );
    two.each_once(240);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_nothing_is_lost_or_doubled() {
    let Some(mut two) = two().await else {
        return;
    };
    two.queue(0..60).await;
    two.until_sent(30).await;
    two.redis.kill();
    let (before, killed) = (two.sent(), Instant::now());
    two.queue(60..160).await;
    two.until_sent(before + 40).await;
    assert!(killed.elapsed() < SOON, "sends go on while it is away");
    for api in [&two.app.api, &two.node.api] {
        let until = Instant::now() + SOON;
        while redis_check(api).await["ok"] != false {
            assert!(Instant::now() < until);
        }
        let health = api.get("/health").await;
        assert_eq!(
            health.status, 200,
            "nothing that is needed is away: {}",
            health.text
        );
    }
    two.redis.boot().await;
    two.until_sent(160).await;
    for api in [&two.app.api, &two.node.api] {
        let until = Instant::now() + SOON;
        while redis_check(api).await["ok"] != true {
            assert!(Instant::now() < until);
        }
    }
    let found = two
        .app
        .messages_until(&two.bank, "status=delivered", |found| found.len() == 160)
        .await;
    assert!(found.iter().all(|message| message["attempts"] == 1));
    two.each_once(160);
    let told = two.app.logs().matches("Redis does not answer").count();
    assert_eq!(told, 2, "once by each node:\n{}", two.app.logs());
}
