//! A PostgreSQL cluster of our own for tests and benchmarks: temporary, on loopback, gone at the end.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Outcome, process};

/// Whether commits reach the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// For tests, which kill Waxwing and never the machine: fast, lost when the machine loses power.
    Off,
    /// For benchmarks: as in production.
    On,
}

/// A running cluster; it is stopped and removed when this is dropped, and also when the process ends
/// in any other way.
pub struct Cluster {
    port: u16,
    watchdog: Child,
}

/// Settings of either kind of cluster. Tests open a pool for each server they start.
const COMMON: &str = "\
max_connections = 300
listen_addresses = '127.0.0.1'
shared_buffers = 256MB
max_wal_size = 2GB
logging_collector = off
";
const NOT_DURABLE: &str = "\
fsync = off
full_page_writes = off
autovacuum_naptime = 10s
";

/// Waits until our end of the pipe closes, which it does however we end, then stops the cluster and
/// removes its directory. Deaf to the signals a terminal sends to a whole group. It tries again for a
/// while, because we may have ended while `initdb` or the start was still under way.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
read -r _
dir=$1; shift
for _ in $(seq 100); do
    [ -e "$dir/data/postmaster.pid" ] && "$@" --pgdata "$dir/data" --mode immediate --wait stop
    rm -rf "$dir" && break
    sleep 0.1
done
"#;

impl Cluster {
    /// Makes and starts a cluster with a database superuser `postgres` without a password.
    pub fn start(durability: Durability) -> Outcome<Cluster> {
        let bin = programs().ok_or("PostgreSQL's programs (initdb, pg_ctl) were not found")?;
        let dir = std::env::temp_dir().join(format!("waxwing-pg-{}", std::process::id()));
        std::fs::create_dir(&dir)
            .map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
        let watchdog = watchdog(&bin, &dir)?;
        let mut cluster = Cluster { port: 0, watchdog };
        let owner = owner()?;
        std::os::unix::fs::chown(&dir, Some(owner.0), Some(owner.1))
            .and_then(|()| std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)))
            .map_err(|error| format!("cannot give {} to postgres: {error}", dir.display()))?;
        process::read(
            unprivileged(&bin.join("initdb"), &dir)
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
                .args(["--locale=C", "--no-sync", "--no-instructions", "--pgdata"])
                .arg(dir.join("data")),
        )?;
        // The port is free now and may be taken a moment later, so a few are tried.
        let mut last = String::new();
        for _ in 0..5 {
            cluster.port = free_port()?;
            match launch(&bin, &dir, durability, cluster.port) {
                Ok(()) => return Ok(cluster),
                Err(problem) => last = problem,
            }
        }
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL does not start\n{last}\n{log}"))
    }

    /// Where it listens, as a connection URL of the superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Nothing can be done about a watchdog that cannot be waited for.
        let _ = self.watchdog.wait();
    }
}

fn launch(bin: &Path, dir: &Path, durability: Durability, port: u16) -> Outcome<()> {
    let mut settings = COMMON.to_owned();
    if durability == Durability::Off {
        settings.push_str(NOT_DURABLE);
    }
    settings.push_str(&format!(
        "port = {port}\nunix_socket_directories = '{}'\n",
        dir.display()
    ));
    let file = dir.join("data/postgresql.auto.conf");
    std::fs::write(&file, settings)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    process::read(
        unprivileged(&bin.join("pg_ctl"), dir)
            .args(["--wait", "--timeout=60", "--log"])
            .arg(dir.join("log"))
            .arg("--pgdata")
            .arg(dir.join("data"))
            .arg("start"),
    )
    .map(drop)
}

fn watchdog(bin: &Path, dir: &Path) -> Outcome<Child> {
    let stop = unprivileged(&bin.join("pg_ctl"), dir);
    Command::new("sh")
        .args(["-c", WATCHDOG, "waxwing-pg-watchdog"])
        .arg(dir)
        .arg(stop.get_program())
        .args(stop.get_args())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start sh: {error}"))
}

/// A command that runs as a user PostgreSQL accepts: it refuses root.
fn unprivileged(program: &Path, dir: &Path) -> Command {
    let mut command = if process::is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg("--")
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// User and group that own the cluster.
fn owner() -> Outcome<(u32, u32)> {
    if process::is_root() {
        let id = |flag: &str| -> Outcome<u32> {
            let text = process::read(Command::new("id").args([flag, "postgres"]))?;
            text.trim()
                .parse()
                .map_err(|error| format!("`id {flag} postgres` said {text:?}: {error}"))
        };
        Ok((id("-u")?, id("-g")?))
    } else {
        let me = std::fs::metadata("/proc/self")
            .map_err(|error| format!("cannot read /proc/self: {error}"))?;
        Ok((me.uid(), me.gid()))
    }
}

/// The directory of `initdb` and `pg_ctl`: the newest version that Debian's packages installed, or
/// where `PATH` finds them.
pub fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| complete(bin))
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin);
    newest.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|bin| complete(bin))
    })
}

fn complete(bin: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| bin.join(program).is_file())
}

fn free_port() -> Outcome<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port on loopback: {error}"))
}
