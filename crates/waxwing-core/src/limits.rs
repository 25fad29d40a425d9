//! The limits of WhatsApp (protocols/meta.md 11.1, fixtures `limits.json`) and of Waxwing itself.
//!
//! Characters are counted as Unicode code points; Meta's documents do not define the unit.

/// Characters of a text message.
pub const TEXT_BODY: usize = 4_096;
/// Characters of a caption.
pub const CAPTION: usize = 1_024;
/// Characters of the body of an interactive message. For lists Meta's documents say 4096 and its OpenAPI file 1024;
/// the smaller one is safe.
pub const INTERACTIVE_BODY: usize = 1_024;
/// Characters of a header text.
pub const HEADER_TEXT: usize = 60;
/// Characters of a footer.
pub const FOOTER: usize = 60;
/// Reply buttons of one message.
pub const BUTTONS: usize = 3;
/// Characters of a button's title.
pub const BUTTON_TITLE: usize = 20;
/// Characters of a button's id.
pub const BUTTON_ID: usize = 256;
/// Characters of the button that opens a list.
pub const LIST_BUTTON: usize = 20;
/// Sections of a list.
pub const LIST_SECTIONS: usize = 10;
/// Rows of a list in all.
pub const LIST_ROWS: usize = 10;
/// Characters of a section's title.
pub const SECTION_TITLE: usize = 24;
/// Characters of a row's id.
pub const ROW_ID: usize = 200;
/// Characters of a row's title.
pub const ROW_TITLE: usize = 24;
/// Characters of a row's description.
pub const ROW_DESCRIPTION: usize = 72;
/// Characters of the callback data that comes back in statuses.
pub const CALLBACK_DATA: usize = 512;

/// Bytes of a webhook body. Meta sends up to 3 MB (protocols/meta.md 2.3).
pub const WEBHOOK_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of an API request body.
pub const API_BODY_BYTES: usize = 1024 * 1024;
/// Bytes of a regular expression in a flow rule.
pub const REGEX_BYTES: usize = 512;
/// Bytes that a compiled regular expression may take.
pub const REGEX_COMPILED_BYTES: usize = 256 * 1024;
/// Bytes of a text that rules look at.
pub const MATCHED_TEXT_BYTES: usize = 4_096;
/// Rules of a tenant.
pub const FLOW_RULES: usize = 500;
/// Values of one rule.
pub const RULE_VALUES: usize = 50;
/// Characters of a rule's value.
pub const RULE_VALUE: usize = 200;
/// Templates of a tenant.
pub const TEMPLATES: usize = 1_000;
/// Message templates of a tenant. Meta allows 6,000 for each verified account (protocols/meta.md 15).
pub const MESSAGE_TEMPLATES: usize = 10_000;
/// Bytes of the definition of a message template, as JSON.
pub const MESSAGE_TEMPLATE_BYTES: usize = 64 * 1024;
/// Characters of the body of a message template.
pub const MESSAGE_TEMPLATE_BODY: usize = 1_024;
/// Buttons of a message template.
pub const MESSAGE_TEMPLATE_BUTTONS: usize = 10;
/// Characters of the label of a message template's button.
pub const MESSAGE_TEMPLATE_LABEL: usize = 25;
/// Characters of the URL of a message template's button.
pub const MESSAGE_TEMPLATE_URL: usize = 2_000;
/// Characters of a code that a button copies, and of a code that an authentication template carries.
pub const MESSAGE_TEMPLATE_CODE: usize = 15;
/// Cards of a message template's carousel.
pub const MESSAGE_TEMPLATE_CARDS: usize = 10;
/// Characters of the body of a carousel's card.
pub const MESSAGE_TEMPLATE_CARD_BODY: usize = 160;
/// Characters of template keys, rule ids and states.
pub const KEY: usize = 64;
/// Characters of names.
pub const NAME: usize = 200;
/// Characters that one variable may put into a message.
pub const VARIABLE_VALUE: usize = 1_024;
/// Variables in one request.
pub const VARIABLES: usize = 100;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY: usize = 255;
/// Items of one list page.
pub const PAGE: u32 = 200;
