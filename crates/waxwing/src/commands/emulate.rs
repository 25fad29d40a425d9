//! `waxwing emulate`: the WhatsApp emulator alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use waxwing_core::channel::{ChannelKind, credential};
use waxwing_emulator::{Emulator, EmulatorConfig, FaultScript, NumberConfig};

use crate::cli::EmulateArgs;
use crate::data_dir;
use crate::failure::Failure;
use crate::settings::{EnvChannel, Settings};
use crate::signals::Signals;
use crate::terminal::say;

/// How long to wait before the next try to verify the webhook.
const VERIFY_AGAIN: Duration = Duration::from_secs(1);

/// Runs until a signal.
///
/// # Errors
/// When the port is taken or the fault script cannot be read.
pub async fn run(settings: &Settings, args: &EmulateArgs) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let number = number(settings, args);
    let faults = match &args.faults {
        None => FaultScript::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(format!("{} cannot be read: {error}", path.display()))
            })?;
            serde_json::from_str(&text).map_err(|error| {
                Failure::new(format!("{} is no fault script: {error}", path.display()))
            })?
        }
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let emulator = Emulator::start(EmulatorConfig {
        listen,
        faults,
        ..EmulatorConfig::default()
    })
    .await
    .map_err(|error| {
        Failure::new(format!(
            "{listen} cannot be listened on ({error}): name another port with --port"
        ))
    })?;
    emulator.add_number(number.clone());
    say(&format!(
        "WhatsApp emulator at {}, phones at {}",
        emulator.url(),
        emulator.phone_url()
    ));
    say(&format!(
        "webhooks go to {}",
        number.webhook_url.as_deref().unwrap_or_default()
    ));
    say("a server speaks to it with these settings:");
    for (name, value) in shown(settings, args, &emulator.url(), &number) {
        say(&format!("  {name}={value}"));
    }
    tokio::select! {
        () = signals.next() => {}
        () = verify(&emulator, &number.phone_number_id) => signals.next().await,
    }
    emulator.stop().await;
    Ok(())
}

/// The settings of a server for this emulator. Secrets that come from the settings here are not repeated.
fn shown<'a>(
    settings: &Settings,
    args: &EmulateArgs,
    url: &'a str,
    number: &'a NumberConfig,
) -> Vec<(&'static str, &'a str)> {
    let meta = &settings.meta;
    let mut shown = vec![
        ("META_GRAPH_URL", url),
        ("WHATSAPP_PHONE_NUMBER_ID", &number.phone_number_id),
        ("WHATSAPP_BUSINESS_ACCOUNT_ID", &number.waba_id),
    ];
    if meta.app_secret.is_none() || args.app_secret.is_some() {
        shown.push(("APP_SECRET", &number.app_secret));
    }
    if meta.verify_token.is_none() || args.verify_token.is_some() {
        shown.push(("VERIFY_TOKEN", &number.verify_token));
    }
    if meta_number(settings).is_none() || args.access_token.is_some() {
        shown.push(("WHATSAPP_ACCESS_TOKEN", &number.access_token));
    }
    shown
}

/// The number at Meta that the settings describe.
fn meta_number(settings: &Settings) -> Option<&EnvChannel> {
    settings
        .channels
        .iter()
        .find(|channel| channel.kind == ChannelKind::Meta)
}

fn number(settings: &Settings, args: &EmulateArgs) -> NumberConfig {
    let meta = &settings.meta;
    let local = || format!("http://127.0.0.1:{}", settings.port);
    let server = args.server.clone().unwrap_or_else(local);
    let fresh = || hex::encode(&data_dir::random::<16>()[..]);
    let given = |argument: &Option<String>, setting: Option<&waxwing_core::secret::Secret>| {
        argument
            .clone()
            .or_else(|| setting.map(|secret| secret.expose().to_owned()))
    };
    let usual = NumberConfig::default();
    let channel = meta_number(settings);
    NumberConfig {
        phone_number_id: args
            .phone_number_id
            .clone()
            .or_else(|| channel.map(|channel| channel.sender_id.clone()))
            .unwrap_or(usual.phone_number_id),
        waba_id: channel
            .and_then(|channel| channel.account_id.clone())
            .unwrap_or(usual.waba_id),
        access_token: given(
            &args.access_token,
            channel.and_then(|channel| channel.credentials.get(credential::ACCESS_TOKEN)),
        )
        .unwrap_or_else(fresh),
        app_secret: given(&args.app_secret, meta.app_secret.as_ref()).unwrap_or_else(fresh),
        verify_token: given(&args.verify_token, meta.verify_token.as_ref()).unwrap_or_else(fresh),
        webhook_url: Some(format!("{}/whatsapp/webhook", server.trim_end_matches('/'))),
        ..NumberConfig::default()
    }
}

/// Meta verifies the address when it is entered; here the server may start later, so it is tried until it works.
async fn verify(emulator: &Emulator, phone_number_id: &str) {
    let mut told = String::new();
    loop {
        match emulator.verify_webhook(phone_number_id).await {
            Ok(()) => {
                say("the webhook is verified");
                return;
            }
            Err(reason) => {
                if reason != told {
                    say(&format!(
                        "the webhook is not verified yet: {reason}; trying again"
                    ));
                    told = reason;
                }
                tokio::time::sleep(VERIFY_AGAIN).await;
            }
        }
    }
}
