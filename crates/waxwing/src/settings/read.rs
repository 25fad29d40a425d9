//! Collecting values from their sources and checking them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::{dotenv, spec};

/// Where a value comes from. The first of these wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A variable of the process.
    Environment,
    /// `.env` in the working directory.
    DotEnv,
    /// `waxwing.toml` in the working directory.
    Toml,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Toml => "waxwing.toml",
            Self::Default => "default",
        })
    }
}

/// A value that was given.
#[derive(Clone)]
pub struct Given {
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// The values that were given, by name. Only those of the highest source; each has its form.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// A value: as it was given, else the default; `None` when there is neither.
    pub fn get(&self, name: &str) -> Option<&str> {
        let given = self.0.get(name).map(|given| given.value.as_str());
        given.or_else(|| {
            spec::find(name)
                .map(|spec| spec.default)
                .filter(|text| !text.is_empty())
        })
    }

    /// Where a value comes from.
    pub fn source(&self, name: &str) -> Source {
        self.0
            .get(name)
            .map_or(Source::Default, |given| given.source)
    }

    /// Whether somebody set it.
    pub fn is_given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets a value that needs no check.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>, source: Source) {
        let value = value.into();
        self.0.insert(name, Given { value, source });
    }

    /// Forgets all but these.
    pub fn keep(&mut self, names: &[&str]) {
        self.0.retain(|name, _| names.contains(name));
    }
}

/// What was found before anything was read.
pub struct Sources {
    /// The variables of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// The text of `.env`, when there is one.
    pub dotenv: Option<String>,
    /// The text of `waxwing.toml`, when there is one.
    pub toml: Option<String>,
}

impl Sources {
    /// The environment of the process and the files of a directory.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn of_process(directory: &Path) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut read = |name: &str| match std::fs::read_to_string(directory.join(name)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                problems.push(format!("{name} cannot be read: {error}"));
                None
            }
        };
        let (dotenv, toml) = (read(".env"), read("waxwing.toml"));
        if problems.is_empty() {
            Ok(Self {
                environment: std::env::vars_os().collect(),
                dotenv,
                toml,
            })
        } else {
            Err(problems)
        }
    }

    /// The values in force.
    ///
    /// # Errors
    /// Every unknown name and every value without its form, each in a sentence.
    pub fn read(self) -> Result<Values, Vec<String>> {
        let mut reader = Reader::default();
        reader.environment(self.environment);
        if let Some(text) = self.dotenv {
            match dotenv::parse(&text) {
                Ok(pairs) => pairs
                    .into_iter()
                    .for_each(|(name, value)| reader.take(&name, value, Source::DotEnv)),
                Err(problem) => reader.problems.push(format!(".env, {problem}")),
            }
        }
        if let Some(text) = self.toml {
            reader.toml(&text);
        }
        if reader.problems.is_empty() {
            Ok(reader.values)
        } else {
            Err(reader.problems)
        }
    }
}

#[derive(Default)]
struct Reader {
    values: Values,
    problems: Vec<String>,
}

impl Reader {
    fn environment(&mut self, variables: Vec<(OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str() else {
                continue;
            };
            if spec::find(name).is_none() && !spec::seems_ours(name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => self.take(name, value, Source::Environment),
                Err(_) => self
                    .problems
                    .push(format!("{name} (environment): the value is not UTF-8")),
            }
        }
    }

    fn toml(&mut self, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                // The error itself would quote the line, and with it perhaps a secret.
                let line = error
                    .span()
                    .map_or(1, |span| text[..span.start].lines().count().max(1));
                self.problems
                    .push(format!("waxwing.toml, line {line}: {}", error.message()));
                return;
            }
        };
        for (name, value) in table {
            let name = name.to_ascii_uppercase();
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                _ => {
                    let problem = format!(
                        "{name} (waxwing.toml): expected a text, a whole number, true or false"
                    );
                    self.problems.push(if spec::find(&name).is_some() {
                        problem
                    } else {
                        unknown(&name, Source::Toml)
                    });
                    continue;
                }
            };
            self.take(&name, text, Source::Toml);
        }
    }

    /// An empty value counts as not given, as compose files write them for variables that are not set.
    fn take(&mut self, name: &str, value: String, source: Source) {
        let Some(spec) = spec::find(name) else {
            self.problems.push(unknown(name, source));
            return;
        };
        if value.is_empty() {
            return;
        }
        if !spec.form.accepts(&value) {
            let given = if spec.secret {
                format!("the value ({} characters)", value.chars().count())
            } else {
                format!("{value:?}")
            };
            let expected = spec.form.expected();
            self.problems.push(format!(
                "{name} ({source}): {given} is not valid; expected {expected}"
            ));
            return;
        }
        // A higher source was here before.
        self.values
            .0
            .entry(spec.name)
            .or_insert(Given { value, source });
    }
}

fn unknown(name: &str, source: Source) -> String {
    match spec::nearest(name) {
        Some(nearest) => {
            format!("{name} ({source}): there is no such setting; did you mean {nearest}?")
        }
        None => format!("{name} ({source}): there is no such setting"),
    }
}
