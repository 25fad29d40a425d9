//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Bring the schema of the database up to date, or back
    Migrate {
        /// Which way
        #[command(subcommand)]
        way: Migrate,
    },
    /// Show the settings in force and where they come from, without secrets
    Config {
        /// Show a .env that explains every setting instead
        #[arg(long)]
        example: bool,
    },
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
