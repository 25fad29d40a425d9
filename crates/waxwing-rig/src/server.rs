//! The server under test: the real program, started, watched and ended from outside.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Outcome, meta};

/// The token of the platform admin.
pub const ADMIN_TOKEN: &str = "rig-admin-token-0123456789abcdef";
/// The token of the webhook handshake.
pub const VERIFY_TOKEN: &str = "rig-verify-token";
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A database engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A cluster, by its connection URL.
    Postgres(String),
}

impl Engine {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// A place where a server lives, over its restarts.
#[derive(Debug)]
pub struct Site {
    program: PathBuf,
    dir: tempfile::TempDir,
    data: PathBuf,
    engine: Engine,
    schema: String,
    env: Vec<(String, String)>,
}

/// Numbers the sites of this process, so that each has a schema of its own.
static SITES: AtomicU32 = AtomicU32::new(0);

impl Site {
    /// A new place with an empty database. `graph_url` is where the provider is.
    ///
    /// # Errors
    /// When no directory can be made, or the program is not there.
    pub fn new(program: &Path, engine: &Engine, graph_url: &str) -> Outcome<Self> {
        if !program.is_file() {
            return Err(format!("there is no program at {}", program.display()));
        }
        let program = program
            .canonicalize()
            .map_err(|error| format!("cannot find {}: {error}", program.display()))?;
        let dir = tempfile::Builder::new()
            .prefix("waxwing-rig-")
            .tempdir()
            .map_err(|error| format!("cannot make a directory: {error}"))?;
        let count = SITES.fetch_add(1, Ordering::Relaxed);
        let mut site = Self {
            program,
            data: dir.path().join("data"),
            dir,
            engine: engine.clone(),
            schema: format!("rig_{}_{count}", std::process::id()),
            env: Vec::new(),
        };
        for (name, value) in [
            ("PORT", "0"),
            ("METRICS_PORT", "0"),
            ("MASTER_KEY", MASTER_KEY),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("APP_SECRET", meta::PLATFORM_SECRET),
            ("VERIFY_TOKEN", VERIFY_TOKEN),
            ("META_GRAPH_URL", graph_url),
            ("NODE_NAME", "rig"),
        ] {
            site.set(name, value);
        }
        if let Engine::Postgres(url) = engine {
            site.set("DATABASE_URL", url);
            let schema = site.schema.clone();
            site.set("DATABASE_SCHEMA", &schema);
        }
        Ok(site)
    }

    /// Sets a setting of the server.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Puts the data of the server elsewhere.
    pub fn set_data(&mut self, data: &Path) {
        self.data = data.to_owned();
    }

    /// A directory for whatever the run needs besides.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The SQLite database, when there is one.
    #[must_use]
    pub fn database(&self) -> Option<PathBuf> {
        let files = std::fs::read_dir(&self.data).ok()?;
        files
            .flatten()
            .map(|file| file.path())
            .find(|path| path.extension().is_some_and(|end| end == "db"))
    }

    /// Starts the server; it may not be ready yet.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(&self) -> Outcome<Server> {
        let ready_file = self.dir.path().join("ready.json");
        // Absent on the first start.
        let _ = std::fs::remove_file(&ready_file);
        std::fs::create_dir_all(&self.data)
            .map_err(|error| format!("cannot make {}: {error}", self.data.display()))?;
        let log = self.log_file()?;
        let errors = log
            .try_clone()
            .map_err(|error| format!("cannot share the log: {error}"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .arg("--ready-file")
            .arg(&ready_file)
            .env_clear()
            .env("DATA_DIR", &self.data)
            // Simulated people write far faster than people do, and one
            // caller asks for all of them.
            .env("CONTACT_MESSAGES_PER_MINUTE", "1000000")
            .env("API_REQUESTS_PER_MINUTE", "1000000")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            // No settings file of whoever runs this may take part.
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let started = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        Ok(Server {
            child,
            ready_file,
            log: self.log_path(),
            started,
        })
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready in time.
    pub fn start_ready(&self, wait: Duration) -> Outcome<(Server, Ready)> {
        let mut server = self.start()?;
        let ready = server.wait_ready(wait)?;
        Ok((server, ready))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    fn log_file(&self) -> Outcome<File> {
        let path = self.log_path();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Checks the database file with SQLite's own program: `None` when there is nothing to check it with.
    #[must_use]
    pub fn integrity(&self) -> Option<String> {
        let database = self.database()?;
        let output = Command::new("sqlite3")
            .arg(&database)
            .arg("PRAGMA integrity_check; PRAGMA foreign_key_check;")
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        Some(said.trim().to_owned())
    }

    /// Removes what the run left in the cluster. Nothing happens without `psql`: the cluster of a run is temporary.
    fn drop_schema(&self) {
        if let Engine::Postgres(url) = &self.engine {
            let statement = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
            // The next run has another schema, so a failure costs nothing but space.
            let _ = Command::new("psql")
                .args([url.as_str(), "-qc", &statement])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.drop_schema();
    }
}

/// A port that nobody listens on, below the range from which the system takes the ports of outgoing connections: a
/// client that keeps trying a dead port of that range sooner or later connects to itself.
///
/// # Errors
/// When none is found.
pub fn quiet_port() -> Outcome<u16> {
    let start = 18_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    (0..500)
        .map(|step| start + step * 3)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no free port on loopback".to_owned())
}

/// Where a ready server listens.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The API and the webhooks.
    pub api: SocketAddr,
    /// The metrics.
    pub metrics: Option<SocketAddr>,
    /// From the start of the program.
    pub after: Duration,
}

/// A server that was started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ready_file: PathBuf,
    log: PathBuf,
    started: Instant,
}

impl Server {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server says of itself, once it is ready.
    ///
    /// # Errors
    /// When what it says cannot be read.
    pub fn ready(&self) -> Outcome<Option<Ready>> {
        let Ok(text) = std::fs::read(&self.ready_file) else {
            return Ok(None);
        };
        let after = self.started.elapsed();
        let Ok(said) = serde_json::from_slice::<Value>(&text) else {
            // Not written to its end yet.
            return Ok(None);
        };
        if said["pid"].as_u64() != Some(u64::from(self.child.id())) {
            return Ok(None);
        }
        let address = |name: &str| {
            let url = said[name].as_str()?;
            let host = url.strip_prefix("http://").unwrap_or(url);
            let host = host.trim_end_matches('/');
            let mut address: SocketAddr = host.parse().ok()?;
            if address.ip().is_unspecified() {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            Some(address)
        };
        let api = address("api").ok_or_else(|| format!("the ready file has no `api`: {said}"))?;
        Ok(Some(Ready {
            api,
            metrics: address("metrics"),
            after,
        }))
    }

    /// Waits until the server is ready.
    ///
    /// # Errors
    /// When it ends before, or the time is over.
    pub fn wait_ready(&mut self, wait: Duration) -> Outcome<Ready> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(ready) = self.ready()? {
                return Ok(ready);
            }
            if let Some(status) = self.ended()? {
                return Err(format!(
                    "the server ended by itself ({status}) before it was ready\n{}",
                    self.last_words()
                ));
            }
            if Instant::now() > deadline {
                let words = self.last_words();
                return Err(format!("the server is not ready after {wait:?}\n{words}"));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// How the server ended, if it did.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.child
            .try_wait()
            .map_err(|error| format!("cannot ask for the server's end: {error}"))
    }

    /// Waits for the end.
    #[must_use]
    pub fn wait_ended(&mut self, wait: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + wait;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it at once and waits until it is gone. `Err` when it had ended by itself before.
    ///
    /// # Errors
    /// How it ended, with its last words.
    pub fn kill(mut self) -> Outcome<()> {
        let by_itself = self.ended()?;
        // Fails only for a process that is gone.
        let _ = self.child.kill();
        let status = self
            .child
            .wait()
            .map_err(|error| format!("cannot wait for the server: {error}"))?;
        match by_itself {
            Some(_) if status.signal() != Some(9) => Err(format!(
                "the server ended by itself ({status})\n{}",
                self.last_words()
            )),
            _ => Ok(()),
        }
    }

    /// Asks it to end, as `systemctl stop` does, and says how long that took.
    ///
    /// # Errors
    /// When it does not end in time or ends with an error.
    pub fn stop(mut self, wait: Duration) -> Outcome<Duration> {
        let asked = Instant::now();
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err("the server cannot be asked to end".to_owned());
        }
        match self.wait_ended(wait) {
            Some(status) if status.success() => Ok(asked.elapsed()),
            Some(status) => Err(format!(
                "the server ended with {status} when it was asked to end\n{}",
                self.last_words()
            )),
            None => Err(format!("the server did not end within {wait:?}")),
        }
    }

    /// The end of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(3_000)..];
        format!("its log ends with:\n{}", String::from_utf8_lossy(tail))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn resident(&self) -> Outcome<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kib| kib.parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .ok_or_else(|| format!("{path} has no VmRSS"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
