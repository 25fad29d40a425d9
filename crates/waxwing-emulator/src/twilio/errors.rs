//! Error bodies of Twilio's APIs and the words of its codes (twilio.md section 10).

use serde_json::json;

use crate::answer::Answer;

/// HTTP status and message of a code. Messages are ours where Twilio's is not known; the adapter must not read them.
const fn row(code: i64) -> (u16, &'static str) {
    match code {
        20003 => (401, "Authenticate"),
        20005 => (403, "Account is not active"),
        20404 => (404, "The requested resource was not found"),
        20422 => (400, "Invalid Parameter"),
        20429 => (429, "Too Many Requests"),
        20500 => (500, "An internal server error has occurred"),
        20503 => (503, "Service Unavailable"),
        21211 => (400, "The 'To' number is not a valid phone number"),
        21408 => (
            400,
            "Permission to send has not been enabled for the region",
        ),
        21602 => (400, "Message body is required"),
        21603 => (
            400,
            "A 'From' or 'MessagingServiceSid' parameter is required to send a message",
        ),
        21604 => (400, "A 'To' phone number is required"),
        21606 => (
            400,
            "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination",
        ),
        21608 => (
            400,
            "The number is unverified. Trial accounts cannot send messages to unverified numbers",
        ),
        21609 => (400, "Invalid 'StatusCallback'"),
        21610 => (400, "Attempt to send to unsubscribed recipient"),
        21611 => (
            400,
            "This 'From' number has exceeded the maximum number of queued messages",
        ),
        21617 => (
            400,
            "The concatenated message body exceeds the 1600 character limit",
        ),
        21619 => (400, "A text message body or media urls must be specified"),
        21620 => (400, "Invalid media URL(s)"),
        21623 => (400, "Number of media files exceeds allowed limit"),
        21624 => (400, "Invalid ValidityPeriod"),
        21655 => (400, "The ContentSid is Invalid"),
        21656 => (400, "The ContentVariables Parameter is invalid"),
        21701 => (400, "The Messaging Service does not exist"),
        21910 => (
            400,
            "Invalid From and To pair. From and To should be of the same channel",
        ),
        35114 | 35115 => (400, "Scheduling does not support this timestamp"),
        35117 => (400, "SendAt is too far ahead"),
        35118 => (400, "MessagingServiceSid is required to schedule a message"),
        63007 => (
            400,
            "Twilio could not find a Channel with the specified From address",
        ),
        63031 => (400, "Channel message cannot have same To and From"),
        63038 => (429, "Account exceeded the daily messages limit"),
        63016 => (
            400,
            "Failed to send freeform message because you are outside the allowed window.",
        ),
        63018 => (400, "Rate limit exceeded for Channel"),
        63019 => (400, "Media failed to download"),
        63024 => (400, "Invalid message recipient"),
        63027 => (400, "Template does not exist for a language and locale"),
        63033 => (400, "Recipient is blocked from receiving messages"),
        63041 => (400, "Template paused"),
        63049 => (
            400,
            "Meta chose not to deliver this WhatsApp marketing message",
        ),
        _ => (400, "An error occurred"),
    }
}

/// What a message resource and a callback say about a code.
pub(crate) const fn message(code: i64) -> &'static str {
    row(code).1
}

/// What Meta said, as Twilio passes it on; only for codes where it was seen or is plain.
pub(crate) const fn channel_message(code: i64) -> Option<&'static str> {
    match code {
        63016 => Some("131047 Re-engagement message"),
        63024 => Some("131026 Message undeliverable"),
        63049 => {
            Some("131049 This message was not delivered to maintain healthy ecosystem engagement")
        }
        _ => None,
    }
}

/// Whether a message with this code ends as `failed`: it never left Twilio. All others end as `undelivered`.
pub(crate) const fn is_failed(code: i64) -> bool {
    matches!(
        code,
        21610 | 30001 | 63003 | 63007 | 63017 | 63018 | 63019 | 63027 | 63028 | 63034 | 63041
    )
}

/// An error of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: i64,
    message: Option<String>,
}

impl Error {
    pub(crate) const fn of(code: i64) -> Self {
        Self {
            code,
            message: None,
        }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(300).collect();
        Self {
            code: 20404,
            message: Some(format!("The requested resource {path} was not found")),
        }
    }

    /// A recipient that is no number.
    pub(crate) fn invalid_to(to: &str) -> Self {
        let to: String = to.chars().take(100).collect();
        Self {
            code: 21211,
            message: Some(format!("The 'To' number {to} is not a valid phone number")),
        }
    }

    /// The answer, with another HTTP status than the documented one if there is one.
    pub(crate) fn answer(&self, status: Option<u16>) -> Answer {
        let (usual, text) = row(self.code);
        let status = status.unwrap_or(usual);
        let body = json!({
            "code": self.code,
            "message": self.message.as_deref().unwrap_or(text),
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            // In the body as in the line above it.
            "status": if status < 300 { usual } else { status },
        });
        Answer::plain(
            status,
            "application/json;charset=utf-8",
            serde_json::to_vec(&body).unwrap_or_default(),
        )
    }
}
