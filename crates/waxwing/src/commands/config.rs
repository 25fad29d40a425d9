//! `waxwing config`.

use crate::failure::Failure;
use crate::master_key;
use crate::settings::{self, Settings, Sources};
use crate::terminal::say;

/// Shows the settings in force.
///
/// # Errors
/// What is wrong with them; what could be read is shown before.
pub fn run() -> Result<(), Failure> {
    let sources = Sources::of_process(std::path::Path::new("."));
    let values = sources
        .and_then(Sources::read)
        .map_err(|problems| Failure::settings(&problems))?;
    let checked = Settings::from_values(&values);
    let derived = checked.as_ref().map(derived).unwrap_or_default();
    say(settings::table(&values, &derived).trim_end());
    checked
        .map(|_| ())
        .map_err(|problems| Failure::setting(problems.join("\nwaxwing: ")))
}

/// What follows from other settings when nobody sets it.
fn derived(settings: &Settings) -> Vec<(&'static str, String)> {
    let data_dir = &settings.data_dir;
    let file = master_key::file(settings);
    let key = if file.exists() {
        "in"
    } else {
        "will be made in"
    };
    let mut derived = vec![
        ("BIND", settings.bind.to_string()),
        (
            "DATABASE_URL",
            format!("sqlite:{}", data_dir.join("waxwing.db").display()),
        ),
        ("MASTER_KEY", format!("{key} {}", file.display())),
        ("ADMIN_TOKEN", "the master key".to_owned()),
        (
            "LOG_FORMAT",
            if settings.log_json { "json" } else { "text" }.to_owned(),
        ),
    ];
    if settings.database.engine() == waxwing_store::Engine::Sqlite {
        derived.push(("NODE_NAME", "embedded".to_owned()));
    }
    derived
}
