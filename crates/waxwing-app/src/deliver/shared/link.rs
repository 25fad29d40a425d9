//! The connection to Redis.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, Script};
use serde_json::json;
use waxwing_core::secret::Secret;

use super::owed::{Answers, Ask};

/// How long a call may take; then Redis counts as away.
const CALL_MAX: Duration = Duration::from_millis(250);
/// How long it may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A process that said nothing for this long has no calls under way, in microseconds.
const STALE_MICROS: i64 = 20_000_000;

/// What is wrong with Redis. The text names neither address nor password.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address.
    #[error("the address of Redis cannot be used: {0}")]
    Address(String),
    /// It does not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It is away or refuses.
    #[error("{0}")]
    Away(String),
    /// It answers something else than the script does.
    #[error("an answer that cannot be understood")]
    Odd,
}

impl From<redis::RedisError> for LinkError {
    fn from(error: redis::RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // The whole error may quote what was sent; these words do not.
        Self::Away(match error.kind() {
            ErrorKind::Io => {
                "it cannot be reached, or not in the way that the address says".to_owned()
            }
            ErrorKind::AuthenticationFailed => "it refuses the user or the password".to_owned(),
            other => error
                .code()
                .map_or_else(|| format!("{other:?}"), str::to_owned),
        })
    }
}

/// One connection, the script, and the names of the keys.
pub(super) struct Link {
    client: Client,
    connection: Option<MultiplexedConnection>,
    script: Script,
    space: String,
}

impl Link {
    pub(super) fn new(url: &Secret, space: &str) -> Result<Self, LinkError> {
        let client = client(url)?;
        Ok(Self {
            client,
            connection: None,
            script: Script::new(include_str!("agree.lua")),
            // The braces keep all keys of one call in one slot of a cluster.
            space: format!("{{waxwing:{space}}}"),
        })
    }

    pub(super) async fn connect(&mut self) -> Result<(), LinkError> {
        self.connection = None;
        self.connection = Some(open(&self.client).await?);
        Ok(())
    }

    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Runs the script. An error leaves open whether it ran: then some of the rate is lost, nothing else.
    pub(super) async fn call(&mut self, ask: &Ask) -> Result<Answers, LinkError> {
        let connection = self.connection.as_mut().ok_or(LinkError::Timeout)?;
        let mut call = self.script.prepare_invoke();
        let space = &self.space;
        for scope in &ask.scopes {
            call.key(format!("{space}:rate:{}", scope.id));
        }
        for pair in &ask.pairs {
            call.key(format!("{space}:pair:{}", pair.id));
        }
        for flight in &ask.flights {
            call.key(format!("{space}:calls:{}", flight.id));
        }
        call.arg(text(ask));
        let answer = tokio::time::timeout(CALL_MAX, call.invoke_async::<Vec<i64>>(connection));
        let numbers = answer.await.map_err(|_| LinkError::Timeout)??;
        Answers::read(ask, &numbers).ok_or(LinkError::Odd)
    }
}

/// Whether a Redis answers at that address, and its version.
///
/// # Errors
/// What is wrong with it.
pub async fn look(url: &Secret) -> Result<String, LinkError> {
    let mut connection = open(&client(url)?).await?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("unknown").trim().to_owned())
}

fn client(url: &Secret) -> Result<Client, LinkError> {
    let odd = |error: redis::RedisError| LinkError::Address(format!("{:?}", error.kind()));
    Client::open(url.expose()).map_err(odd)
}

async fn open(client: &Client) -> Result<MultiplexedConnection, LinkError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(CALL_MAX));
    let connecting = async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await?;
        Ok(connection)
    };
    tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| LinkError::Timeout)?
}

/// The argument of the script; it counts places from one, and 0 is none.
fn text(ask: &Ask) -> String {
    let scopes = ask.scopes.iter();
    let pairs = ask.pairs.iter();
    let messages = ask.messages.iter().map(|message| {
        let (pair, ahead, interval) = message.pair.map_or((0, 0, 0), |(pair, ahead, interval)| {
            (pair + 1, ahead, interval)
        });
        json!([
            message.scope + 1,
            message.ahead,
            message.interval,
            pair,
            ahead,
            interval,
            message.flight + 1,
            message.limit,
        ])
    });
    json!({
        "node": ask.node.to_string(),
        "stale": STALE_MICROS,
        "scopes": scopes.map(|scope| json!([scope.debt, scope.whole_in, scope.rests_in])).collect::<Vec<_>>(),
        "pairs": pairs.map(|pair| json!([pair.debt, pair.rests_in])).collect::<Vec<_>>(),
        "flights": ask.flights.iter().map(|flight| flight.own).collect::<Vec<_>>(),
        "messages": messages.collect::<Vec<_>>(),
    })
    .to_string()
}
