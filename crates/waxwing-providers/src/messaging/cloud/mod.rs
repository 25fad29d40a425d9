//! The Cloud API's wire forms: Meta speaks it itself, 360dialog passes it through.

pub(crate) mod codes;
pub(crate) mod outcome;
pub(crate) mod parse;
pub(crate) mod scrub;
pub(crate) mod send;
pub(crate) mod templates;
pub(crate) mod text;
pub(crate) mod wire;
