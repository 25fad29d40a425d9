//! Rules for texts with variables, for all places that have such.

use super::Findings;
use crate::message_template::slots::{self, Slot};
use crate::message_template::{Example, ParameterFormat};

/// A text, where it stands, and what may stand in it.
pub(super) struct Text<'a> {
    /// The path of the field.
    pub(super) field: String,
    /// What it is called, such as `the body`.
    pub(super) what: &'static str,
    /// The text.
    pub(super) text: &'a str,
    /// Characters at most.
    pub(super) max: usize,
    /// How variables are written.
    pub(super) format: ParameterFormat,
}

impl Text<'_> {
    /// Its length, and the blanks and line breaks that are never taken.
    pub(super) fn plain(&self, found: &mut Findings) {
        let length = self.text.chars().count();
        if length > self.max {
            let over = length - self.max;
            found.error(
                "too_long",
                &self.field,
                format!("has {length} characters; WhatsApp allows {}", self.max),
                format!("Take away {over} characters."),
            );
        }
        if self.text.contains('\t') {
            found.error("tab", &self.field, "has a tab", "Put a blank in its place.");
        }
        if self.text.contains("     ") {
            found.error(
                "blanks",
                &self.field,
                "has more than four blanks in a row",
                "Take away the blanks.",
            );
        }
    }

    /// No line breaks, no asterisks and underscores that format, no emoji: for headers.
    pub(super) fn one_line(&self, found: &mut Findings) {
        if self.text.contains(['\n', '\r']) {
            found.error(
                "line_break",
                &self.field,
                format!("{} has a line break", self.what),
                "Write it in one line.",
            );
        }
    }

    /// Emoji and the signs that make text bold or slanted.
    pub(super) fn undecorated(&self, found: &mut Findings) {
        if self.text.contains(['*', '~', '`']) || has_emoji(self.text) {
            found.error(
                "decoration",
                &self.field,
                format!("{} must have no emoji and no formatting signs", self.what),
                "Move them into the body.",
            );
        }
    }

    /// Whether the variables are well formed, counted without gaps, not at an edge, not side by side, and each with a
    /// sample.
    pub(super) fn variables(&self, examples: &[Example], found: &mut Findings) {
        let all = slots::slots(self.text);
        self.braces(&all, found);
        self.names(&all, found);
        self.samples(examples, found);
    }

    fn braces(&self, all: &[Slot<'_>], found: &mut Findings) {
        let open = self.text.matches("{{").count();
        let close = self.text.matches("}}").count();
        if open != all.len() || close != all.len() || self.text.contains("{{{") {
            found.error(
                "braces",
                &self.field,
                "has braces that do not belong together",
                "Write each variable as {{1}} or {{name}}, and no other double braces.",
            );
        }
        for slot in all {
            let inner = &self.text[slot.start + 2..slot.end - 2];
            if inner != slot.name {
                found.error(
                    "braces",
                    &self.field,
                    format!("the variable {{{{{inner}}}}} has blanks in its braces"),
                    format!("Write {{{{{}}}}}.", slot.name),
                );
            }
        }
    }

    fn names(&self, all: &[Slot<'_>], found: &mut Findings) {
        if self.format == ParameterFormat::Positional {
            let mut numbers: Vec<usize> = all.iter().filter_map(Slot::number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            if numbers
                .iter()
                .enumerate()
                .any(|(at, number)| *number != at + 1)
            {
                found.error(
                    "variable_numbers",
                    &self.field,
                    format!(
                        "the variables of {} do not count from 1 without gaps",
                        self.what
                    ),
                    "Number them {{1}}, {{2}}, {{3}} …",
                );
            }
            return;
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for slot in all {
            let starts = slot.name.starts_with(|c: char| c.is_ascii_lowercase());
            if !starts || !slot.name.chars().all(plain) {
                found.error(
                    "variable_name",
                    &self.field,
                    format!("{{{{{}}}}} is not a name", slot.name),
                    "Names have lower-case letters, digits and underscores, and begin with a letter.",
                );
            }
        }
    }

    fn samples(&self, examples: &[Example], found: &mut Findings) {
        let names = slots::names(self.text);
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| {
                !examples
                    .iter()
                    .any(|one| one.name == **name && !one.value.trim().is_empty())
            })
            .copied()
            .collect();
        if !missing.is_empty() {
            let list = missing.join(", ");
            found.error(
                "example_missing",
                &self.field,
                format!("there is no example for {list}"),
                "Give one for each variable under `example`; WhatsApp's reviewers read them.",
            );
        }
        let extra = examples
            .iter()
            .find(|one| !names.contains(&one.name.as_str()));
        if let Some(extra) = extra {
            let name = &extra.name;
            found.error(
                "example_extra",
                &self.field,
                format!("there is an example for {name}, which the text has not"),
                "Take it away.",
            );
        }
    }

    /// The rules of the body: variables need words around them.
    pub(super) fn surroundings(&self, found: &mut Findings) {
        let all = slots::slots(self.text);
        if all.is_empty() {
            return;
        }
        let trimmed = self.text.trim();
        if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
            found.error(
                "variable_at_edge",
                &self.field,
                "begins or ends with a variable",
                "Put words before the first and after the last variable; a full stop is enough at the end.",
            );
        }
        let adjacent = all
            .windows(2)
            .any(|pair| self.text[pair[0].end..pair[1].start].trim().is_empty());
        if adjacent {
            found.error(
                "variables_adjacent",
                &self.field,
                "has variables side by side",
                "Put words or a punctuation mark between them.",
            );
        }
        let words = self.text.split_whitespace().count();
        let variables = slots::names(self.text).len();
        let least = 2 * variables + 2;
        if words < least {
            found.error(
                "variables_too_many",
                &self.field,
                format!("has {variables} variables in {words} words"),
                format!("Write at least {least} words, or use fewer variables."),
            );
        }
        if variables > 100 {
            found.error(
                "variables_too_many",
                &self.field,
                "has more than 100 variables",
                "Use fewer variables.",
            );
        }
    }
}

/// Pictures; signs such as © and arrows are not counted.
pub(super) fn has_emoji(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0xFE0F | 0x20E3 | 0x2B50 | 0x2B55)
    })
}
