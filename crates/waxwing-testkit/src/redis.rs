//! A Redis of a test's own: on a free port of loopback, with nothing on disk, gone with the test however that ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::app::{free_port, wait_for};

const DEADLINE: Duration = Duration::from_secs(20);
/// The shell's input closes when the test ends, in whatever way.
const KEEPER: &str = r#""$@" >/dev/null 2>&1 & read -r _; kill -KILL $!"#;

/// A running Redis server.
pub struct RedisServer {
    port: u16,
    keeper: Option<Child>,
}

impl RedisServer {
    /// Starts one; `None`, with a line, when its program is not there.
    ///
    /// # Panics
    /// When it does not start, and without the program when `REQUIRE_REDIS=1`.
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    pub async fn start() -> Option<Self> {
        let there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            let required = std::env::var("REQUIRE_REDIS").is_ok_and(|value| value == "1");
            assert!(!required, "Redis is required: install redis-server");
            println!("skipped: redis-server is not installed");
            return None;
        }
        let mut server = Self {
            port: free_port(),
            keeper: None,
        };
        server.boot().await;
        Some(server)
    }

    /// Starts it (again), empty, on the same port.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn boot(&mut self) {
        let port = self.port.to_string();
        let options = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", "redis-server"])
            .args(options)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        self.keeper = Some(keeper);
        let up = wait_for(DEADLINE, || (self.line("PING")? == "+PONG").then_some(())).await;
        up.expect("Redis answers in time");
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When its keeper cannot be waited for.
    pub fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().expect("the keeper ends");
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The first line that a command is answered with, such as `+OK` or `:3`; `None` when nobody answers.
    #[must_use]
    pub fn line(&self, command: &str) -> Option<String> {
        self.lines(command, 1)?.pop()
    }

    /// The strings of a list, such as the answer to `KEYS *`.
    ///
    /// # Panics
    /// When the answer is none.
    #[must_use]
    pub fn list(&self, command: &str) -> Vec<String> {
        let first = self.line(command).expect("Redis answers");
        let count: usize = first.trim_start_matches('*').parse().expect("a list");
        let lines = self.lines(command, 1 + 2 * count).expect("Redis answers");
        lines.into_iter().skip(2).step_by(2).collect()
    }

    fn lines(&self, command: &str, count: usize) -> Option<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let lines = BufReader::new(stream).lines();
        lines.take(count).collect::<Result<_, _>>().ok()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
