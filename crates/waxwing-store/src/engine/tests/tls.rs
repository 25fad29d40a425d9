//! Encrypted connections to a PostgreSQL of their own, with certificates made for the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::failures::ENDLESS;
use crate::testing::cluster::{self, done, unprivileged};
use crate::{DatabaseUrl, Scope, Statement, Store, StoreConfig, StoreError};

static END_ALL: Statement = Statement::new(
    "END_ALL",
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'waxwing'",
    Scope::Global,
);

/// A server with `ssl=on`; its certificate is signed by `ca.pem` and names `localhost`.
struct Server {
    bin: PathBuf,
    home: PathBuf,
    port: u16,
}

impl Server {
    /// None, with a line, where PostgreSQL's programs or openssl are missing.
    fn start() -> Option<Self> {
        let openssl = Command::new("openssl").arg("version").output();
        let (Some(bin), Ok(_)) = (cluster::programs(), openssl) else {
            crate::testing::skip();
            return None;
        };
        let name = format!("tls-{}", std::process::id());
        let home = cluster::directory().join(name);
        let _ = fs::remove_dir_all(&home);
        let mut make = Command::new("install");
        make.args(["-d", "-m", "755"]);
        if cluster::is_root() {
            make.args(["-o", "postgres", "-g", "postgres"]);
        }
        done(make.arg(&home));
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let server = Self { bin, home, port };
        server.launch();
        Some(server)
    }

    fn launch(&self) {
        let data = self.home.join("data");
        done(
            unprivileged(&self.bin.join("initdb"))
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
                .args(["--locale=C", "--no-sync", "--no-instructions", "--pgdata"])
                .arg(&data),
        );
        authority(&self.home, "ca");
        authority(&self.home, "stranger");
        // `scram` has to log in with a password, everybody else just comes in.
        let rules = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
        let scram = "host all scram 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), format!("{scram}{rules}")).unwrap();
        self.settings("on");
        let (key, certificate) = signed(&self.home, "ca", "DNS:localhost");
        self.shows(&key, &certificate);
        let start = ["--wait", "--timeout=60", "--log"];
        done(
            self.control()
                .args(start)
                .arg(self.home.join("log"))
                .arg("start"),
        );
    }

    fn settings(&self, ssl: &str) {
        let text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nfsync = off\nssl = {ssl}\n",
            self.port
        );
        fs::write(self.home.join("data/postgresql.conf"), text).unwrap();
    }

    /// Makes a certificate the server's; a running one has to be told.
    fn shows(&self, key: &Path, certificate: &Path) {
        for (from, name) in [(key, "server.key"), (certificate, "server.crt")] {
            let mut install = Command::new("install");
            install.args(["-m", "600"]);
            if cluster::is_root() {
                install.args(["-o", "postgres", "-g", "postgres"]);
            }
            done(install.arg(from).arg(self.home.join("data").join(name)));
        }
    }

    fn control(&self) -> Command {
        let mut command = unprivileged(&self.bin.join("pg_ctl"));
        command.arg("--pgdata").arg(self.home.join("data"));
        command
    }

    fn reload(&self) {
        done(self.control().arg("reload"));
    }

    async fn open(&self, host: &str, rest: &str) -> Result<Store, StoreError> {
        let url = format!("postgres://postgres@{host}:{}/postgres{rest}", self.port);
        let mut config = StoreConfig::new(DatabaseUrl::Postgres(url));
        config.pg_connections = 1;
        config.longest_statement = Duration::from_millis(200);
        Store::open(config).await
    }

    /// Whether a connection with these settings is encrypted, or why there is none.
    async fn encrypted(&self, host: &str, rest: &str) -> Result<bool, String> {
        let store = match self.open(host, rest).await {
            Ok(store) => store,
            Err(error) => return Err(error.to_string()),
        };
        let answer = store.encrypted().await.map_err(|error| error.to_string());
        store.close().await;
        answer.map(|encrypted| encrypted == Some(true))
    }

    /// The settings that check the certificate against a file.
    fn against(&self, mode: &str, file: &str) -> String {
        let file = self.home.join(file);
        format!("?sslmode={mode}&sslrootcert={}", file.display())
    }

    /// Waits until the server does what it was told.
    async fn until(&self, host: &str, rest: &str, wanted: impl Fn(&Result<bool, String>) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.encrypted(host, rest).await;
            if wanted(&answer) {
                return;
            }
            assert!(Instant::now() < end, "{rest}: {answer:?}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control().args(["--mode=immediate", "stop"]).output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn openssl(home: &Path, line: &str) {
    done(
        Command::new("openssl")
            .args(line.split(' '))
            .current_dir(home),
    );
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A certificate that signs itself and others. It also names `localhost`, as self-signed servers' do.
fn authority(home: &Path, name: &str) {
    openssl(
        home,
        &format!(
            "req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name} -addext subjectAltName=DNS:localhost"
        ),
    );
}

/// Key and certificate of a server.
fn signed(home: &Path, by: &str, names: &str) -> (PathBuf, PathBuf) {
    openssl(
        home,
        &format!("req {KEY} -keyout server.key -out server.csr -subj /CN=server"),
    );
    fs::write(home.join("names"), format!("subjectAltName={names}\n")).unwrap();
    openssl(
        home,
        &format!(
            "x509 -req -in server.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -out server.pem -days 30 -extfile names"
        ),
    );
    (home.join("server.key"), home.join("server.pem"))
}

#[tokio::test]
async fn the_server_is_encrypted_to_and_checked_as_asked_for() {
    let Some(server) = Server::start() else {
        return;
    };
    // This machine talks to itself in the clear unless it is asked not to.
    assert_eq!(server.encrypted("localhost", "").await, Ok(false));
    for (rest, is) in [
        ("?sslmode=disable", false),
        ("?sslmode=prefer", true),
        ("?sslmode=require", true),
    ] {
        assert_eq!(server.encrypted("127.0.0.1", rest).await, Ok(is), "{rest}");
    }
    let good = [
        ("localhost", "verify-full"),
        ("localhost", "verify-ca"),
        ("127.0.0.1", "verify-ca"),
    ];
    for (host, mode) in good {
        let rest = server.against(mode, "ca.pem");
        assert_eq!(server.encrypted(host, &rest).await, Ok(true), "{rest}");
    }
    let bad = [
        (
            "127.0.0.1",
            "verify-full",
            "ca.pem",
            "does not name the host",
        ),
        ("localhost", "verify-full", "stranger.pem", "signed by none"),
        ("localhost", "verify-ca", "stranger.pem", "signed by none"),
        // With a file to check against, `require` checks, as libpq does.
        ("localhost", "require", "stranger.pem", "signed by none"),
    ];
    for (host, mode, file, why) in bad {
        let answer = server.encrypted(host, &server.against(mode, file)).await;
        assert!(
            answer.as_ref().is_err_and(|text| text.contains(why)),
            "{host} {mode} {file}: {answer:?}"
        );
    }
    // The certificates of the system have not signed it.
    let answer = server.encrypted("localhost", "?sslmode=verify-full").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn encrypted_connections_end_and_come_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let full = server.against("verify-full", "ca.pem");
    let store = server.open("localhost", &full).await.unwrap();
    assert_eq!(store.encrypted().await, Ok(Some(true)));
    // A password goes through the encrypted connection, beside an offer of channel binding.
    store
        .write(|tx| tx.script("CREATE ROLE scram LOGIN PASSWORD 'a b' IN ROLE pg_monitor"))
        .await
        .unwrap();
    let url = format!(
        "host=localhost port={} user=scram password='a b' dbname=postgres sslmode=verify-full sslrootcert='{}'",
        server.port,
        server.home.join("ca.pem").display()
    );
    let scram = Store::open(StoreConfig::new(DatabaseUrl::Postgres(url)))
        .await
        .unwrap();
    assert_eq!(scram.encrypted().await, Ok(Some(true)));
    scram.close().await;
    // A statement that is stopped leaves the connection usable.
    let endless = store
        .read(|tx| tx.query_one::<Option<i64>>(&ENDLESS, &[]))
        .await;
    assert_eq!(endless, Err(StoreError::Timeout));
    assert_eq!(store.encrypted().await, Ok(Some(true)));
    // One that was ended from outside is replaced by another.
    let other = server
        .open("localhost", "?sslmode=disable&application_name=other")
        .await;
    let other = other.unwrap();
    let ended = other.read(|tx| tx.query_one::<i64>(&END_ALL, &[])).await;
    assert_eq!(ended, Ok(1));
    other.close().await;
    let end = Instant::now() + Duration::from_secs(20);
    while store.encrypted().await != Ok(Some(true)) {
        assert!(Instant::now() < end, "the store does not come back");
    }
    store.close().await;

    // A self-signed server is one whose certificate stands in the file.
    server.shows(&server.home.join("ca.key"), &server.home.join("ca.pem"));
    server.reload();
    let other = server.against("verify-full", "stranger.pem");
    server
        .until("localhost", &full, |answer| *answer == Ok(true))
        .await;
    assert!(server.encrypted("localhost", &other).await.is_err());
    let named = server.encrypted("127.0.0.1", &full).await;
    assert!(
        named
            .as_ref()
            .is_err_and(|text| text.contains("does not name")),
        "{named:?}"
    );
    // Without TLS at the server, nobody sends anything in the clear who asked for it.
    server.settings("off");
    server.reload();
    server
        .until("localhost", "?sslmode=require", |answer| {
            answer
                .as_ref()
                .is_err_and(|text| text.contains("offers no TLS"))
        })
        .await;
    assert_eq!(
        server.encrypted("localhost", "?sslmode=prefer").await,
        Ok(false)
    );
}
