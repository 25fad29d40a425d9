//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::serve::Role;

/// Waxwing: a self-hosted, multi-tenant WhatsApp Business platform.
///
/// Settings come from the environment, from `.env` and from `waxwing.toml` in the working directory, in this order.
#[derive(Debug, Parser)]
#[command(name = "waxwing", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve {
        /// What this process does; web and worker need PostgreSQL
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
        /// Write the addresses and the process id to this file once requests are answered
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
    },
    /// Read a webhook request, its body from standard input, and end: whether that goes well is the answer
    #[command(hide = true)]
    Read {
        /// Its provider
        kind: String,
        /// The part of its query that was kept
        query: String,
    },
    /// Run server, WhatsApp emulator and a starter kit on this machine and hold a conversation
    Demo(DemoArgs),
    /// Run the WhatsApp emulator alone, for a server that runs elsewhere
    Emulate(EmulateArgs),
    /// Bring the schema of the database up to date, or back
    Migrate {
        /// Which way
        #[command(subcommand)]
        way: Migrate,
    },
    /// Send a message through a running server
    Send(SendArgs),
    /// Make and list tenants of a running server
    Tenant {
        /// What to do
        #[command(subcommand)]
        action: TenantAction,
    },
    /// Add, list and test channels of a running server
    Channel {
        /// What to do
        #[command(subcommand)]
        action: ChannelAction,
    },
    /// Invite, list and remove people of a tenant of a running server
    User {
        /// What to do
        #[command(subcommand)]
        action: UserAction,
    },
    /// Make, list and revoke API keys of a tenant of a running server
    Key {
        /// What to do
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Verify that the audit log of a running server is as it was written
    Audit {
        /// What to do
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Show what is deleted by age on a running server, or delete it now
    Retention {
        /// What to do
        #[command(subcommand)]
        action: RetentionAction,
    },
    /// Replace the keys under which a running server has sealed everything
    RotateKeys {
        /// Return at once instead of waiting for the end
        #[arg(long)]
        no_wait: bool,
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
    /// List and retry what failed for good on a running server
    DeadLetters {
        /// What to do
        #[command(subcommand)]
        action: DeadLetterAction,
    },
    /// Look at settings, database, key, channels and reachability, and say what to mend
    Doctor {
        /// The running server, when it is not the one of PUBLIC_URL or of this machine
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// Show the settings in force and where they come from, without secrets
    Config {
        /// Show a .env that explains every setting instead
        #[arg(long)]
        example: bool,
    },
}

/// How to run the demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The starter kit
    #[arg(default_value = "bank-menu")]
    pub kit: String,
    /// Serve only; do not read messages from the terminal
    #[arg(long)]
    pub no_chat: bool,
    /// Keep the database of the demo before
    #[arg(long)]
    pub keep: bool,
    /// Write the addresses and the process id to this file once the first message is answered
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// How to run the emulator.
#[derive(Debug, Args)]
pub struct EmulateArgs {
    /// Where the emulator listens; 0 takes a free port
    #[arg(long, default_value_t = 4004)]
    pub port: u16,
    /// The server that gets the webhooks [default: the one of this machine at PORT]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Signs the webhooks [default: APP_SECRET, else a fresh one]
    #[arg(long)]
    pub app_secret: Option<String>,
    /// The token of the handshake [default: VERIFY_TOKEN, else a fresh one]
    #[arg(long)]
    pub verify_token: Option<String>,
    /// The number's id [default: WHATSAPP_PHONE_NUMBER_ID, else one of Meta's examples]
    #[arg(long)]
    pub phone_number_id: Option<String>,
    /// The token that may send from the number [default: WHATSAPP_ACCESS_TOKEN, else a fresh one]
    #[arg(long)]
    pub access_token: Option<String>,
    /// A fault script in JSON
    #[arg(long, value_name = "PATH")]
    pub faults: Option<PathBuf>,
}

/// Ways to migrate.
#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Apply all steps that the database does not have
    Up,
    /// Undo the last steps, with the data they hold
    Down {
        /// How many
        #[arg(value_name = "N", default_value_t = 1)]
        count: usize,
    },
    /// Show which steps the database has
    Status,
}

/// Which server, and how to show its answers.
#[derive(Debug, Args)]
pub struct Remote {
    /// The server [default: PUBLIC_URL, else the one of this machine at PORT]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Show the whole answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which tenant on which server.
#[derive(Debug, Args)]
pub struct OfTenant {
    /// The tenant's id
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// The server
    #[command(flatten)]
    pub remote: Remote,
}

/// A message to send.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// A phone number with + and country code, or a user id
    pub to: String,
    /// The text
    #[arg(required_unless_present = "template", conflicts_with = "template")]
    pub text: Option<String>,
    /// Send this template of the tenant instead of a text
    #[arg(long, value_name = "KEY")]
    pub template: Option<String>,
    /// A variable of the template; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "template")]
    pub variables: Vec<String>,
    /// At most one message gets this key
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// What becomes of it when the contact has not written within a day: refuse, wait, or template:NAME:LANGUAGE (an
    /// approved message template without variables goes in its place)
    #[arg(long, value_name = "CHOICE", default_value = "refuse")]
    pub outside_window: OutsideChoice,
    /// From whom
    #[command(flatten)]
    pub of: OfTenant,
}

/// What `--outside-window` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutsideChoice {
    /// It is not sent.
    Refuse,
    /// It waits for the contact.
    Wait,
    /// A message template goes in its place.
    Template {
        /// Its name.
        name: String,
        /// Its language.
        language: String,
    },
}

impl std::str::FromStr for OutsideChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => return Ok(Self::Refuse),
            "wait" => return Ok(Self::Wait),
            _ => {}
        }
        let named = text.strip_prefix("template:");
        match named.and_then(|named| named.split_once(':')) {
            Some((name, language)) if !name.is_empty() && !language.is_empty() => {
                Ok(Self::Template {
                    name: name.to_owned(),
                    language: language.to_owned(),
                })
            }
            _ => Err("say refuse, wait or template:NAME:LANGUAGE"),
        }
    }
}

/// A number of Meta's Cloud API. Secrets are read from files, since others can see a command line.
#[derive(Debug, Args)]
pub struct NumberArgs {
    /// Meta's id of the number, not its digits
    #[arg(long, value_name = "ID")]
    pub phone_number_id: String,
    /// Meta's id of the account
    #[arg(long, value_name = "ID")]
    pub waba_id: Option<String>,
    /// The number as people write it
    #[arg(long, value_name = "PHONE")]
    pub display_phone: Option<String>,
    /// A file with the access token; - reads it from standard input
    #[arg(long, value_name = "PATH")]
    pub access_token_file: PathBuf,
    /// A file with the app secret, when it is not the platform's
    #[arg(long, value_name = "PATH")]
    pub app_secret_file: Option<PathBuf>,
}

/// A number at any provider.
#[derive(Debug, Args)]
pub struct SenderArgs {
    /// The provider
    #[arg(long, default_value = "meta", value_parser = ["meta", "twilio", "dialog360", "msg91"])]
    pub kind: String,
    /// The number: its id at Meta and 360dialog, the phone number itself at Twilio and MSG91
    #[arg(long, value_name = "NUMBER", alias = "phone-number-id")]
    pub number: Option<String>,
    /// The provider's id of the account; at Twilio the account SID
    #[arg(long, value_name = "ID", alias = "waba-id")]
    pub account: Option<String>,
    /// The number as people write it
    #[arg(long, value_name = "PHONE")]
    pub display_phone: Option<String>,
    /// A credential and the file that holds it, such as accessToken=token.txt; - reads standard input. The one that sends
    /// is accessToken, authToken, apiKey or authKey; appSecret and webhookSecret authenticate webhooks. May be repeated
    #[arg(long, value_name = "NAME=PATH", required = true)]
    pub credential: Vec<String>,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantAction {
    /// Make a tenant and its first channel
    Create {
        /// Its name
        name: String,
        /// Its number
        #[command(flatten)]
        number: NumberArgs,
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
    /// List tenants
    List {
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
}

/// What to do with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelAction {
    /// Add a channel
    Add {
        /// A name for people
        #[arg(long)]
        name: Option<String>,
        /// The number
        #[command(flatten)]
        sender: SenderArgs,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// List channels
    List {
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// Ask the provider whether a channel works
    Test {
        /// Its id
        id: String,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
}

/// What to do with people.
#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Invite somebody; the token that is shown is for them
    Invite {
        /// The person's address
        email: String,
        /// What the person becomes
        #[arg(long, value_parser = role_words())]
        role: String,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// List the people of the tenant
    List {
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// Give somebody another role
    Role {
        /// The person's id
        id: String,
        /// The role
        #[arg(value_parser = role_words())]
        role: String,
        /// Where
        #[command(flatten)]
        of: OfTenant,
    },
    /// Take somebody out of the tenant; the account stays
    Remove {
        /// The person's id
        id: String,
        /// From where
        #[command(flatten)]
        of: OfTenant,
    },
    /// Make a token with which somebody sets a new password
    ResetPassword {
        /// The person's id
        id: String,
        /// Where
        #[command(flatten)]
        of: OfTenant,
    },
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a key; its token is shown once
    Create {
        /// What it is for
        name: String,
        /// What the program may do
        #[arg(long, value_parser = role_words())]
        role: String,
        /// When it ends by itself, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// List keys, without their tokens
    List {
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// Revoke a key: it opens nothing from then on
    Revoke {
        /// Its id
        id: String,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditAction {
    /// Walk the chains of all tenants and of the platform; prints where each ends, a line each
    Verify {
        /// Only the chain of this tenant, or `platform`
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// What this command printed earlier: those ends have to be in the chains still
        #[arg(long, value_name = "PATH")]
        checkpoint: Option<PathBuf>,
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
}

/// What to do about what is deleted by age.
#[derive(Debug, Subcommand)]
pub enum RetentionAction {
    /// Show how long each thing is kept and how much is due
    Show {
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete what is due
    Run {
        /// Only count
        #[arg(long)]
        dry_run: bool,
        /// Where
        #[command(flatten)]
        remote: Remote,
    },
}

fn role_words() -> PossibleValuesParser {
    waxwing_core::access::Role::ALL
        .map(|role| role.as_str())
        .into()
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetterAction {
    /// List what waits for a decision
    List {
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
    /// Try one again
    Retry {
        /// Its id
        id: String,
        /// Whose
        #[command(flatten)]
        of: OfTenant,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
