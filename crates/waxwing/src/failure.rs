//! Why a command ended badly: a sentence for the person at the terminal and an exit code.

use std::fmt;

use waxwing_store::StoreError;

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One or more lines that say what is wrong and what to do.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

/// The exit code of wrong settings.
pub const SETTINGS: u8 = 2;

impl Failure {
    /// Something failed.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 1,
        }
    }

    /// The settings are wrong.
    pub fn settings(problems: &[String]) -> Self {
        let mut text = problems.join("\nwaxwing: ");
        text.push_str("\nwaxwing: `waxwing config` shows the settings in force; .env.example lists all of them");
        Self {
            text,
            code: SETTINGS,
        }
    }

    /// One setting is wrong.
    pub fn setting(problem: impl Into<String>) -> Self {
        Self {
            text: problem.into(),
            code: SETTINGS,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let advice = match &error {
            StoreError::Unavailable(_) => "; is it running, and is DATABASE_URL right?",
            StoreError::Schema(_) => "; `waxwing migrate status` shows how the schema stands",
            StoreError::DiskFull => "; make room and start again",
            _ => "",
        };
        Self::new(format!("{error}{advice}"))
    }
}
