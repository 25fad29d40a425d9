//! Every parser of what comes from outside, as a function of arbitrary bytes that must not panic, and must keep the rules
//! that are asserted here. The tests replay all that is known; `cargo xtask fuzz` goes looking for more.

mod answers;
mod seeds;
mod texts;
mod webhooks;

pub use self::seeds::seeds;

/// A parser, tried with any bytes. Panics when a rule is broken.
pub type Target = fn(&[u8]);

/// All parsers by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("webhook-meta", webhooks::meta),
    ("webhook-dialog360", webhooks::dialog360),
    ("webhook-twilio", webhooks::twilio),
    ("webhook-msg91", webhooks::msg91),
    ("signature-meta", webhooks::signature_meta),
    ("signature-dialog360", webhooks::signature_dialog360),
    ("signature-twilio", webhooks::signature_twilio),
    ("signature-msg91", webhooks::signature_msg91),
    ("handshake-meta", webhooks::handshake),
    ("answer-meta", answers::meta),
    ("answer-dialog360", answers::dialog360),
    ("answer-twilio", answers::twilio),
    ("answer-msg91", answers::msg91),
    ("phone", texts::phone),
    ("template", texts::template),
    ("flow", texts::flow),
    ("message-template", texts::message_template),
    ("consent-word", texts::consent_word),
    ("media-type", texts::media_type),
    ("file-name", texts::file_name),
    ("url", texts::url),
    ("word", texts::word),
];

/// The parser of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target)
}
