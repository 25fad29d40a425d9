//! Rules for header, body, footer, buttons and cards.

use super::Findings;
use super::text::{Text, has_emoji};
use crate::limits;
use crate::message_template::slots;
use crate::message_template::{
    Body, Button, ButtonKind, Component, Footer, Header, HeaderFormat, MessageTemplate,
    ParameterFormat, TemplateCategory,
};

pub(super) fn lint(template: &MessageTemplate, found: &mut Findings) {
    let authentication = template.category == TemplateCategory::Authentication;
    for (at, component) in template.components.iter().enumerate() {
        let path = format!("components[{at}]");
        match component {
            _ if authentication => authentication_part(component, &path, found),
            Component::Header(part) => header(part, template.format, &path, found),
            Component::Body(part) => {
                body(
                    part,
                    template.format,
                    &path,
                    limits::MESSAGE_TEMPLATE_BODY,
                    found,
                );
            }
            Component::Footer(part) => footer(part, &path, found),
            Component::Buttons(list) => buttons(list, &path, found),
            Component::Carousel(cards) => carousel(cards, template.format, &path, found),
            Component::Other { .. } => {}
        }
    }
    if authentication && template.buttons().len() != 1 {
        found.error(
            "authentication_button",
            "components",
            "an authentication template has one button, which carries the code",
            "Add {\"type\": \"BUTTONS\", \"buttons\": [{\"type\": \"OTP\", \"otp_type\": \"COPY_CODE\"}]}.",
        );
    }
}

fn header(part: &Header, format: ParameterFormat, path: &str, found: &mut Findings) {
    match &part.format {
        HeaderFormat::Text => {
            let text = Text {
                field: format!("{path}.text"),
                what: "the header",
                text: &part.text,
                max: limits::HEADER_TEXT,
                format,
            };
            if part.text.trim().is_empty() {
                found.error(
                    "header_empty",
                    &text.field,
                    "the header has no text",
                    "Write a text, or take the header away.",
                );
            }
            text.plain(found);
            text.one_line(found);
            text.undecorated(found);
            text.variables(&part.examples, found);
            if slots::names(&part.text).len() > 1 {
                found.error(
                    "header_variables",
                    &text.field,
                    "the header has more than one variable",
                    "Move the others into the body.",
                );
            }
        }
        HeaderFormat::Other(_) => found.error(
            "header_format",
            format!("{path}.format"),
            "is not a kind of header",
            "Use TEXT, IMAGE, VIDEO, DOCUMENT, LOCATION or PRODUCT.",
        ),
        format if format.is_media() && part.handles.iter().all(String::is_empty) => found.error(
            "example_missing",
            format!("{path}.example"),
            "there is no sample file",
            "Give one under `example.header_handle`: the id of an uploaded file, a link, or a handle of the provider.",
        ),
        _ => {}
    }
}

fn body(part: &Body, format: ParameterFormat, path: &str, max: usize, found: &mut Findings) {
    let text = Text {
        field: format!("{path}.text"),
        what: "the body",
        text: &part.text,
        max,
        format,
    };
    text.plain(found);
    text.variables(&part.examples, found);
    text.surroundings(found);
    if part.text.replace('\r', "").contains("\n\n\n") {
        found.error(
            "line_breaks",
            &text.field,
            "has more than two line breaks in a row",
            "Leave one empty line at most.",
        );
    }
    if part.security_recommendation.is_some() {
        found.error(
            "authentication_only",
            format!("{path}.add_security_recommendation"),
            "belongs to authentication templates",
            "Take it away.",
        );
    }
}

fn footer(part: &Footer, path: &str, found: &mut Findings) {
    let text = Text {
        field: format!("{path}.text"),
        what: "the footer",
        text: &part.text,
        max: limits::FOOTER,
        format: ParameterFormat::Positional,
    };
    if part.text.trim().is_empty() {
        found.error(
            "footer_empty",
            &text.field,
            "the footer has no text",
            "Write a text, or take the footer away.",
        );
    }
    text.plain(found);
    text.one_line(found);
    if !slots::slots(&part.text).is_empty() {
        found.error(
            "footer_variable",
            &text.field,
            "the footer has a variable",
            "Move it into the body.",
        );
    }
    if part.code_expiration_minutes.is_some() {
        found.error(
            "authentication_only",
            format!("{path}.code_expiration_minutes"),
            "belongs to authentication templates",
            "Take it away.",
        );
    }
}

fn buttons(list: &[Button], path: &str, found: &mut Findings) {
    let path = format!("{path}.buttons");
    if list.is_empty() || list.len() > limits::MESSAGE_TEMPLATE_BUTTONS {
        found.error(
            "buttons",
            &path,
            "must have 1 to 10 buttons",
            "Take some away, or the whole component.",
        );
    }
    let count = |kind: &ButtonKind| list.iter().filter(|button| button.kind == *kind).count();
    for (kind, most) in [
        (ButtonKind::Url, 2),
        (ButtonKind::PhoneNumber, 1),
        (ButtonKind::CopyCode, 1),
    ] {
        let given = count(&kind);
        if given > most {
            let word = kind.as_str();
            found.error(
                "buttons",
                &path,
                format!("has {given} {word} buttons; WhatsApp allows {most}"),
                "Take the others away.",
            );
        }
    }
    // Either all quick replies first or all last: runs of each kind must not alternate.
    let quick: Vec<bool> = list
        .iter()
        .map(|button| button.kind == ButtonKind::QuickReply)
        .collect();
    if quick.windows(2).filter(|pair| pair[0] != pair[1]).count() > 1 {
        found.error(
            "buttons_order",
            &path,
            "quick replies stand between other buttons",
            "Put all quick replies together, before or after the others.",
        );
    }
    for (at, button) in list.iter().enumerate() {
        let same = |other: &Button| !button.text.is_empty() && other.text == button.text;
        if list[..at].iter().any(same) {
            found.error(
                "button_twice",
                format!("{path}[{at}].text"),
                "another button has this label",
                "Give it another label.",
            );
        }
        self::button(button, &format!("{path}[{at}]"), found);
    }
}

fn button(button: &Button, path: &str, found: &mut Findings) {
    let label = format!("{path}.text");
    // These have a label of WhatsApp's own.
    let fixed = matches!(
        button.kind,
        ButtonKind::CopyCode | ButtonKind::RequestContactInfo | ButtonKind::Other(_)
    );
    let length = button.text.chars().count();
    if !fixed && button.text.trim().is_empty() {
        found.error(
            "button_label",
            &label,
            "has no label",
            "Write one, at most 25 characters.",
        );
    }
    if length > limits::MESSAGE_TEMPLATE_LABEL {
        found.error(
            "too_long",
            &label,
            format!("has {length} characters; WhatsApp allows 25"),
            "Shorten the label.",
        );
    }
    if button.text.contains(['\n', '\r']) || button.text.contains("{{") || has_emoji(&button.text) {
        found.error(
            "button_label",
            &label,
            "a label has no variables, line breaks and emoji",
            "Write plain words.",
        );
    }
    match &button.kind {
        ButtonKind::Url => url(button, path, found),
        ButtonKind::PhoneNumber => {
            let number = button.property("phone_number").unwrap_or_default();
            let digits = number.strip_prefix('+').unwrap_or(number);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || number.len() > 20 {
                found.error(
                    "phone_number",
                    format!("{path}.phone_number"),
                    "is not a phone number",
                    "Write it with country code and without blanks, such as +16505551234.",
                );
            }
        }
        ButtonKind::CopyCode => {
            let code = button.example().unwrap_or_default();
            if code.is_empty() || code.chars().count() > limits::MESSAGE_TEMPLATE_CODE {
                found.error(
                    "example_missing",
                    format!("{path}.example"),
                    "must be a sample code of at most 15 characters",
                    "Write one, such as SAVE25.",
                );
            }
        }
        ButtonKind::Flow => {
            let named = ["flow_id", "flow_name", "flow_json"]
                .iter()
                .any(|name| button.properties.contains_key(*name));
            if !named {
                found.error(
                    "flow",
                    path,
                    "names no flow",
                    "Give flow_id, flow_name or flow_json.",
                );
            }
        }
        ButtonKind::Otp => found.error(
            "authentication_only",
            format!("{path}.type"),
            "OTP buttons belong to authentication templates",
            "Use COPY_CODE, or the category AUTHENTICATION.",
        ),
        ButtonKind::Other(_) => found.error(
            "button_kind",
            format!("{path}.type"),
            "is not a kind of button",
            "Use QUICK_REPLY, URL, PHONE_NUMBER, COPY_CODE, FLOW, CATALOG, MPM, SPM, VOICE_CALL or REQUEST_CONTACT_INFO.",
        ),
        _ => {}
    }
}

/// Services behind which nobody can see where an address leads. WhatsApp refuses them in templates.
const SHORTENERS: [&str; 12] = [
    "bit.ly",
    "tinyurl.com",
    "goo.gl",
    "t.co",
    "ow.ly",
    "is.gd",
    "buff.ly",
    "rebrand.ly",
    "cutt.ly",
    "rb.gy",
    "shorturl.at",
    "tiny.cc",
];

/// The host of an address, in lower case and without `www.`.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host
        .rsplit('@')
        .next()?
        .split(':')
        .next()?
        .to_ascii_lowercase();
    Some(host.strip_prefix("www.").unwrap_or(&host).to_owned())
}

/// The shortener that an address, or a text with one, uses.
pub(super) fn shortener(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '<' | '>'))
        .find_map(|word| {
            let word = word
                .trim_start_matches("https://")
                .trim_start_matches("http://")
                .trim_start_matches("www.");
            SHORTENERS.into_iter().find(|short| {
                word.strip_prefix(short)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        })
}

fn url(button: &Button, path: &str, found: &mut Findings) {
    let field = format!("{path}.url");
    let url = button.url();
    let length = url.chars().count();
    let web = url.starts_with("https://") || url.starts_with("http://");
    let host = host(url).unwrap_or_default();
    if !web || host.is_empty() || host.contains("{{") || url.contains(char::is_whitespace) {
        found.error(
            "url",
            &field,
            "is not an address with a fixed host",
            "Write a whole address, such as https://example.com/orders/{{1}}.",
        );
        return;
    }
    if length > limits::MESSAGE_TEMPLATE_URL {
        found.error(
            "too_long",
            &field,
            format!("has {length} characters; WhatsApp allows 2000"),
            "Shorten the address.",
        );
    }
    let slots = slots::slots(url);
    match slots.as_slice() {
        [] => {}
        [only] if only.end == url.len() => {
            if button.example().is_none_or(str::is_empty) {
                found.error(
                    "example_missing",
                    format!("{path}.example"),
                    "there is no example of the whole address",
                    "Give one, such as [\"https://example.com/orders/860198\"].",
                );
            }
        }
        _ => found.error(
            "url_variable",
            &field,
            "has a variable that is not the last part of the address",
            "An address has one variable, at its end.",
        ),
    }
    if matches!(host.as_str(), "wa.me" | "api.whatsapp.com") {
        found.warning(
            "url_whatsapp",
            &field,
            "leads back to WhatsApp",
            "WhatsApp refuses such links; use a quick reply instead.",
        );
    }
    if let Some(short) = shortener(url) {
        found.warning(
            "url_shortener",
            &field,
            format!("hides behind {short} where it leads"),
            "Use an address of your own domain.",
        );
    }
}

fn carousel(cards: &[Vec<Component>], format: ParameterFormat, path: &str, found: &mut Findings) {
    if !(2..=limits::MESSAGE_TEMPLATE_CARDS).contains(&cards.len()) {
        found.error(
            "carousel",
            format!("{path}.cards"),
            "must have 2 to 10 cards",
            "Add or take away cards.",
        );
    }
    let shape = |card: &[Component]| -> Vec<String> {
        card.iter()
            .map(|part| match part {
                Component::Header(header) => format!("header {}", header.format.as_str()),
                Component::Body(_) => "body".to_owned(),
                Component::Buttons(buttons) => {
                    let kinds: Vec<_> = buttons.iter().map(|it| it.kind.as_str()).collect();
                    kinds.join(" ")
                }
                _ => "other".to_owned(),
            })
            .collect()
    };
    for (at, card) in cards.iter().enumerate() {
        if at > 0 && shape(card) != shape(&cards[0]) {
            found.error(
                "carousel",
                format!("{path}.cards[{at}]"),
                "is made of other parts than the first card",
                "All cards have the same kinds of header and buttons.",
            );
        }
        for (part, component) in card.iter().enumerate() {
            let path = format!("{path}.cards[{at}].components[{part}]");
            match component {
                Component::Header(it) => header(it, format, &path, found),
                Component::Body(it) => {
                    body(it, format, &path, limits::MESSAGE_TEMPLATE_CARD_BODY, found);
                }
                Component::Buttons(list) => buttons(list, &path, found),
                _ => found.error(
                    "carousel",
                    &path,
                    "cannot stand on a card",
                    "A card has a header, a body and buttons.",
                ),
            }
        }
    }
}

/// Authentication templates have WhatsApp's own text; what can be chosen is little.
fn authentication_part(component: &Component, path: &str, found: &mut Findings) {
    match component {
        Component::Body(part) => {
            if !part.text.is_empty() {
                found.error(
                    "authentication_text",
                    format!("{path}.text"),
                    "the text of authentication templates is WhatsApp's own",
                    "Take it away; use add_security_recommendation.",
                );
            }
        }
        Component::Footer(part) => {
            if !part.text.is_empty() {
                found.error(
                    "authentication_text",
                    format!("{path}.text"),
                    "the footer of authentication templates is WhatsApp's own",
                    "Take it away; use code_expiration_minutes.",
                );
            }
            if part
                .code_expiration_minutes
                .is_some_and(|minutes| !(1..=90).contains(&minutes))
            {
                found.error(
                    "code_expiration",
                    format!("{path}.code_expiration_minutes"),
                    "must be 1 to 90 minutes",
                    "Take a value in that range.",
                );
            }
        }
        Component::Buttons(list) => {
            for (at, button) in list.iter().enumerate() {
                let path = format!("{path}.buttons[{at}]");
                authentication_button(button, &path, found);
            }
        }
        Component::Header(_) | Component::Carousel(_) | Component::Other { .. } => found.error(
            "authentication_only_text",
            path,
            "authentication templates have body, footer and one button only",
            "Take it away.",
        ),
    }
}

fn authentication_button(button: &Button, path: &str, found: &mut Findings) {
    if button.kind != ButtonKind::Otp {
        found.error(
            "authentication_button",
            format!("{path}.type"),
            "the button of an authentication template is of type OTP",
            "Use {\"type\": \"OTP\", \"otp_type\": \"COPY_CODE\"}.",
        );
        return;
    }
    let kind = button.property("otp_type").unwrap_or_default();
    if !matches!(kind, "COPY_CODE" | "ONE_TAP" | "ZERO_TAP") {
        found.error(
            "otp_type",
            format!("{path}.otp_type"),
            "must be COPY_CODE, ONE_TAP or ZERO_TAP",
            "COPY_CODE works everywhere.",
        );
    }
    let apps = button.properties.contains_key("supported_apps")
        || (button.properties.contains_key("package_name")
            && button.properties.contains_key("signature_hash"));
    if matches!(kind, "ONE_TAP" | "ZERO_TAP") && !apps {
        found.error(
            "otp_apps",
            format!("{path}.supported_apps"),
            "names no app that takes the code",
            "Give supported_apps with package_name and signature_hash, or use COPY_CODE.",
        );
    }
    let length = button.text.chars().count();
    if length > limits::MESSAGE_TEMPLATE_LABEL {
        found.error(
            "too_long",
            format!("{path}.text"),
            format!("has {length} characters; WhatsApp allows 25"),
            "Shorten the label.",
        );
    }
}
