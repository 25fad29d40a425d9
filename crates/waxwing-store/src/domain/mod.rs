//! The queries, one module for each noun.

pub mod api_keys;
pub mod assets;
pub mod audit;
pub mod channel_health;
pub mod channels;
pub mod contacts;
pub mod contents;
pub mod conversations;
pub mod costs;
pub mod crypto;
pub mod dead_letters;
pub mod erasure;
pub mod flows;
pub mod gate;
pub mod inbox;
pub mod invitations;
pub mod keys;
pub mod marks;
pub mod media;
pub mod message_templates;
pub mod messages;
pub mod nodes;
pub mod outbox;
pub mod portfolio;
pub mod queue;
pub mod retention;
pub mod second_factors;
pub mod sessions;
pub mod statuses;
pub mod templates;
pub mod tenants;
pub mod unknown;
pub mod users;
mod waiting;

use crate::Module;

/// The statements of all modules, for the registry test.
pub const MODULES: &[Module] = &[
    Module {
        name: "api_keys",
        statements: api_keys::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "invitations",
        statements: invitations::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "sessions",
        statements: sessions::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "second_factors",
        statements: second_factors::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "users",
        statements: users::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "retention",
        statements: retention::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "assets",
        statements: assets::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "audit",
        statements: audit::STATEMENTS,
        inserts: audit::INSERTS,
    },
    Module {
        name: "audit::verify",
        statements: audit::verify::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "contacts",
        statements: contacts::STATEMENTS,
        inserts: contacts::INSERTS,
    },
    Module {
        name: "contacts::identity",
        statements: contacts::identity::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "contacts::listing",
        statements: contacts::listing::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "contacts::merges",
        statements: contacts::merges::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "conversations",
        statements: conversations::STATEMENTS,
        inserts: conversations::INSERTS,
    },
    Module {
        name: "costs",
        statements: costs::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "dead_letters",
        statements: dead_letters::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "erasure",
        statements: erasure::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "erasure::tenant",
        statements: erasure::tenant::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "inbox",
        statements: inbox::STATEMENTS,
        inserts: inbox::INSERTS,
    },
    Module {
        name: "keys",
        statements: keys::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "keys::rotation",
        statements: keys::rotation::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "marks",
        statements: marks::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "media",
        statements: media::STATEMENTS,
        inserts: media::INSERTS,
    },
    Module {
        name: "media_objects",
        statements: media::objects::STATEMENTS,
        inserts: media::objects::INSERTS,
    },
    Module {
        name: "messages",
        statements: messages::STATEMENTS,
        inserts: messages::INSERTS,
    },
    Module {
        name: "messages::find",
        statements: messages::find::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "portfolio",
        statements: portfolio::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "nodes",
        statements: nodes::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "outbox",
        statements: outbox::STATEMENTS,
        inserts: outbox::INSERTS,
    },
    Module {
        name: "queue",
        statements: queue::STATEMENTS,
        inserts: queue::INSERTS,
    },
    Module {
        name: "statuses",
        statements: statuses::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "channel_health",
        statements: channel_health::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "message_templates",
        statements: message_templates::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "channels",
        statements: channels::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "flows",
        statements: flows::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "gate",
        statements: gate::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "templates",
        statements: templates::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "tenants",
        statements: tenants::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "waiting",
        statements: waiting::STATEMENTS,
        inserts: &[],
    },
    Module {
        name: "unknown",
        statements: unknown::STATEMENTS,
        inserts: &[],
    },
];
