//! `waxwing demo`: server, emulator and a starter kit on this machine, and a conversation.

mod chat;
mod kit;
mod place;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::secret::Secret;
use waxwing_emulator::{Emulator, EmulatorConfig, NumberConfig, Phone, ShownMessage, User};

use self::kit::Kit;
use self::place::Place;
use crate::cli::DemoArgs;
use crate::client::Client;
use crate::data_dir;
use crate::failure::Failure;
use crate::serve::{Role, Server};
use crate::settings::{EnvChannel, Settings, Source, Values};
use crate::signals::Signals;
use crate::terminal::say;

/// The settings that the demo takes from outside; all others are its own.
const TAKEN: [&str; 6] = [
    "PORT",
    "METRICS_PORT",
    "DATA_DIR",
    "ADMIN_TOKEN",
    "LOG_LEVEL",
    "LOG_FORMAT",
];
/// The first answer comes within milliseconds; when it does not come at all, something is broken.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The customer who writes by herself. The number is one of those that nobody has.
const CUSTOMER: (&str, &str) = ("16505550142", "Ada");
/// How often a demo looks for a place.
const STARTS_MAX: u32 = 5;
/// A second number of the same account that no tenant has yet, to try registration with.
const SPARE_NUMBER: &str = "106540352242999";

/// What is logged: little, since the terminal belongs to the conversation. That a master key was made is told to those
/// who keep their data.
const LOG_FILTER: &str = "warn,waxwing::master_key=error";

/// The settings of a demo.
///
/// # Errors
/// When those that are taken from outside do not fit together.
pub fn settings(mut values: Values) -> Result<Settings, Vec<String>> {
    values.keep(&TAKEN);
    if !values.is_given("LOG_LEVEL") {
        values.set("LOG_LEVEL", LOG_FILTER, Source::Default);
    }
    Settings::from_values(&values)
}

/// A demo that runs.
struct Demo {
    emulator: Emulator,
    server: Server,
    phone: Phone,
    secrets: Secrets,
    place: Place,
}

/// Made anew for each demo.
struct Secrets {
    admin: String,
    app: String,
    verify: String,
    access: String,
}

impl Secrets {
    fn new(settings: &Settings) -> Self {
        let fresh = || hex::encode(&data_dir::random::<16>()[..]);
        Self {
            admin: settings
                .admin_token
                .as_ref()
                .map_or_else(fresh, |token| token.expose().to_owned()),
            app: fresh(),
            verify: fresh(),
            access: fresh(),
        }
    }
}

/// Runs until a signal, or until the person at the terminal ends the conversation.
///
/// # Errors
/// What is in the way.
pub async fn run(settings: Settings, args: &DemoArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let kit = Kit::find(&args.kit)?;
    let mut signals = Signals::listen()?;
    let demo = tokio::select! {
        demo = Demo::start(settings, kit, args.keep, started) => demo?,
        () = signals.next() => return Ok(()),
    };
    demo.tell(started)?;
    if let Some(path) = &args.ready_file {
        demo.server.write_ready_file(path)?;
    }
    tokio::select! {
        () = signals.next() => {}
        () = chat(&demo.phone), if !args.no_chat => {}
    }
    say("\nending");
    signals.or_at_once(demo.stop()).await;
    Ok(())
}

async fn chat(phone: &Phone) {
    let end = if std::io::stdin().is_terminal() {
        "Ctrl-D ends the demo"
    } else {
        "SIGTERM ends the demo"
    };
    say(&format!(
        "Write as the customer; #1 taps the first button; {end}."
    ));
    chat::hold(phone).await;
}

/// A line about a step that is done.
fn step(started: Instant, what: &str, text: &str) {
    say(&format!(
        "{:>6} ms  {what:<14} {text}",
        started.elapsed().as_millis()
    ));
}

/// The two programs of a demo, and where they run.
struct Running {
    place: Place,
    emulator: Emulator,
    server: Server,
}

impl Running {
    /// Starts both. A port that was free may be taken a moment later, by another demo that begins at the same time: then
    /// another place is looked for.
    async fn begin(
        settings: &mut Settings,
        secrets: &Secrets,
        keep: bool,
    ) -> Result<Self, Failure> {
        let wanted = settings.clone();
        let mut tries = 1;
        loop {
            match Self::once(settings, secrets, keep).await {
                Err(_) if tries < STARTS_MAX => {
                    settings.clone_from(&wanted);
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn once(settings: &mut Settings, secrets: &Secrets, keep: bool) -> Result<Self, Failure> {
        let place = Place::find(settings, keep)?;
        let emulator = Emulator::start(EmulatorConfig {
            listen: place.emulator,
            ..EmulatorConfig::default()
        })
        .await
        .map_err(|error| {
            Failure::new(format!("{} cannot be listened on: {error}", place.emulator))
        })?;
        let usual = NumberConfig::default();
        settings.admin_token = Some(Secret::new(secrets.admin.clone()));
        settings.meta.app_secret = Some(Secret::new(secrets.app.clone()));
        settings.meta.verify_token = Some(Secret::new(secrets.verify.clone()));
        settings.meta.graph_url = emulator.url();
        // Embedded Signup can be tried as well: the emulator's `/phone/api/signup` stands for Meta's window.
        settings.meta.signup = Some(("236484624622562".to_owned(), "1".to_owned()));
        settings.channels = vec![EnvChannel {
            kind: ChannelKind::Meta,
            sender_id: usual.phone_number_id,
            account_id: Some(usual.waba_id),
            credentials: Credentials::new().with(
                credential::ACCESS_TOKEN,
                Secret::new(secrets.access.clone()),
            ),
        }];
        let server = Server::start(settings, Role::All).await?;
        Ok(Self {
            place,
            emulator,
            server,
        })
    }
}

impl Demo {
    async fn start(
        mut settings: Settings,
        kit: &Kit,
        keep: bool,
        started: Instant,
    ) -> Result<Self, Failure> {
        say("waxwing demo: server, WhatsApp emulator and a starter kit; all of it on this machine");
        let secrets = Secrets::new(&settings);
        let Running {
            place,
            emulator,
            server,
        } = Running::begin(&mut settings, &secrets, keep).await?;
        place
            .notes
            .iter()
            .for_each(|note| say(&format!("           {note}")));
        step(
            started,
            "emulator",
            &format!("{} speaks WhatsApp's protocol", emulator.url()),
        );

        let usual = NumberConfig::default();
        let data = if keep {
            "database kept"
        } else {
            "fresh database"
        };
        step(
            started,
            "server",
            &format!(
                "{} ({data} in {})",
                server.api_url,
                settings.data_dir.display()
            ),
        );

        let client = Client::with_token(&server.api_url, &Secret::new(secrets.admin.clone()))?;
        let applied = kit.apply(&client, "default").await?;
        let what = format!(
            "{}: {} templates, {} rules",
            kit.name, applied.templates, applied.rules
        );
        step(started, "starter kit", &what);
        say(&format!("           {}", kit.description()));

        for phone_number_id in [usual.phone_number_id.as_str(), SPARE_NUMBER] {
            emulator.add_number(NumberConfig {
                phone_number_id: phone_number_id.to_owned(),
                verified_name: "Waxwing Bank".to_owned(),
                access_token: secrets.access.clone(),
                app_secret: secrets.app.clone(),
                verify_token: secrets.verify.clone(),
                webhook_url: Some(format!("{}/whatsapp/webhook", server.api_url)),
                ..NumberConfig::default()
            });
        }
        emulator
            .verify_webhook(&usual.phone_number_id)
            .await
            .map_err(|problem| Failure::new(format!("the webhook was not verified: {problem}")))?;
        step(started, "webhook", "verified by the handshake");

        let phone = emulator
            .phone(
                &usual.phone_number_id,
                User::with_phone(CUSTOMER.0, CUSTOMER.1),
            )
            .ok_or_else(|| Failure::new("the emulator has no room for a phone"))?;
        greet(&phone, &kit.first_message(), started).await?;
        Ok(Self {
            emulator,
            server,
            phone,
            secrets,
            place,
        })
    }

    /// Says where everything is.
    fn tell(&self, started: Instant) -> Result<(), Failure> {
        let api = &self.server.api_url;
        let Secrets {
            admin,
            app,
            verify,
            access,
        } = &self.secrets;
        let file = self.place.data_dir.join("env.sh");
        // Names that no setting of `waxwing` has, or that it may well take over.
        let script = format!(
            "# For the commands of the README: source this file.\n\
             export API={api} EMULATOR={} ADMIN_TOKEN={admin} APP_SECRET={app} VERIFY_TOKEN={verify}\n\
             export ACCESS_TOKEN={access} PHONE_NUMBER_ID={SPARE_NUMBER}\n",
            self.emulator.url()
        );
        data_dir::write_private(&file, script.as_bytes())?;
        say("");
        say(&format!(
            "  phones in the browser   {}",
            self.emulator.phone_url()
        ));
        say(&format!("  the API and its docs    {api}/docs"));
        say(&format!(
            "  health, metrics         {api}/health  {}/metrics",
            self.server.metrics_url
        ));
        say(&format!("  the admin's token       {admin}"));
        say(&format!(
            "  for the shell           source {}",
            file.display()
        ));
        say(&format!(
            "  ready after             {} ms",
            started.elapsed().as_millis()
        ));
        say("");
        Ok(())
    }

    async fn stop(self) {
        self.server.stop().await;
        self.emulator.stop().await;
    }
}

/// The first message and its answer.
async fn greet(phone: &Phone, text: &str, started: Instant) -> Result<(), Failure> {
    step(
        started,
        "customer",
        &format!("{} writes {text:?}", CUSTOMER.1),
    );
    let written = Instant::now();
    phone.say(text);
    let answer: ShownMessage = phone.await_reply(ANSWER_MAX).await.map_err(|_| {
        Failure::new(format!(
            "no answer came within {} s; start again with LOG_LEVEL=info to see why",
            ANSWER_MAX.as_secs()
        ))
    })?;
    let took = written.elapsed();
    step(
        started,
        "answered",
        &format!(
            "first answered message, {:.1} ms after it was written:",
            took.as_secs_f64() * 1000.0
        ),
    );
    chat::shown(&answer)
        .lines()
        .for_each(|line| say(&format!("           {line}")));
    Ok(())
}
