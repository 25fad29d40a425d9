//! The names of the metrics of the main job. Labels hold closed sets of words, never ids, phones or texts.

/// Webhook requests by `provider` and `result` (`accepted`, `bad_signature`, `unavailable`, …).
pub const WEBHOOK_REQUESTS: &str = "whatsapp_webhook_requests_total";
/// Webhook requests with a wrong signature by `provider`.
pub const INVALID_SIGNATURES: &str = "whatsapp_webhook_invalid_signatures_total";
/// Tries to log in by `result` (`good`, `wrong`, `code_missing`, `wrong_code`, `too_fast`).
pub const LOGINS: &str = "whatsapp_logins_total";
/// Webhook items by `kind` and `result` (`applied`, `duplicate`, `quarantined`, `ignored`).
pub const WEBHOOK_ITEMS: &str = "whatsapp_webhook_items_total";
/// Webhook requests kept aside by `reason`.
pub const WEBHOOK_QUARANTINED: &str = "whatsapp_webhook_quarantined_total";
/// Seconds from receipt of a request to the commit of its effects.
pub const WEBHOOK_LAG: &str = "whatsapp_webhook_lag_seconds";
/// Outbound messages that wait.
pub const QUEUE_DEPTH: &str = "whatsapp_queue_depth";
/// Seconds that the oldest of them waits.
pub const QUEUE_OLDEST: &str = "whatsapp_queue_oldest_age_seconds";
/// Attempts to send by `outcome`.
pub const SEND_ATTEMPTS: &str = "whatsapp_send_attempts_total";
/// Attempts after the first one.
pub const SEND_RETRIES: &str = "whatsapp_send_retries_total";
/// Messages that failed for good by `class`.
pub const SEND_FAILURES: &str = "whatsapp_send_failures_total";
/// Messages that the closed customer service window held back by `result` (`waits`, `expired`, `failed`), and those that
/// wait since their account may write to no more people today (`limited`).
pub const HELD_AT_GATE: &str = "whatsapp_window_held_total";
/// Statuses by `status` and `result` (`moved`, `unmoved`, `parked`).
pub const STATUSES: &str = "whatsapp_message_statuses_total";
/// Seconds that the provider took to answer.
pub const PROVIDER_LATENCY: &str = "whatsapp_provider_request_duration_seconds";
/// Messages whose outcome turned unknown.
pub const UNKNOWN_OUTCOMES: &str = "whatsapp_unknown_outcomes_total";
/// Unknown outcomes that a status settled.
pub const UNKNOWN_RESOLVED_LATE: &str = "whatsapp_unknown_resolved_late_total";
/// Unknown outcomes that were looked up at the provider by `result` (`sent`, `absent`, `unclear`).
pub const UNKNOWN_LOOKED_UP: &str = "whatsapp_unknown_looked_up_total";
/// Outbox events written by `event_type`.
pub const OUTBOX_CREATED: &str = "whatsapp_outbox_events_created_total";
/// Channels whose circuit is open, since their provider failed too often.
pub const CIRCUITS_OPEN: &str = "whatsapp_circuits_open";
/// Channels that wait because they may not send faster, because their provider does not answer, or for a person.
pub const PACED_CHANNELS: &str = "whatsapp_paced_channels";
/// 1 while the nodes share their limits through Redis, 0 while it does not answer; absent without `REDIS_URL`.
pub const SHARED_LIMITS_UP: &str = "whatsapp_shared_limits_up";
/// How often Redis went away.
pub const SHARED_LIMITS_OUTAGES: &str = "whatsapp_shared_limits_outages_total";
/// Sends in flight.
pub const SENDS_IN_FLIGHT: &str = "whatsapp_sends_in_flight";
/// Webhook requests that wait to be handled: the age of the oldest in seconds.
pub const INBOX_OLDEST: &str = "whatsapp_inbox_oldest_age_seconds";
/// Rows deleted by retention by `table`.
pub const RETENTION_DELETED: &str = "whatsapp_retention_deleted_total";
/// Attempts to fetch a received file by `provider` and `result` (`stored`, `again`, `failed`).
pub const MEDIA_FETCHES: &str = "whatsapp_media_fetches_total";
/// Bytes of files that were fetched.
pub const MEDIA_FETCHED_BYTES: &str = "whatsapp_media_fetched_bytes_total";
/// Files that were given to providers by `provider` and `result` (`uploaded`, `failed`).
pub const MEDIA_UPLOADS: &str = "whatsapp_media_uploads_total";
/// Objects of the object store; counted once an hour.
pub const MEDIA_OBJECTS: &str = "whatsapp_media_objects";
/// Bytes of the files in the object store; counted once an hour.
pub const MEDIA_STORED_BYTES: &str = "whatsapp_media_stored_bytes";
