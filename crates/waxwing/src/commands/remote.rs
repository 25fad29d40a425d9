//! The commands that speak to a running server: `send`, `tenant`, `channel`, `dead-letters`.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::{
    ChannelAction, DeadLetterAction, NumberArgs, OfTenant, OutsideChoice, Remote, SendArgs,
    SenderArgs, TenantAction,
};
use crate::client::Client;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::terminal::{say, table};

/// The longest secret that a file may hold.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// `waxwing send`.
///
/// # Errors
/// What the server says.
pub async fn send(settings: &Settings, args: &SendArgs) -> Result<(), Failure> {
    let client = client(settings, &args.of.remote)?;
    let mut body = json!({ "to": args.to });
    if let Some(key) = &args.idempotency_key {
        body["idempotency_key"] = json!(key);
    }
    let path = match &args.template {
        None => {
            body["text"] = json!(args.text);
            "send"
        }
        Some(key) => {
            body["templateKey"] = json!(key);
            body["variables"] = Value::Object(variables(&args.variables)?);
            "send/template"
        }
    };
    match &args.outside_window {
        OutsideChoice::Refuse => {}
        OutsideChoice::Wait => body["outsideWindow"] = json!("wait"),
        OutsideChoice::Template { name, language } => {
            body["outsideWindow"] = json!({
                "messageTemplate": { "name": name, "language": language }
            });
        }
    }
    let answer = client.post(&of(&args.of, path)?, &body).await?;
    let message = &answer["message"];
    show(&args.of.remote, &answer, || {
        format!("{} {}", text(message, "id"), text(message, "status"))
    });
    Ok(())
}

fn variables(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let pair = |given: &String| {
        let (name, value) = given
            .split_once('=')
            .ok_or_else(|| Failure::new("--var is written as NAME=VALUE"))?;
        Ok((name.to_owned(), json!(value)))
    };
    given.iter().map(pair).collect()
}

/// `waxwing tenant`.
///
/// # Errors
/// What the server says.
pub async fn tenant(settings: &Settings, action: &TenantAction) -> Result<(), Failure> {
    match action {
        TenantAction::Create {
            name,
            number,
            remote,
        } => {
            let mut body = described(number);
            body.insert("name".into(), json!(name));
            body.extend(secrets(number)?);
            let answer = client(settings, remote)?
                .post("/api/tenants/register", &Value::Object(body))
                .await?;
            show(remote, &answer, || {
                let tenant = &answer["tenant"];
                with_warnings(
                    format!("{} {}", text(tenant, "id"), text(tenant, "name")),
                    &answer,
                )
            });
        }
        TenantAction::List { remote } => {
            let tenants = client(settings, remote)?
                .list("/api/tenants", "tenants")
                .await?;
            list(remote, "tenants", tenants, &["id", "name", "createdAt"]);
        }
    }
    Ok(())
}

/// `waxwing channel`.
///
/// # Errors
/// What the server says; when a test does not pass.
pub async fn channel(settings: &Settings, action: &ChannelAction) -> Result<(), Failure> {
    match action {
        ChannelAction::Add {
            name,
            sender,
            of: scope,
        } => {
            let mut body = sender_body(sender)?;
            if let Some(name) = name {
                body.insert("name".into(), json!(name));
            }
            let answer = client(settings, &scope.remote)?
                .post(&of(scope, "channels")?, &Value::Object(body))
                .await?;
            show(&scope.remote, &answer, || {
                with_warnings(added(&answer), &answer)
            });
        }
        ChannelAction::List { of: scope } => {
            let channels = client(settings, &scope.remote)?
                .list(&of(scope, "channels")?, "channels")
                .await?;
            list(
                &scope.remote,
                "channels",
                channels,
                &[
                    "id",
                    "kind",
                    "phoneNumberId",
                    "name",
                    "status",
                    "statusReason",
                ],
            );
        }
        ChannelAction::Test { id, of: scope } => {
            let path = of(scope, &format!("channels/{}/test", part(id)?))?;
            let answer = client(settings, &scope.remote)?.act(&path).await?;
            let test = &answer["test"];
            show(&scope.remote, &answer, || {
                let facts = ["displayPhoneNumber", "verifiedName", "quality", "canSend"];
                facts
                    .iter()
                    .map(|fact| text(test, fact))
                    .filter(|fact| fact != "-")
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            if test["passed"] != json!(true) {
                let problems: Vec<&str> = test["problems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                return Err(Failure::new(problems.join("\n  ")));
            }
        }
    }
    Ok(())
}

/// `waxwing dead-letters`.
///
/// # Errors
/// What the server says.
pub async fn dead_letters(settings: &Settings, action: &DeadLetterAction) -> Result<(), Failure> {
    match action {
        DeadLetterAction::List { of: scope } => {
            let path = of(scope, "dead-letters")?;
            let letters = client(settings, &scope.remote)?
                .list(&path, "deadLetters")
                .await?;
            list(
                &scope.remote,
                "deadLetters",
                letters,
                &["id", "kind", "class", "code", "reason", "hint"],
            );
        }
        DeadLetterAction::Retry { id, of: scope } => {
            let path = of(scope, &format!("dead-letters/{}/retry", part(id)?))?;
            let answer = client(settings, &scope.remote)?.act(&path).await?;
            show(&scope.remote, &answer, || "it is tried again".to_owned());
        }
    }
    Ok(())
}

pub(super) fn client(settings: &Settings, remote: &Remote) -> Result<Client, Failure> {
    Client::new(settings, remote.server.as_deref())
}

/// The path of a route of a tenant.
pub(super) fn of(scope: &OfTenant, route: &str) -> Result<String, Failure> {
    Ok(format!("/api/tenants/{}/{route}", part(&scope.tenant)?))
}

/// An id, which must not change the path that it stands in.
pub(super) fn part(id: &str) -> Result<&str, Failure> {
    let plain = !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain {
        Ok(id)
    } else {
        Err(Failure::new("an id has letters, digits and _ only"))
    }
}

/// What is not secret about a number.
fn described(number: &NumberArgs) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("phoneNumberId".into(), json!(number.phone_number_id));
    for (name, value) in [
        ("wabaId", &number.waba_id),
        ("displayPhone", &number.display_phone),
    ] {
        if let Some(value) = value {
            body.insert(name.into(), json!(value));
        }
    }
    body
}

fn secrets(number: &NumberArgs) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    let files = [
        ("accessToken", Some(&number.access_token_file)),
        ("appSecret", number.app_secret_file.as_ref()),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            body.insert(name.into(), json!(secret(file)?.trim()));
        }
    }
    Ok(body)
}

fn sender_body(sender: &SenderArgs) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    body.insert("kind".into(), json!(sender.kind));
    for (name, value) in [
        ("phoneNumberId", &sender.number),
        ("wabaId", &sender.account),
        ("displayPhone", &sender.display_phone),
    ] {
        if let Some(value) = value {
            body.insert(name.into(), json!(value));
        }
    }
    let mut credentials = Map::new();
    for given in &sender.credential {
        let (name, file) = given
            .split_once('=')
            .ok_or_else(|| Failure::new("--credential is written as NAME=PATH"))?;
        credentials.insert(name.to_owned(), json!(secret(Path::new(file))?.trim()));
    }
    body.insert("credentials".into(), Value::Object(credentials));
    Ok(body)
}

/// A new channel: its id and status, what the provider has to be told, and the secret that was made for it.
fn added(answer: &Value) -> String {
    let channel = &answer["channel"];
    let mut lines = vec![
        format!("{} {}", text(channel, "id"), text(channel, "status")),
        format!("webhooks to {}", text(&channel["webhooks"], "url")),
    ];
    if channel["webhooks"]["header"].is_string() {
        lines.push(format!(
            "with the header {}",
            text(&channel["webhooks"], "header")
        ));
    }
    if answer["made"].is_object() {
        lines.push(format!(
            "{} (shown this once): {}",
            text(&answer["made"], "name"),
            text(&answer["made"], "value")
        ));
    }
    lines.join("\n")
}

fn secret(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(SECRET_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
    };
    match read {
        Ok(_) if text.trim().is_empty() => {
            Err(Failure::new(format!("{} is empty", file.display())))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(format!(
            "{} cannot be read: {error}",
            file.display()
        ))),
    }
}

pub(super) fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        // What providers say must not steer the terminal.
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn show(remote: &Remote, answer: &Value, short: impl FnOnce() -> String) {
    if remote.json {
        say(&format!("{answer:#}"));
    } else {
        say(&short());
    }
}

fn with_warnings(mut line: String, answer: &Value) -> String {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        line.push_str(&format!(
            "\nnote: {}: {}",
            text(warning, "field"),
            text(warning, "message")
        ));
    }
    line
}

pub(super) fn list(remote: &Remote, name: &str, items: Vec<Value>, columns: &[&str]) {
    if remote.json {
        say(&format!("{:#}", json!({ name: items })));
        return;
    }
    let rows = items
        .iter()
        .map(|item| columns.iter().map(|column| text(item, column)).collect());
    say(table(columns, rows.collect()).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_change_the_path() {
        assert!(part("tnt_00").is_ok() && part("default").is_ok());
        for id in ["", "../x", "a/b", "a?b", "a b", "%2e"] {
            assert!(part(id).is_err(), "{id}");
        }
    }

    #[test]
    fn variables_are_pairs() {
        let given = ["name=Ada".to_owned(), "link=a=b".to_owned()];
        let variables = variables(&given).unwrap();
        assert_eq!(
            Value::Object(variables),
            json!({ "name": "Ada", "link": "a=b" })
        );
        assert!(super::variables(&["name".to_owned()]).is_err());
    }
}
