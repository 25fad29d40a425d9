//! The queries, one module for each noun.

pub mod channels;
pub mod crypto;
pub mod flows;
pub mod templates;
pub mod tenants;

use crate::Module;

/// The statements of all modules, for the registry test.
pub const MODULES: &[Module] = &[
    Module { name: "channels", statements: channels::STATEMENTS, inserts: &[] },
    Module { name: "flows", statements: flows::STATEMENTS, inserts: &[] },
    Module { name: "templates", statements: templates::STATEMENTS, inserts: &[] },
    Module { name: "tenants", statements: tenants::STATEMENTS, inserts: &[] },
];
