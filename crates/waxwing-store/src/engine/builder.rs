//! Statements with optional filters: a registered base and static fragments. No value ever enters the text.

use std::fmt::Write as _;

use super::Engine;
use super::statement::Statement;
use super::value::Value;

/// A statement made of a registered base and fragments.
///
/// In a fragment `?` stands for the next value; the builder numbers it. The base is a complete statement without
/// ORDER BY and LIMIT, so the registry prepares and checks it like any other.
#[derive(Debug, Clone)]
pub struct SqlBuilder {
    base: &'static Statement,
    text: String,
    params: Vec<Value>,
}

impl SqlBuilder {
    /// Starts with the base statement and its parameters `$1..$n`.
    #[must_use]
    pub fn new(base: &'static Statement, params: &[Value]) -> Self {
        Self {
            base,
            text: base.sql.to_owned(),
            params: params.to_vec(),
        }
    }

    /// Appends a fragment with its values, one for each `?`.
    #[must_use]
    pub fn push(mut self, fragment: &'static str, values: &[Value]) -> Self {
        self.append(fragment, values);
        self
    }

    /// Appends `AND (fragment)` with one value.
    #[must_use]
    pub fn and(mut self, condition: &'static str, value: impl Into<Value>) -> Self {
        self.text.push_str(" AND (");
        self.append(condition, &[value.into()]);
        self.text.push(')');
        self
    }

    /// Appends `AND (fragment)` when there is a value.
    #[must_use]
    pub fn and_some<T: Into<Value>>(self, condition: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.and(condition, value),
            None => self,
        }
    }

    /// Appends `AND column IN (..)`. An empty list matches nothing. Keep the list short (tens): each length is a text
    /// of its own for the engine.
    #[must_use]
    pub fn and_in<T: Into<Value>>(
        mut self,
        column: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            self.text.push_str(" AND 1 = 0");
            return self;
        }
        self.text.push_str(" AND ");
        self.text.push_str(column);
        self.text.push_str(" IN (");
        for (at, value) in values.into_iter().enumerate() {
            self.params.push(value);
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{comma}${}", self.params.len());
        }
        self.text.push(')');
        self
    }

    fn append(&mut self, fragment: &'static str, values: &[Value]) {
        let mut values = values.iter();
        for (at, part) in fragment.split('?').enumerate() {
            if at > 0 {
                self.params.extend(values.next().cloned());
                let _ = write!(self.text, "${}", self.params.len());
            }
            self.text.push_str(part);
        }
        debug_assert!(
            values.next().is_none(),
            "more values than places in the fragment {fragment:?}"
        );
    }

    pub(crate) fn base(&self) -> &'static Statement {
        self.base
    }

    pub(crate) fn params(&self) -> &[Value] {
        &self.params
    }

    /// The text as the engine gets it.
    #[must_use]
    pub fn text(&self, engine: Engine) -> String {
        let expanded = super::statement::expand(&self.text, engine);
        match engine {
            Engine::Sqlite => super::statement::number(&expanded),
            Engine::Postgres => expanded,
        }
    }
}
