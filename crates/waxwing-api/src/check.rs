//! Checks of input that several routes share. All that is wrong is collected, then refused at once.

use waxwing_core::content::Violation;
use waxwing_core::limits;
use waxwing_core::secret::Secret;

use crate::errors::{ApiError, ApiResult};

const ID_MAX: usize = 64;
const CREDENTIAL_MAX: usize = 4_096;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Checks(Vec<Violation>);

impl Checks {
    /// Nothing found yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a field is wrong. Only the first reason counts: a missing field is not malformed, too.
    pub fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        if !self.knows(&field) {
            self.0.push(Violation::new(field, message));
        }
    }

    fn knows(&self, field: &str) -> bool {
        self.0.iter().any(|known| known.field == field)
    }

    /// Notes what the core found about fields that are not noted already.
    pub fn extend(&mut self, mut violations: Vec<Violation>) {
        violations.retain(|violation| !self.knows(&violation.field));
        self.0.extend(violations);
    }

    /// A field that must be there; a default stands in when it is not, and the request is refused in the end.
    pub fn required<T: Default>(&mut self, field: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.wrong(field, "is missing");
            T::default()
        })
    }

    /// A name: not empty, at most [`limits::NAME`] characters.
    pub fn name(&mut self, field: &str, name: &str) {
        if name.trim().is_empty() {
            self.wrong(field, "must not be empty");
        } else if name.chars().count() > limits::NAME {
            self.wrong(field, format!("is longer than {} characters", limits::NAME));
        }
    }

    /// An id of a provider. It becomes part of addresses, so its characters are few.
    pub fn provider_id(&mut self, field: &str, id: &str) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(plain) {
            self.wrong(
                field,
                format!("must be 1 to {ID_MAX} letters, digits, dots, dashes and underscores"),
            );
        }
    }

    /// A credential. It becomes part of headers, so it must be visible ASCII.
    pub fn credential(&mut self, field: &str, value: &Secret) {
        let value = value.expose();
        if value.is_empty()
            || value.len() > CREDENTIAL_MAX
            || !value.bytes().all(|byte| byte.is_ascii_graphic())
        {
            self.wrong(
                field,
                format!("must be 1 to {CREDENTIAL_MAX} visible ASCII characters"),
            );
        }
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses the request when something is wrong.
    ///
    /// # Errors
    /// 422 with everything that is.
    pub fn finish(self) -> ApiResult<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.0))
        }
    }
}
