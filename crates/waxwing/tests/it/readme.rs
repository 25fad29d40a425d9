//! The commands of the README, as a newcomer pastes them: all at once, against the demo.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use waxwing_testkit::wait_for;

/// The block of the README with the HTTP surface.
fn commands() -> &'static str {
    let readme = include_str!("../../../../README.md");
    readme
        .split("```")
        .find(|block| block.contains("/tenants/register"))
        .unwrap()
}

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn demo(dir: &Path) -> Demo {
    let ready = dir.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let child = Command::new(env!("CARGO_BIN_EXE_waxwing"))
        .args(["demo", "--no-chat", "--ready-file"])
        .arg(&ready)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let demo = Demo(child);
    wait_for(Duration::from_secs(30), || ready.exists().then_some(()))
        .await
        .expect("the demo is ready");
    demo
}

fn shell(dir: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_work() {
    let dir = tempfile::tempdir().unwrap();
    let _demo = demo(dir.path()).await;
    let script = format!(
        "set -eo pipefail\n{}\necho\necho \"$API/api/tenants/$TENANT/messages $ADMIN_TOKEN\"\n",
        commands()
    );
    let printed = shell(dir.path(), &script);
    assert!(!printed.contains("\"error\":\""), "{printed}");
    let (url, token) = printed
        .trim_end()
        .rsplit_once('\n')
        .and_then(|(_, last)| last.split_once(' '))
        .unwrap();
    let list = format!("curl -s '{url}' -H 'Authorization: Bearer {token}'");
    let all_delivered = wait_for(Duration::from_secs(30), || {
        let listed: serde_json::Value = serde_json::from_str(&shell(dir.path(), &list)).unwrap();
        let sent: Vec<_> = listed["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["direction"] == "OUT")
            .map(|message| (message["status"].clone(), message["body"].clone()))
            .collect();
        let delivered = |(status, _): &(serde_json::Value, serde_json::Value)| {
            status == "delivered" || status == "read"
        };
        (sent.len() >= 2 && sent.iter().all(delivered)).then_some(sent)
    })
    .await;
    let sent = all_delivered.expect("everything is delivered");
    assert!(
        sent.iter().any(|(_, body)| body == "We open tomorrow"),
        "{sent:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_starts_where_another_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        drop(demo(dir.path()).await);
        assert!(dir.path().join("data/demo/waxwing.db").exists());
    }
}
