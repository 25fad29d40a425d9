//! Bodies of successful answers.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// The `"ok": true` of every successful answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Success;

impl Serialize for Success {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

/// An answer without a resource.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    #[schema(value_type = bool)]
    pub ok: Success,
}

/// Something that was accepted but deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// The path of the field.
    pub field: String,
    /// What to look at.
    pub message: String,
}

impl Warning {
    /// A warning about a field.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}
