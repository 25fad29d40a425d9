//! Schemathesis over the OpenAPI document of a running demo: no answer 5xx, none that the document does not know.
//!
//! The demo is the server as it is released, with a tenant, templates, flows, a contact and a conversation, and with an
//! emulator in the provider's place, so that ids which are really there come into play.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Outcome, preflight, process, ui};

/// The tool and all that it uses, at fixed versions.
const REQUIREMENTS: &str = "xtask/schemathesis.txt";
/// Requests to each operation by each credential, by way of trying what a schema allows and what it does not.
const EXAMPLES: &str = "100";
/// The same requests in each run.
const SEED: &str = "1";
/// How long a demo may take to be there.
const READY: Duration = Duration::from_secs(60);
/// What is checked of answers. Left out: that all that fits the schema is accepted, since rules between fields (a range
/// of days, a category and its buttons) cannot be said in a schema.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,\
    unsupported_method,use_after_free,ensure_resource_availability,ignored_auth";

/// Runs it; `None` when the tool cannot be had on this machine, and why.
pub fn run(server: &Path) -> Outcome<Result<String, String>> {
    preflight::python()?;
    let tool = match tool() {
        Ok(tool) => tool,
        Err(problem) => {
            let first = problem.lines().next().unwrap_or_default();
            return Ok(Err(format!("schemathesis cannot be installed: {first}")));
        }
    };
    let demo = Demo::start(server)?;
    // First, because many tries of this address may not register.
    let person = demo.person()?;
    demo.write_config()?;
    let whole = demo.try_out(&tool, &demo.admin, &[])?;
    // What only a person may do; ending the session would leave nothing to try.
    let own = demo.try_out(
        &tool,
        &person,
        &[
            "--include-path-regex=^/api/auth/",
            "--exclude-path=/api/auth/logout",
            "--phases=examples,coverage,fuzzing",
        ],
    )?;
    Ok(Ok(format!("{whole} and {own} requests")))
}

/// The tool in an environment of its own below the target directory.
fn tool() -> Outcome<PathBuf> {
    let root = process::root();
    let wanted = std::fs::read_to_string(root.join(REQUIREMENTS))
        .map_err(|error| format!("cannot read {REQUIREMENTS}: {error}"))?;
    let dir = process::target_dir().join("schemathesis");
    let stamp = dir.join("installed.txt");
    let tool = dir.join("bin/schemathesis");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) && tool.is_file() {
        return Ok(tool);
    }
    ui::say("installing schemathesis");
    process::read(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&dir),
    )?;
    process::read(
        Command::new(dir.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(root.join(REQUIREMENTS)),
    )?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(tool)
}

/// A demo that runs; it ends with this value.
struct Demo {
    child: Child,
    dir: PathBuf,
    address: String,
    admin: String,
}

impl Demo {
    fn start(server: &Path) -> Outcome<Self> {
        let dir = std::env::temp_dir().join(format!("waxwing-schema-{}", std::process::id()));
        std::fs::create_dir_all(&dir)
            .map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
        let admin = "the-admin-of-one-test-run-on-loopback".to_owned();
        let ready = dir.join("ready");
        let child = Command::new(server)
            .args(["demo", "--no-chat", "--ready-file"])
            .arg(&ready)
            .current_dir(&dir)
            .env("DATA_DIR", dir.join("data"))
            .envs([
                ("PORT", "0"),
                ("METRICS_PORT", "0"),
                ("ADMIN_TOKEN", &admin),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", server.display()))?;
        let mut demo = Self {
            child,
            dir,
            address: String::new(),
            admin,
        };
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if let Some(status) = demo.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the demo ended with {status}"));
            }
            let told = std::fs::read(&ready).unwrap_or_default();
            if let Ok(told) = serde_json::from_slice::<Value>(&told) {
                let url = told["api"].as_str().unwrap_or_default();
                url.trim_start_matches("http://")
                    .clone_into(&mut demo.address);
                return Ok(demo);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the demo did not start".to_owned())
    }

    /// A person who is logged in, in a tenant of their own.
    fn person(&self) -> Outcome<String> {
        let form = json!({
            "email": "ada@example.com", "name": "Ada", "password": "a long word for one run", "tenantName": "Run",
        });
        let answer = self.call("POST", "/api/auth/register", "", &form)?;
        answer["token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("nobody could register: {answer}"))
    }

    /// Runs the tool as that caller; the answer is how many requests it made.
    fn try_out(&self, tool: &Path, token: &str, options: &[&str]) -> Outcome<String> {
        let (code, text) = process::capture(
            Command::new(tool)
                .arg("run")
                .arg(format!("http://{}/openapi.json", self.address))
                .arg(format!("--header=Authorization: Bearer {token}"))
                .args(["--workers=2", "--continue-on-failure", "--no-shrink"])
                .args([
                    format!("--checks={CHECKS}"),
                    format!("--max-examples={EXAMPLES}"),
                ])
                .arg(format!("--seed={SEED}"))
                .args(options)
                .current_dir(&self.dir),
        )?;
        if code != Some(0) {
            return Err(format!("the document and the server differ\n{text}"));
        }
        let count = text
            .lines()
            .find_map(|line| line.trim().split_once(" generated, "))
            .map(|(count, _)| count.to_owned());
        count.ok_or_else(|| format!("it did not say how much it tried\n{text}"))
    }

    /// Tells the tool which tenant, and which ids are there.
    fn write_config(&self) -> Outcome<()> {
        let mut text = String::from("[parameters]\n\"path.tenant\" = \"default\"\n");
        for list in ["contacts", "conversations", "messages", "channels"] {
            let path = format!("/api/tenants/default/{list}");
            let answer = self.call("GET", &path, &self.admin, &Value::Null)?;
            let id = answer[list][0]["id"]
                .as_str()
                .ok_or_else(|| format!("the demo has no {list}: {answer}"))?;
            // Erasing it and merging it would take it away from all others.
            text.push_str(&format!(
                "\n[[operations]]\ninclude-path-regex = '/{list}/\\{{id\\}}(/(messages|read|cancel|test|unblock|export))?$'\n\
                 parameters = {{ \"path.id\" = \"{id}\" }}\n"
            ));
        }
        let file = self.dir.join("schemathesis.toml");
        std::fs::write(&file, text)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> Outcome<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut answer = String::new();
        TcpStream::connect(&self.address)
            .and_then(|mut stream| {
                stream.write_all(request.as_bytes())?;
                stream.read_to_string(&mut answer)
            })
            .map_err(|error| format!("{method} {path}: {error}"))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|error| format!("{method} {path}: {error}\n{answer}"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Whatever goes wrong here, the run has its result, and the directory is a temporary one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
