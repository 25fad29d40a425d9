//! Showing settings to people, without their secrets.

use super::read::Values;
use super::spec::{SPECS, Spec};

/// Stands in for a secret.
const MASK: &str = "********";

/// Every setting with its value, where it comes from, and a note where one is due; one a line.
pub fn table(values: &Values, derived: &[(&str, String)]) -> String {
    let rows: Vec<[String; 3]> = SPECS
        .iter()
        .map(|spec| row(spec, values, derived))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (names, shown) = (width(0), width(1));
    let mut text = String::new();
    for [name, value, note] in &rows {
        text.push_str(format!("{name:names$}  {value:shown$}  {note}").trim_end());
        text.push('\n');
    }
    text
}

/// The settings that were given and have no effect yet.
pub fn without_effect(values: &Values) -> Vec<&'static str> {
    let given = SPECS
        .iter()
        .filter(|spec| spec.later && values.is_given(spec.name));
    given.map(|spec| spec.name).collect()
}

/// A `.env` that says what every setting is for and sets none.
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of Waxwing. Copy this file to .env in the working directory and take the # away where you set a value.\n\
         # The environment of the process comes first, then .env, then waxwing.toml. Nothing has to be set in development.\n",
    );
    for Spec {
        name,
        default,
        about,
        later,
        ..
    } in SPECS
    {
        let note = if *later {
            " (no effect in this version)"
        } else {
            ""
        };
        text.push_str(&format!("\n# {about}{note}\n# {name}={default}\n"));
    }
    text
}

fn row(spec: &Spec, values: &Values, derived: &[(&str, String)]) -> [String; 3] {
    let value = match values.get(spec.name) {
        Some(value) => masked(spec, value),
        None => derived
            .iter()
            .find(|(name, _)| *name == spec.name)
            .map_or_else(|| "-".to_owned(), |(_, text)| text.clone()),
    };
    let mut note = values.source(spec.name).to_string();
    if spec.later && values.is_given(spec.name) {
        note.push_str(" (accepted, has no effect in this version)");
    }
    [spec.name.to_owned(), value, note]
}

fn masked(spec: &Spec, value: &str) -> String {
    if !spec.secret {
        return value.to_owned();
    }
    match spec.name {
        "DATABASE_URL" | "REDIS_URL" => masked_url(value),
        _ => MASK.to_owned(),
    }
}

/// A connection string without its password. What cannot be taken apart is masked as a whole.
pub(super) fn masked_url(value: &str) -> String {
    if value.starts_with("sqlite:") {
        return value.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else {
        return MASK.to_owned();
    };
    // Parameters may hold a password, too.
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{MASK}")),
        None => (rest, String::new()),
    };
    // A password may hold `@` and `/` where the driver is lenient, so the last `@` decides.
    match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials
                .split_once(':')
                .map_or(credentials, |(user, _)| user);
            let mask = if credentials.contains(':') {
                format!(":{MASK}")
            } else {
                String::new()
            };
            format!("{scheme}://{user}{mask}@{host}{query}")
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}
