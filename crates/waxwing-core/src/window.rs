//! The customer service window: the 24 hours after the contact's last message in which free-form messages are allowed.

use std::time::Duration;

use crate::time::Timestamp;

/// How long the window stays open after a message of the contact (protocols/meta.md 17).
pub const SERVICE_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// How long it stays open after a message that came from an ad or a page button.
pub const FREE_ENTRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// When the window that a message opens ends. Counted from the message's own time, since webhooks may be late.
#[must_use]
pub fn window_end(sent_at: Timestamp, from_ad: bool) -> Timestamp {
    sent_at.plus(if from_ad {
        FREE_ENTRY_WINDOW
    } else {
        SERVICE_WINDOW
    })
}
