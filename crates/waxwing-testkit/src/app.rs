//! The server process under test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig, Phone, User};

use crate::http::Api;
use crate::webhook::{NUMBER, SECRET, Tenant, VERIFY_TOKEN};

/// The platform administrator's token of every server.
pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789abcdef";
/// The master key of every server.
pub const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const DEADLINE: Duration = Duration::from_secs(30);

/// Which database the server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded file.
    Sqlite,
    /// The cluster named by `WAXWING_TEST_PG_URL`, in a schema of its own.
    Postgres,
}

/// How to start a server.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The server's binary: `env!("CARGO_BIN_EXE_waxwing")` in its own tests.
    pub binary: PathBuf,
    /// Which database.
    pub engine: Engine,
    /// How the emulator behaves.
    pub emulator: EmulatorConfig,
    /// More settings in the environment.
    pub env: Vec<(String, String)>,
    /// The provider of the bank's number.
    pub kind: ChannelKind,
}

impl TestOptions {
    /// A server on SQLite against a lenient emulator.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        Self {
            binary: binary.into(),
            engine: Engine::Sqlite,
            emulator: EmulatorConfig::lenient(),
            env: Vec::new(),
            kind: ChannelKind::Meta,
        }
    }

    /// The same with the bank's number at another provider.
    #[must_use]
    pub fn at(mut self, kind: ChannelKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same with another engine.
    #[must_use]
    pub fn on(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// One more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running server with its emulator. The process is killed when this is dropped.
pub struct TestApp {
    options: TestOptions,
    /// The provider's side.
    pub emulator: Emulator,
    dir: TempDir,
    schema: String,
    /// The port of the API, for providers that sign its address; 0 for a free one.
    port: u16,
    process: Option<Child>,
    /// The API.
    pub api: Api,
    /// The address of the metrics.
    pub metrics: String,
}

impl TestApp {
    /// Starts an emulator and a server.
    pub async fn start(options: TestOptions) -> Self {
        let emulator = Emulator::start(options.emulator.clone())
            .await
            .expect("the emulator listens");
        let dir = TempDir::new().expect("a temporary directory");
        let schema = format!("it_{}", hex::encode(random::<8>()));
        let api = Api::new("http://unset", ADMIN_TOKEN);
        let port = match options.kind {
            // Files go there by link.
            ChannelKind::Twilio | ChannelKind::Msg91 => free_port(),
            _ => 0,
        };
        let mut app = Self {
            port,
            options,
            emulator,
            dir,
            schema,
            process: None,
            api,
            metrics: String::new(),
        };
        app.boot().await;
        app
    }

    /// Starts the server's process (again) and waits until it is ready.
    pub async fn boot(&mut self) {
        let dir = self.dir.path().to_path_buf();
        let (process, api, metrics) = self.launch(&dir, self.port).await;
        self.process = Some(process);
        self.api = Api::new(&api, ADMIN_TOKEN);
        self.metrics = metrics;
    }

    /// Starts another process on the same database, with a data directory of its own.
    pub async fn another(&self) -> Node {
        let dir = TempDir::new().expect("a temporary directory");
        let (process, api, metrics) = self.launch(dir.path(), 0).await;
        Node {
            api: Api::new(&api, ADMIN_TOKEN),
            metrics,
            process,
            _dir: dir,
        }
    }

    async fn launch(&self, dir: &Path, port: u16) -> (Child, String, String) {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(&self.options.binary);
        command
            .arg("serve")
            .arg("--ready-file")
            .arg(&ready)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PORT", port.to_string())
            .env("METRICS_PORT", "0")
            .env("DATA_DIR", dir.join("data"))
            .env("MASTER_KEY", MASTER_KEY)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("APP_SECRET", SECRET)
            .env("VERIFY_TOKEN", VERIFY_TOKEN)
            .env("META_GRAPH_URL", self.emulator.url())
            .env("TWILIO_API_URL", self.emulator.url())
            .env("D360_API_URL", self.emulator.url())
            .env("MSG91_API_URL", self.emulator.url())
            // Most tests write faster than a person.
            .env("CONTACT_MESSAGES_PER_MINUTE", "1000000")
            .env("LOG_LEVEL", "info")
            .stdin(Stdio::null())
            .stdout(self.log("stdout.log"))
            .stderr(self.log("stderr.log"));
        if self.options.engine == Engine::Postgres {
            let url = std::env::var("WAXWING_TEST_PG_URL").expect("WAXWING_TEST_PG_URL is set");
            command
                .env("DATABASE_URL", url)
                .env("DATABASE_SCHEMA", &self.schema);
        }
        if port != 0 {
            command.env("PUBLIC_URL", format!("http://127.0.0.1:{port}"));
        }
        command.envs(self.options.env.clone());
        let process = command.spawn().expect("the server's binary starts");
        let found = wait_for(DEADLINE, || read_ready(&ready)).await;
        let Some((api, metrics)) = found else {
            panic!("the server was not ready in time:\n{}", self.logs());
        };
        (process, api, metrics)
    }

    fn log(&self, name: &str) -> Stdio {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(name));
        file.map_or_else(|_| Stdio::null(), Stdio::from)
    }

    /// All that the server has printed.
    #[must_use]
    pub fn logs(&self) -> String {
        ["stdout.log", "stderr.log"]
            .map(|name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default())
            .concat()
    }

    /// The provider of the bank's number.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        self.options.kind
    }

    /// The server's data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Another value of a setting, from the next start on; an empty one counts as none.
    pub fn set(&mut self, name: &str, value: &str) {
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// Ends the server at once, as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the server can be killed");
            process.wait().expect("the server has ended");
        }
    }

    /// Asks the server to end (SIGTERM) and waits for it; its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the server runs");
        let sent = Command::new("kill")
            .arg("-TERM")
            .arg(process.id().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the signal is sent"
        );
        let status = wait_for(DEADLINE, || process.try_wait().ok().flatten()).await;
        status.expect("the server ends in time").code()
    }

    /// Registers a tenant whose number the emulator serves, with the platform's secret.
    pub async fn tenant(&self, name: &str, number: &str) -> Tenant {
        self.tenant_with(name, number, None).await
    }

    /// Registers a tenant with an app secret of its own.
    pub async fn tenant_with(&self, name: &str, number: &str, secret: Option<&str>) -> Tenant {
        let mut body = json!({"name": name, "phoneNumberId": number, "accessToken": "EAAJB-test-token", "wabaId": format!("9{number}")});
        if let Some(secret) = secret {
            body["appSecret"] = secret.into();
        }
        let answer = self.api.post("/tenants/register", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.emulator.add_number(NumberConfig {
            phone_number_id: number.to_owned(),
            waba_id: format!("9{number}"),
            app_secret: secret.unwrap_or(SECRET).to_owned(),
            webhook_url: Some(format!("{}/whatsapp/webhook", self.api.base())),
            ..NumberConfig::default()
        });
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        Tenant {
            id: text(&answer.body["tenant"]["id"]),
            channel_id: text(&answer.body["tenant"]["channel"]["id"]),
            number: number.to_owned(),
        }
    }

    /// The first tenant, its number at the provider of the options, with a small bank menu: `hi` → menu with buttons,
    /// everything else → the menu.
    pub async fn bank(&self) -> Tenant {
        let tenant = match self.options.kind {
            ChannelKind::Meta => self.tenant("Bank", NUMBER).await,
            kind => self.default_tenant(kind).await,
        };
        self.bank_menu(&tenant).await;
        tenant
    }

    /// Gives a tenant the small bank menu.
    pub async fn bank_menu(&self, tenant: &Tenant) {
        let path = format!("/tenants/{}", tenant.id);
        let templates = [
            json!({"key": "menu", "kind": "interactive_button", "body": "Welcome {{name}}", "buttons": [
                {"id": "balance", "title": "Balance", "nextTemplateKey": "balance", "nextState": "shown_balance"},
                {"id": "cards", "title": "Cards", "nextTemplateKey": "cards", "nextState": "in_cards"},
                {"id": "good", "title": "Good", "nextState": "rated"}]}),
            json!({"key": "balance", "kind": "text", "body": "Your balance is 5"}),
            json!({"key": "cards", "kind": "interactive_button", "body": "Cards", "buttons": [
                {"id": "block", "title": "Block", "nextTemplateKey": "blocked", "nextState": "blocked"}]}),
            json!({"key": "blocked", "kind": "text", "body": "Blocked"}),
        ];
        for template in templates {
            let answer = self.api.post(&format!("{path}/templates"), &template).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
        }
        let flows = json!({"flows": [
            {"id": "greeting", "match": {"type": "contains", "values": ["hi"]},
             "action": {"type": "send_template", "templateKey": "menu", "setState": "greeted"}}],
            "fallbackTemplateKey": "menu"});
        let answer = self.api.post(&format!("{path}/flows"), &flows).await;
        assert!((200..300).contains(&answer.status), "{}", answer.text);
    }

    /// The phone of a person in the chat with a tenant.
    #[must_use]
    pub fn phone(&self, tenant: &Tenant, wa_id: &str, name: &str) -> Phone {
        self.emulator
            .phone(&tenant.number, User::with_phone(wa_id, name))
            .expect("the number is known")
    }

    /// Lets a person write something that no bot answers, and waits until it is there: from now on the person may be
    /// written to.
    pub async fn writes_first(&self, tenant: &Tenant, wa_id: &str) {
        let phone = self.phone(tenant, wa_id, "Ada");
        let unknown = match self.options.kind {
            ChannelKind::Twilio => json!({"type": "unknown", "MessageType": "unknown"}),
            _ => {
                json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Message type unknown"}]})
            }
        };
        phone.send_raw(unknown).expect("the emulator takes it");
        let from = format!("+{wa_id}");
        self.messages_until(tenant, "direction=IN", |found| {
            found.iter().any(|message| message["from"] == from.as_str())
        })
        .await;
    }

    /// All messages of a tenant that fit a query such as `direction=IN`, the latest first.
    pub async fn messages(&self, tenant: &Tenant, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!(
                "/api/tenants/{}/messages?limit=200&{query}{cursor}",
                tenant.id
            );
            let answer = self.api.get(&path).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            all.extend(
                answer.body["messages"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .cloned(),
            );
            match answer.body["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until the messages of a query fulfil a condition, and returns them.
    pub async fn messages_until(
        &self,
        tenant: &Tenant,
        query: &str,
        condition: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let until = Instant::now() + DEADLINE;
        loop {
            let messages = self.messages(tenant, query).await;
            if condition(&messages) {
                return messages;
            }
            assert!(
                Instant::now() < until,
                "{query} not in time: {messages:#?}\n{}",
                self.logs()
            );
            tokio::task::yield_now().await;
        }
    }
}

/// Another process on the database of a [`TestApp`]. It is killed when this is dropped.
pub struct Node {
    /// Its API.
    pub api: Api,
    /// The address of its metrics.
    pub metrics: String,
    process: Child,
    _dir: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_ready(ready: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(ready).ok()?;
    let json: Value = serde_json::from_str(&text).ok()?;
    Some((
        json["api"].as_str()?.to_owned(),
        json["metrics"].as_str()?.to_owned(),
    ))
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .expect("the random generator works");
    bytes
}

/// Looks again and again until something is there or the time is over.
pub async fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
