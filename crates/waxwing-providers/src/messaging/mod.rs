//! Messaging providers, one module each, all behind [`Messaging`]. `cloud` holds what all speakers of Meta's Cloud API
//! share.

mod adapter;
mod call;
mod cloud;
pub mod dialog360;
pub mod media;
pub mod meta;
pub mod msg91;
mod shared_secret;
mod template_api;
pub mod twilio;

use waxwing_core::channel::ChannelKind;

pub use self::adapter::{
    Account, Arrival, AssetNeed, BuildError, ChannelCheck, Endpoints, ListedPage, Lookup,
    Messaging, Outgoing, Pace, Recipient, Recorded,
};
pub use self::cloud::parse::Unreadable;
pub use self::template_api::{
    Created, Sample, SampleWay, TemplateApi, TemplateError, TemplateFailure, TemplatePage,
};

/// The adapter of a kind of channel.
#[must_use]
pub fn adapter(kind: ChannelKind) -> &'static dyn Messaging {
    match kind {
        ChannelKind::Meta => &meta::Meta,
        ChannelKind::Twilio => &twilio::Twilio,
        ChannelKind::Dialog360 => &dialog360::Dialog360,
        ChannelKind::Msg91 => &msg91::Msg91,
    }
}

/// The template management of a kind of channel.
#[must_use]
pub fn template_api(kind: ChannelKind) -> &'static dyn TemplateApi {
    match kind {
        ChannelKind::Meta => &meta::templates::MetaTemplates,
        ChannelKind::Twilio => &twilio::templates::TwilioTemplates,
        ChannelKind::Dialog360 => &dialog360::templates::Dialog360Templates,
        ChannelKind::Msg91 => &msg91::templates::Msg91Templates,
    }
}
