//! What a send of a message template has to give: checked before it is queued, and made of simple variables.
//!
//! A parameter that does not fit is refused by the provider minutes later (132000, 132012) or, worse, sent to a person
//! with a gap in it (protocols/meta.md 12).

mod build;
mod check;
mod numbered;

pub use self::build::components;
pub use self::check::check;
pub use self::numbered::numbered;

/// Blanks in a row that a text parameter may have.
const BLANKS: &str = "     ";

/// What is wrong with a text that takes the place of a variable.
fn wrong_text(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        Some("must not be empty")
    } else if text.contains(['\n', '\r', '\t']) {
        Some("must have no line breaks and no tabs")
    } else if text.contains(BLANKS) {
        Some("must not have more than four blanks in a row")
    } else if text.chars().count() > crate::limits::VARIABLE_VALUE {
        Some("is too long")
    } else {
        None
    }
}

/// What is wrong with the code of an authentication template: at most 15 characters, no address, no emoji.
fn wrong_code(code: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | ' ' | '_');
    if code.chars().count() > crate::limits::MESSAGE_TEMPLATE_CODE {
        Some("a code has at most 15 characters")
    } else if code.trim().is_empty() {
        Some("must not be empty")
    } else if !code.chars().all(plain) {
        Some("a code has letters and digits only")
    } else {
        None
    }
}
