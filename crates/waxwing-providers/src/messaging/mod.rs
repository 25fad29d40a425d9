//! Messaging providers, one module each, all behind [`Messaging`]. `cloud` holds what all speakers of Meta's Cloud API
//! share.

mod adapter;
mod call;
mod cloud;
pub mod dialog360;
pub mod meta;
pub mod msg91;
mod shared_secret;
pub mod twilio;

use waxwing_core::channel::ChannelKind;

pub use self::adapter::{
    Account, Arrival, AssetNeed, BuildError, ChannelCheck, Endpoints, Messaging, Outgoing, Pace,
    Recipient, Recorded,
};
pub use self::cloud::parse::Unreadable;

/// The adapter of a kind of channel.
#[must_use]
pub fn adapter(kind: ChannelKind) -> Option<&'static dyn Messaging> {
    match kind {
        ChannelKind::Meta => Some(&meta::Meta),
        ChannelKind::Twilio => Some(&twilio::Twilio),
        ChannelKind::Dialog360 => Some(&dialog360::Dialog360),
        ChannelKind::Msg91 => Some(&msg91::Msg91),
    }
}
