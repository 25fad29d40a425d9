//! The catalogue of domain events: what Waxwing tells the outside about.

use serde::Serialize;

use crate::call::CallState;
use crate::ids::{ChannelId, ContactId, ConversationId, MessageId, MessageTemplateId};
use crate::message_template::{Change, TemplateCategory, TemplateQuality, TemplateStatus};

/// A domain event. It is written in the same transaction as what it tells of. It names objects by id; it never holds a
/// phone number or a provider's message id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DomainEvent {
    /// A person wrote for the first time, or was written to for the first time.
    #[serde(rename_all = "camelCase")]
    ContactCreated {
        /// The person.
        contact_id: ContactId,
    },
    /// Two contacts turned out to be one person.
    #[serde(rename_all = "camelCase")]
    ContactMerged {
        /// The contact that stays.
        contact_id: ContactId,
        /// The contact that was merged into it.
        merged_id: ContactId,
        /// `same_message`, `provider` or `by_hand`.
        reason: String,
    },
    /// A merge was undone by hand.
    #[serde(rename_all = "camelCase")]
    ContactParted {
        /// The contact that had stayed.
        contact_id: ContactId,
        /// The contact that is its own again.
        parted_id: ContactId,
    },
    /// A contact was erased: nothing of it is known any more but its id.
    #[serde(rename_all = "camelCase")]
    ContactErased {
        /// The contact.
        contact_id: ContactId,
    },
    /// A person has a new number or user id.
    #[serde(rename_all = "camelCase")]
    ContactIdsChanged {
        /// The person.
        contact_id: ContactId,
        /// The provider's word for what happened.
        change: String,
    },
    /// A person said whether they want marketing.
    #[serde(rename_all = "camelCase")]
    ContactMarketingChanged {
        /// The person.
        contact_id: ContactId,
        /// `opted_in` or `opted_out`.
        marketing: String,
    },
    /// The first message between a channel and a contact.
    #[serde(rename_all = "camelCase")]
    ConversationStarted {
        /// The thread.
        conversation_id: ConversationId,
        /// The person.
        contact_id: ContactId,
    },
    /// A session ended by inactivity. Noticed when the contact writes again.
    #[serde(rename_all = "camelCase")]
    SessionExpired {
        /// The thread.
        conversation_id: ConversationId,
        /// The state it was in.
        state: Option<String>,
    },
    /// A person wrote.
    #[serde(rename_all = "camelCase")]
    MessageReceived {
        /// The message.
        message_id: MessageId,
        /// The thread.
        conversation_id: ConversationId,
        /// The person.
        contact_id: ContactId,
        /// The kind of content.
        #[serde(rename = "type")]
        kind: String,
    },
    /// A call began or went on.
    #[serde(rename_all = "camelCase")]
    CallChanged {
        /// Its entry on the timeline.
        message_id: MessageId,
        /// The thread.
        conversation_id: ConversationId,
        /// The person.
        contact_id: ContactId,
        /// Whether the person called.
        by_contact: bool,
        /// How far it has come.
        state: CallState,
        /// How long both talked, in seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_seconds: Option<u64>,
    },
    /// A message of ours climbed the status ladder, failed, or has an unknown outcome.
    #[serde(rename_all = "camelCase")]
    MessageStatusChanged {
        /// The message.
        message_id: MessageId,
        /// The thread.
        conversation_id: ConversationId,
        /// `sent`, `delivered`, `read`, `failed`, `outcome_unknown`, `cancelled` or `expired`.
        status: String,
        /// The class and code of the error of a failed one.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<crate::errors::ProviderError>,
    },
    /// A received file is stored, or will not be.
    #[serde(rename_all = "camelCase")]
    MediaFetched {
        /// The file.
        media_id: crate::ids::MediaId,
        /// The message that it came with.
        message_id: Option<MessageId>,
        /// Why there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<crate::errors::ProviderError>,
    },
    /// A channel stopped sending.
    #[serde(rename_all = "camelCase")]
    ChannelBroken {
        /// The channel.
        channel_id: crate::ids::ChannelId,
        /// Why.
        error: crate::errors::ProviderError,
    },
    /// The provider tells something about a channel that a person should know.
    #[serde(rename_all = "camelCase")]
    ChannelAlert {
        /// The channel.
        channel_id: ChannelId,
        /// What; absent when what was wrong is over.
        alert: Option<String>,
    },
    /// The quality, speed or limit of a number changed.
    #[serde(rename_all = "camelCase")]
    ChannelQualityChanged {
        /// The channel.
        channel_id: ChannelId,
        /// The provider's word for the quality.
        #[serde(skip_serializing_if = "Option::is_none")]
        quality: Option<String>,
        /// Messages a second.
        #[serde(skip_serializing_if = "Option::is_none")]
        throughput: Option<i64>,
        /// People a day, in the provider's word.
        #[serde(skip_serializing_if = "Option::is_none")]
        messaging_limit: Option<String>,
    },
    /// A message template changed. The property that changed is there with what it was before.
    #[serde(rename_all = "camelCase")]
    MessageTemplateChanged {
        /// The message template.
        message_template_id: MessageTemplateId,
        /// The channel through which it was made.
        channel_id: ChannelId,
        /// Its name.
        name: String,
        /// Its language.
        language: String,
        /// Where it stands now.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<TemplateStatus>,
        /// How people like it now.
        #[serde(skip_serializing_if = "Option::is_none")]
        quality: Option<TemplateQuality>,
        /// Its category now.
        #[serde(skip_serializing_if = "Option::is_none")]
        category: Option<TemplateCategory>,
        /// The category that it will have.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_category: Option<TemplateCategory>,
        /// What it was before.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous: Option<&'static str>,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl DomainEvent {
    /// The event of a change of a message template.
    #[must_use]
    pub fn of_template(
        message_template_id: MessageTemplateId,
        channel_id: ChannelId,
        (name, language): (&str, &str),
        change: Change,
        reason: Option<&str>,
    ) -> Self {
        let (mut status, mut quality, mut category, mut next_category) = (None, None, None, None);
        let previous = match change {
            Change::Status { from, to } => {
                status = Some(to);
                Some(from.as_str())
            }
            Change::Quality { from, to } => {
                quality = Some(to);
                Some(from.as_str())
            }
            Change::Category { from, to } => {
                category = Some(to);
                Some(from.as_str())
            }
            Change::CategoryAnnounced { to } => {
                next_category = Some(to);
                None
            }
            Change::Components => None,
        };
        Self::MessageTemplateChanged {
            message_template_id,
            channel_id,
            name: name.to_owned(),
            language: language.to_owned(),
            status,
            quality,
            category,
            next_category,
            previous,
            reason: reason.map(str::to_owned),
        }
    }

    /// The name of the event's type, as subscribers filter by it.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::ContactCreated { .. } => "contact.created",
            Self::ContactMerged { .. } => "contact.merged",
            Self::ContactErased { .. } => "contact.erased",
            Self::ContactParted { .. } => "contact.parted",
            Self::ContactIdsChanged { .. } => "contact.ids_changed",
            Self::ContactMarketingChanged { .. } => "contact.marketing_changed",
            Self::ConversationStarted { .. } => "conversation.started",
            Self::SessionExpired { .. } => "session.expired",
            Self::MessageReceived { .. } => "message.received",
            Self::CallChanged { state, .. } => match state {
                CallState::Ringing => "call.ringing",
                CallState::Accepted => "call.accepted",
                CallState::Missed => "call.missed",
                CallState::Failed => "call.failed",
                CallState::Rejected => "call.rejected",
                CallState::Completed => "call.completed",
            },
            Self::MessageStatusChanged { status, .. } => match status.as_str() {
                "sent" => "message.sent",
                "delivered" => "message.delivered",
                "read" => "message.read",
                "failed" => "message.failed",
                "cancelled" => "message.cancelled",
                "expired" => "message.expired",
                _ => "message.outcome_unknown",
            },
            Self::MediaFetched { error: None, .. } => "media.stored",
            Self::MediaFetched { .. } => "media.failed",
            Self::ChannelBroken { .. } => "channel.broken",
            Self::ChannelAlert { .. } => "channel.alert",
            Self::ChannelQualityChanged { .. } => "channel.quality_changed",
            Self::MessageTemplateChanged {
                status,
                quality,
                category,
                next_category,
                ..
            } => match (status, quality, category, next_category) {
                (Some(_), ..) => "message_template.status_changed",
                (_, Some(_), ..) => "message_template.quality_changed",
                (_, _, Some(_), _) => "message_template.category_changed",
                (_, _, _, Some(_)) => "message_template.category_announced",
                _ => "message_template.components_changed",
            },
        }
    }
}
