//! The PostgreSQL server of the tests: the one that the environment names, or one that all test processes of a run
//! share and that ends by itself when none of them is left.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// Stops the server when nobody holds the lock of its users any more.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
dir=$1; shift
(
  while sleep 60; do
    flock --nonblock --exclusive "$dir/users.lock" sh -c '
      dir=$1; shift
      "$@" --pgdata "$dir/pg/data" --mode immediate --wait stop
      rm -rf "$dir/pg"' sh "$dir" "$@" && exit 0
  done
) &
"#;

pub(crate) struct Server {
    config: Config,
}

/// Keeps other processes from making the same template.
pub(crate) struct Turn {
    _client: Client,
}

/// The directory of the test processes of this user.
pub(crate) fn directory() -> PathBuf {
    let uid = std::fs::metadata("/proc/self").map_or(0, |me| me.uid());
    let path = std::env::temp_dir().join(format!("waxwing-test-{uid}"));
    std::fs::create_dir_all(&path).expect("a directory for the tests");
    path
}

/// The server; none where there is no PostgreSQL.
pub(crate) async fn server() -> Option<Server> {
    let config = match std::env::var("WAXWING_TEST_PG_URL") {
        Ok(url) => url
            .parse::<Config>()
            .expect("WAXWING_TEST_PG_URL is a connection string"),
        Err(_) => {
            static LOCAL: OnceLock<Option<Local>> = OnceLock::new();
            LOCAL.get_or_init(Local::start).as_ref()?.config()
        }
    };
    Some(Server { config })
}

/// The name of the database in a connection string that [`Server::url`] made.
pub(crate) fn database_of(url: &str) -> String {
    let config: Config = url.parse().expect("a connection string");
    config
        .get_dbname()
        .expect("the string names a database")
        .to_owned()
}

impl Server {
    /// The connection string of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut parts = vec![format!("dbname={}", quoted(database))];
        for host in self.config.get_hosts() {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            };
            parts.push(format!("host={}", quoted(&host)));
        }
        parts.extend(
            self.config
                .get_ports()
                .iter()
                .map(|port| format!("port={port}")),
        );
        parts.extend(
            self.config
                .get_user()
                .map(|user| format!("user={}", quoted(user))),
        );
        let password = self.config.get_password().map(String::from_utf8_lossy);
        parts.extend(password.map(|password| format!("password={}", quoted(&password))));
        parts.join(" ")
    }

    async fn connect(&self) -> Client {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .expect("the PostgreSQL of the tests answers");
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        client
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.connect()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(crate) async fn has_database(&self, name: &str) -> bool {
        let client = self.connect().await;
        let found = client
            .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await;
        !found.expect("the list of databases").is_empty()
    }

    pub(crate) async fn lock(&self) -> Turn {
        let client = self.connect().await;
        client
            .batch_execute("SELECT pg_advisory_lock(8437265)")
            .await
            .expect("a lock");
        Turn { _client: client }
    }
}

/// A server that the tests started.
struct Local {
    directory: PathBuf,
    /// Held shared for the life of this process; the watchdog waits until it can have it alone.
    _users: File,
}

impl Local {
    fn start() -> Option<Self> {
        let bin = programs()?;
        let directory = directory();
        let users = lock_file(&directory.join("users.lock"));
        users.lock_shared().expect("the lock of the users");
        let turn = lock_file(&directory.join("start.lock"));
        turn.lock().expect("the lock of the start");
        let home = directory.join("pg");
        if !running(&bin, &home) {
            let _ = std::fs::remove_dir_all(&home);
            launch(&bin, &home);
            watch(&bin, &directory);
        }
        Some(Self {
            directory,
            _users: users,
        })
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.directory.join("pg"))
            .user("postgres")
            .dbname("postgres");
        config
    }
}

fn lock_file(path: &Path) -> File {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .expect("a lock file")
}

fn running(bin: &Path, home: &Path) -> bool {
    home.join("data").exists()
        && unprivileged(&bin.join("pg_ctl"))
            .arg("--pgdata")
            .arg(home.join("data"))
            .arg("status")
            .status()
            .is_ok_and(|status| status.success())
}

fn launch(bin: &Path, home: &Path) {
    let mut make = Command::new("install");
    make.args(["-d", "-m", "700"]);
    if is_root() {
        make.args(["-o", "postgres", "-g", "postgres"]);
    }
    done(make.arg(home));
    done(
        unprivileged(&bin.join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(home.join("data")),
    );
    let settings = format!(
        "-c listen_addresses= -c unix_socket_directories={} -c fsync=off -c full_page_writes=off \
         -c max_connections=200 -c shared_buffers=64MB",
        home.display()
    );
    done(
        unprivileged(&bin.join("pg_ctl"))
            .args(["--wait", "--timeout=60", "--options", &settings, "--log"])
            .arg(home.join("log"))
            .arg("--pgdata")
            .arg(home.join("data"))
            .arg("start"),
    );
}

fn watch(bin: &Path, directory: &Path) {
    let stop = unprivileged(&bin.join("pg_ctl"));
    let started = Command::new("sh")
        .args(["-c", WATCHDOG, "waxwing-test-watchdog"])
        .arg(directory)
        .arg(stop.get_program())
        .args(stop.get_args())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(started.is_ok_and(|status| status.success()), "sh starts");
}

/// Runs a command that has to succeed.
pub(crate) fn done(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A command that runs as a user that PostgreSQL accepts: it refuses root.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The directory of the newest installed programs, or the one in `PATH`.
pub(crate) fn programs() -> Option<PathBuf> {
    let complete = |bin: &PathBuf| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| bin.join(name).is_file())
    };
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| complete(bin))
        .max();
    newest.map(|(_, bin)| bin).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(complete)
    })
}
