//! Twilio's own client library (tests/twilio-client) against both sides of ours: what it signs is accepted by the
//! server, and the emulator serves it as Twilio would.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::TwilioNumber;
use waxwing_testkit::{Tenant, TestApp};

use crate::support::options;

/// Our address as Twilio knows it: behind a proxy that removes the prefix.
const PUBLIC: &str = "https://hooks.waxwing.example/wa";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twilio-client")
}

/// Whether the library is installed. `cargo xtask test` installs it and requires it.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn is_installed() -> bool {
    let installed = folder().join("node_modules/twilio/package.json").exists();
    assert!(
        installed || std::env::var_os("REQUIRE_NODE").is_none(),
        "Twilio's client library is required: npm ci --ignore-scripts in {}",
        folder().display()
    );
    if !installed {
        println!("skipped: Twilio's client library is not installed");
    }
    installed
}

/// Runs the script with an input; its output.
async fn node(input: Value) -> Value {
    let run = move || {
        let mut child = Command::new("node")
            .arg(folder().join("client.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A request as the library signed it.
struct Signed {
    url: String,
    content_type: String,
    body: String,
    signature: String,
}

async fn sign(requests: Value) -> Vec<Signed> {
    let token = TwilioNumber::default().auth_token;
    let answer = node(json!({"op": "sign", "authToken": token, "requests": requests})).await;
    let signed = answer["signed"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    signed
        .iter()
        .map(|signed| Signed {
            url: text(&signed["url"]),
            content_type: text(&signed["contentType"]),
            body: text(&signed["body"]),
            signature: text(&signed["signature"]),
        })
        .collect()
}

/// Posts what was signed to where a proxy would: the status of the answer.
async fn post(app: &TestApp, signed: &Signed) -> u16 {
    let path = signed.url.split_once("/wa/").unwrap().1;
    let answer = app.api.send(|client, base| {
        client
            .post(format!("{base}/{path}"))
            .header("content-type", &signed.content_type)
            .header("x-twilio-signature", &signed.signature)
            .body(signed.body.clone())
    });
    answer.await.status
}

fn message(id: &str, body: &str) -> Value {
    let number = TwilioNumber::default();
    json!({
        "AccountSid": number.account_sid, "MessageSid": id, "SmsMessageSid": id, "NumMedia": "0", "To": number.id(),
        "From": "whatsapp:+16505551234", "WaId": "16505551234", "ProfileName": "Ada", "Body": body, "SmsStatus": "received",
    })
}

async fn server(public: &str) -> (TestApp, Tenant) {
    let options = options().at(ChannelKind::Twilio).set("PUBLIC_URL", public);
    let app = TestApp::start(options).await;
    let tenant = app.default_tenant(ChannelKind::Twilio).await;
    (app, tenant)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_signs_is_accepted_and_nothing_else() {
    if !is_installed() {
        return;
    }
    let (app, tenant) = server(PUBLIC).await;
    let at = |path: &str| format!("{PUBLIC}{path}");
    let ported = "https://hooks.waxwing.example:443/wa/webhook/twilio";
    let mut odd = message("SM4", " ' + ✓ \u{1f600} & = %27 ");
    odd["Body2"] = json!(["b", "a", "b"]);
    let requests = json!([
        {"url": at("/webhook/twilio"), "params": message("SM1", "plain")},
        {"url": ported, "params": message("SM2", "with the port")},
        {"url": at("/api/webhooks/whatsapp/inbound?a=1&b=it%27s+%2B&a=2"), "params": message("SM3", "a query")},
        {"url": at("/webhook/twilio"), "params": odd},
        {"url": at("/webhook/twilio"), "json": message("SM5", "json ✓").to_string()},
        {"url": format!("{ported}?x=1&y"), "json": message("SM6", "json, port and query").to_string()},
        {"url": at("/api/webhooks/whatsapp/status?m=x"), "params": {"AccountSid": TwilioNumber::default().account_sid,
            "MessageSid": "SM9", "MessageStatus": "sent", "From": TwilioNumber::default().id(), "To": "whatsapp:+16505551234"}},
    ]);
    let signed = sign(requests).await;
    for request in &signed {
        let mut forged = Vec::new();
        let (first, rest) = request.signature.split_at(1);
        forged.push(Signed {
            signature: format!("{}{rest}", if first == "A" { "B" } else { "A" }),
            ..copy(request)
        });
        forged.push(Signed {
            body: request.body.replacen("16505551234", "16505551235", 1),
            ..copy(request)
        });
        let apart = if request.url.contains('?') { '&' } else { '?' };
        forged.push(Signed {
            url: format!("{}{apart}more=1", request.url),
            ..copy(request)
        });
        forged.push(Signed {
            content_type: "text/plain".to_owned(),
            body: format!("{} ", request.body),
            ..copy(request)
        });
        for forged in &forged {
            assert_eq!(post(&app, forged).await, 401, "{}", request.url);
        }
        assert_eq!(post(&app, request).await, 200, "{}", request.url);
    }
    let found = app
        .messages_until(&tenant, "direction=IN", |found| found.len() == 6)
        .await;
    let mut bodies: Vec<&str> = found
        .iter()
        .map(|message| message["body"].as_str().unwrap())
        .collect();
    bodies.sort_unstable();
    let mut wanted = [
        "plain",
        "with the port",
        "a query",
        " ' + ✓ \u{1f600} & = %27 ",
        "json ✓",
        "json, port and query",
    ];
    wanted.sort_unstable();
    assert_eq!(bodies, wanted);
}

fn copy(signed: &Signed) -> Signed {
    Signed {
        url: signed.url.clone(),
        content_type: signed.content_type.clone(),
        body: signed.body.clone(),
        signature: signed.signature.clone(),
    }
}

#[test]
fn the_lock_file_names_no_registry() {
    let lock = include_str!("../twilio-client/package-lock.json");
    assert!(lock.contains("\"integrity\": \"sha512-") && !lock.contains("\"resolved\""));
    let hosts = lock.matches("://").count();
    assert_eq!(
        hosts,
        lock.matches("\"url\": \"https://").count(),
        "where to give money"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_a_port_is_accepted_with_and_without_it() {
    if !is_installed() {
        return;
    }
    let (app, tenant) = server("http://hooks.waxwing.example:8080/wa").await;
    let url = |authority: &str| format!("http://{authority}/wa/webhook/twilio");
    let signed = sign(json!([
        {"url": url("hooks.waxwing.example:8080"), "params": message("SM1", "with")},
        {"url": url("hooks.waxwing.example"), "params": message("SM2", "without")},
        {"url": url("hooks.waxwing.example:8081"), "params": message("SM3", "another")},
        {"url": url("waxwing.example"), "params": message("SM4", "another host")},
    ]))
    .await;
    let mut statuses = Vec::new();
    for request in &signed {
        statuses.push(post(&app, request).await);
    }
    assert_eq!(statuses, [200, 200, 401, 401]);
    app.messages_until(&tenant, "direction=IN", |found| found.len() == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_serves_the_library_as_twilio_does() {
    if !is_installed() {
        return;
    }
    let mut config = waxwing_emulator::EmulatorConfig::lenient();
    config.checks.templates = true;
    let emulator = waxwing_emulator::Emulator::start(config).await.unwrap();
    let number = TwilioNumber::default();
    emulator.add_number(number.clone());
    let phone = emulator
        .phone(
            &number.id(),
            waxwing_emulator::User::with_phone("16505551234", "Ada"),
        )
        .unwrap();
    let inbound = phone.say("hi");
    let answer = node(json!({"op": "use", "base": emulator.url(), "accountSid": number.account_sid,
        "authToken": number.auth_token, "from": number.id(), "to": "whatsapp:+16505551234", "inbound": inbound}))
    .await;
    sends_and_reads(&answer, &number);
    refuses(&answer["refused"]);
    assert_eq!(answer["gone"]["code"], 20404);
    assert_eq!(
        answer["received"],
        json!({"body": "hi", "direction": "inbound", "from": "whatsapp:+16505551234"})
    );
    assert_eq!(answer["typing"], true);
    let shown: Vec<String> = phone
        .thread()
        .into_iter()
        .map(|bubble| bubble.text)
        .collect();
    assert!(
        shown.contains(&"Hello Grace, all well with it?".to_owned()),
        "{shown:?}"
    );
}

fn sends_and_reads(answer: &Value, number: &TwilioNumber) {
    let sent = &answer["sent"];
    let sid = sent["sid"].as_str().unwrap();
    assert!(sid.starts_with("SM") && sid.len() == 34);
    assert_eq!(
        (&sent["status"], &sent["numMedia"], &sent["dateSent"]),
        (&json!("queued"), &json!("0"), &Value::Null)
    );
    assert_eq!(sent["direction"], "outbound-api");
    assert_eq!(
        sent["uri"],
        format!(
            "/2010-04-01/Accounts/{}/Messages/{sid}.json",
            number.account_sid
        )
    );
    let fetched = &answer["fetched"];
    assert_eq!(fetched["body"], "Hello ✓ *bold*");
    assert!(matches!(
        fetched["status"].as_str(),
        Some("delivered" | "read")
    ));
    assert_eq!(
        (&fetched["price"], &fetched["priceUnit"]),
        (&json!("-0.00500"), &json!("USD"))
    );
    let callbacks = answer["callbacks"].as_array().unwrap();
    assert!(callbacks.iter().any(|it| it["status"] == "delivered"));
    for callback in callbacks {
        assert_eq!(
            (&callback["sid"], &callback["valid"]),
            (&sent["sid"], &json!(true))
        );
        assert_eq!(callback["forged"], callback["status"] == "read");
    }
    let (templated, media) = (&answer["templated"]["sid"], &answer["media"]["sid"]);
    assert!(media.as_str().is_some_and(|sid| sid.starts_with("MM")));
    assert_eq!(answer["media"]["numMedia"], "1");
    assert!(
        answer["content"]["sid"]
            .as_str()
            .is_some_and(|sid| sid.starts_with("HX"))
    );
    assert_eq!(
        answer["listed"],
        json!([media, templated, sent["sid"]]),
        "newest first, over three pages"
    );
    assert_eq!(answer["recent"], json!([media, templated]));
    assert_eq!(answer["older"], 0);
    assert_eq!(
        answer["senders"],
        json!([{"senderId": number.id(), "status": "ONLINE"}])
    );
    assert_eq!(answer["redacted"], "");
    assert_eq!(answer["removed"], true);
}

fn refuses(refused: &Value) {
    for (name, code, status) in [
        ("nobody", 21211, 400),
        ("stranger", 63007, 400),
        ("channels", 21910, 400),
        ("long", 21617, 400),
        ("content", 21655, 400),
        ("missing", 20404, 404),
        ("token", 20003, 401),
    ] {
        let error = &refused[name];
        assert_eq!(error["known"], true, "{name}: {error}");
        assert_eq!(
            (&error["code"], &error["status"]),
            (&json!(code), &json!(status)),
            "{name}: {error}"
        );
        assert!(
            error["moreInfo"]
                .as_str()
                .is_some_and(|more| more.ends_with(&code.to_string()))
        );
    }
}
