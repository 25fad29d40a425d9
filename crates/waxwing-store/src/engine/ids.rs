//! The ids and times of the core as parameters and columns.

use waxwing_core::ids;
use waxwing_core::time::Timestamp;

use super::error::StoreError;
use super::row::{Cell, FromColumn, FromRow, Row};
use super::value::Value;

macro_rules! id_columns {
    ($($id:ident),* $(,)?) => {$(
        impl From<ids::$id> for Value {
            fn from(id: ids::$id) -> Self {
                Self::Uuid(id.uuid())
            }
        }

        impl FromColumn for ids::$id {
            fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
                uuid::Uuid::from_column(cell).map(Self::from_uuid)
            }
        }

        impl FromRow for ids::$id {
            const COLUMNS: usize = 1;

            fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
                row.get(0)
            }
        }
    )*};
}

id_columns!(
    TenantId,
    ChannelId,
    ContactId,
    MergeId,
    ConversationId,
    MessageId,
    AttemptId,
    TemplateId,
    MessageTemplateId,
    FlowId,
    WebhookEventId,
    OutboxEventId,
    DeadLetterId,
    MediaId,
    UserId,
    SessionId,
    ApiKeyId,
    InvitationId,
    AuditEntryId,
    NodeId,
);

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.micros())
    }
}

impl FromColumn for Timestamp {
    fn from_column(cell: Cell<'_>) -> Result<Self, StoreError> {
        i64::from_column(cell).map(Self::from_micros)
    }
}

impl FromRow for Timestamp {
    const COLUMNS: usize = 1;

    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        row.get(0)
    }
}
