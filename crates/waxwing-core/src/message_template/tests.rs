use serde_json::{Value, json};

use super::lint::{Severity, lint, predicted_category};
use super::*;
use crate::message_template::parameters;

fn template(category: TemplateCategory, components: Value) -> MessageTemplate {
    let components = components.as_array().expect("a list").clone();
    MessageTemplate::new("order_confirmation", "en_US", category, None, &components)
}

fn utility(body: &str, examples: &[&str]) -> MessageTemplate {
    let mut part = json!({"type": "BODY", "text": body});
    if !examples.is_empty() {
        part["example"] = json!({"body_text": [examples]});
    }
    template(TemplateCategory::Utility, json!([part]))
}

fn rules(template: &MessageTemplate) -> Vec<(Severity, &'static str, String)> {
    lint(template)
        .into_iter()
        .map(|one| {
            assert!(!one.message.is_empty() && !one.fix.is_empty());
            (one.severity, one.rule, one.field)
        })
        .collect()
}

#[track_caller]
fn finds(template: &MessageTemplate, severity: Severity, rule: &str, field: &str) {
    let found = rules(template);
    assert!(
        found
            .iter()
            .any(|one| one.0 == severity && one.1 == rule && one.2 == field),
        "{rule} at {field}: {found:?}"
    );
}

fn full() -> Value {
    json!([
        {"type": "header", "format": "text", "text": "Order {{1}}", "example": {"header_text": ["860198"]}},
        {"type": "body", "text": "Thank you for your order, {{1}}! Your number is {{2}}. We will write again when it leaves.",
         "example": {"body_text": [["Pablo", "860198"]]}},
        {"type": "footer", "text": "Lucky Shrub"},
        {"type": "buttons", "buttons": [
            {"type": "url", "text": "Track", "url": "https://example.com/orders/{{1}}", "example": ["https://example.com/orders/1"]},
            {"type": "phone_number", "text": "Call", "phone_number": "+15550051310"},
            {"type": "quick_reply", "text": "Thanks"}]}
    ])
}

#[test]
fn metas_form_goes_in_and_out() {
    let read = template(TemplateCategory::Utility, full());
    assert_eq!(lint(&read), []);
    let out = read.components_json();
    let again = MessageTemplate::new("order_confirmation", "en-US", read.category, None, &out);
    assert_eq!(again, read);
    assert_eq!(out[0]["type"], "HEADER");
    assert_eq!(
        out[1]["example"],
        json!({"body_text": [["Pablo", "860198"]]})
    );
    assert_eq!(out[3]["buttons"][0]["type"], "URL");
    assert_eq!(
        out[3]["buttons"][0]["url"],
        "https://example.com/orders/{{1}}"
    );
}

#[test]
fn what_nobody_knows_is_kept() {
    let strange = json!([
        {"type": "BODY", "text": "Hello there, dear customer"},
        {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Expiring!", "has_expiration": true}},
        {"type": "CAROUSEL", "cards": [{"components": [{"type": "BODY", "text": "a"}, {"type": "CAROUSEL", "cards": []}]}]},
        {"type": "HOLOGRAM", "depth": 3}, "junk", 7, null
    ]);
    let read = template(TemplateCategory::Marketing, strange.clone());
    let out = read.components_json();
    for (at, part) in strange.as_array().unwrap().iter().enumerate().take(4) {
        assert_eq!(out[at], *part);
    }
    assert_eq!(read.components.len(), 7);
    finds(&read, Severity::Error, "component", "components[3].type");
}

#[test]
fn named_variables_are_recognised() {
    let read = template(
        TemplateCategory::Utility,
        json!([{"type": "body", "text": "Your table for {{guests}} on {{day}} is booked. See you then!",
            "example": {"body_text_named_params": [
                {"param_name": "guests", "example": "4"}, {"param_name": "day", "example": "Saturday"}]}}]),
    );
    assert_eq!(read.format, ParameterFormat::Named);
    assert_eq!(lint(&read), []);
    let wrong = MessageTemplate {
        format: ParameterFormat::Positional,
        ..read
    };
    finds(
        &wrong,
        Severity::Error,
        "variables_format",
        "parameterFormat",
    );
}

#[test]
fn bodies_that_would_be_refused() {
    let body = "components[0].text";
    let long = format!("{} x", "word ".repeat(250));
    let cases: Vec<(MessageTemplate, &str)> = vec![
        (utility("Your code is {{1}}", &["123"]), "variable_at_edge"),
        (
            utility("{{1}} is what you ordered, right?", &["A"]),
            "variable_at_edge",
        ),
        (
            utility(
                "Dear {{1}}{{2}}, thank you for the order you made.",
                &["A", "B"],
            ),
            "variables_adjacent",
        ),
        (
            utility(
                "Dear {{1}} {{2}}, thank you for the order you made.",
                &["A", "B"],
            ),
            "variables_adjacent",
        ),
        (
            utility("Hi {{1}} and {{2}} and {{3}}.", &["A", "B", "C"]),
            "variables_too_many",
        ),
        (
            utility("Dear {{1}}, your order {{3}} leaves us today.", &["A", "B"]),
            "variable_numbers",
        ),
        (
            utility("Dear {{1}}, your order leaves us today.", &[]),
            "example_missing",
        ),
        (
            utility("Dear {{1}}, your order leaves us today.", &[" "]),
            "example_missing",
        ),
        (
            utility("Dear {{1}}, your order leaves us today.", &["A", "B"]),
            "example_extra",
        ),
        (
            utility("Dear {{ 1 }}, your order leaves us today.", &["A"]),
            "braces",
        ),
        (
            utility("Dear {{1}, your order leaves us today.", &[]),
            "braces",
        ),
        (utility("One line\n\n\nand another one", &[]), "line_breaks"),
        (utility("One\tline", &[]), "tab"),
        (utility("Much     room", &[]), "blanks"),
        (utility(&long, &[]), "too_long"),
    ];
    for (template, rule) in cases {
        finds(&template, Severity::Error, rule, body);
    }
    finds(
        &utility("", &[]),
        Severity::Error,
        "body_missing",
        "components",
    );
    let none = template(TemplateCategory::Utility, json!([]));
    finds(&none, Severity::Error, "body_missing", "components");
    let mixed = utility("Dear {{name}}, your order {{1}} leaves us today.", &["A"]);
    finds(&mixed, Severity::Error, "variables_mixed", "components");
    let capital = utility("Dear {{First}}, your order leaves us today.", &[]);
    finds(&capital, Severity::Error, "variable_name", body);
}

#[test]
fn names_languages_and_lifetimes() {
    let good = utility("Your order leaves us today.", &[]);
    assert_eq!(lint(&good), []);
    for name in ["", "Order", "order-1", "order 1", "größe", &"x".repeat(513)] {
        let wrong = MessageTemplate {
            name: name.to_owned(),
            ..good.clone()
        };
        finds(&wrong, Severity::Error, "name", "name");
    }
    for language in ["", "english", "EN", "en_", "e", "en_US_x_y_z_0123456789"] {
        let wrong = MessageTemplate {
            language: language.to_owned(),
            ..good.clone()
        };
        finds(&wrong, Severity::Error, "language", "language");
    }
    for language in ["en", "en_US", "fil", "zh_Hant_HK", "es_419"] {
        let right = MessageTemplate {
            language: language.to_owned(),
            ..good.clone()
        };
        assert_eq!(lint(&right), [], "{language}");
    }
    for (seconds, right) in [
        (30, true),
        (29, false),
        (43_200, true),
        (43_201, false),
        (-1, true),
    ] {
        let with = MessageTemplate {
            ttl_seconds: Some(seconds),
            ..good.clone()
        };
        assert_eq!(lint(&with).is_empty(), right, "{seconds}");
    }
}

fn with(part: Value) -> MessageTemplate {
    template(
        TemplateCategory::Utility,
        json!([{"type": "BODY", "text": "Your order leaves us today."}, part]),
    )
}

fn buttons(list: Value) -> MessageTemplate {
    with(json!({"type": "BUTTONS", "buttons": list}))
}

#[test]
fn headers_and_footers_that_would_be_refused() {
    let header = |text: &str| with(json!({"type": "HEADER", "format": "TEXT", "text": text}));
    let text = "components[1].text";
    finds(&header(""), Severity::Error, "header_empty", text);
    finds(&header(&"x".repeat(61)), Severity::Error, "too_long", text);
    finds(&header("Two\nlines"), Severity::Error, "line_break", text);
    finds(&header("*Bold*"), Severity::Error, "decoration", text);
    finds(&header("Sun ☀"), Severity::Error, "decoration", text);
    finds(
        &header("{{1}} and {{2}}"),
        Severity::Error,
        "header_variables",
        text,
    );
    finds(
        &header("Order {{1}}"),
        Severity::Error,
        "example_missing",
        text,
    );
    let image = with(json!({"type": "HEADER", "format": "IMAGE"}));
    finds(
        &image,
        Severity::Error,
        "example_missing",
        "components[1].example",
    );
    let strange = with(json!({"type": "HEADER", "format": "SMELL"}));
    finds(
        &strange,
        Severity::Error,
        "header_format",
        "components[1].format",
    );
    let place = with(json!({"type": "HEADER", "format": "LOCATION"}));
    assert_eq!(lint(&place), []);
    let footer = |text: &str| with(json!({"type": "FOOTER", "text": text}));
    finds(&footer(""), Severity::Error, "footer_empty", text);
    finds(
        &footer("Hello {{1}} you"),
        Severity::Error,
        "footer_variable",
        text,
    );
    finds(&footer(&"x".repeat(61)), Severity::Error, "too_long", text);
    let twice = with(json!({"type": "BODY", "text": "Once more."}));
    finds(&twice, Severity::Error, "component_twice", "components[1]");
}

#[test]
fn buttons_that_would_be_refused() {
    let list = "components[1].buttons";
    let first = |rest: &str| format!("{list}[0]{rest}");
    let quick = |text: &str| json!({"type": "QUICK_REPLY", "text": text});
    let url = |url: &str| json!([{"type": "URL", "text": "Open", "url": url, "example": ["https://a.example/x"]}]);
    let eleven: Vec<Value> = (0..11).map(|n| quick(&n.to_string())).collect();
    let cases: Vec<(Value, &str, String)> = vec![
        (json!([]), "buttons", list.to_owned()),
        (json!(eleven), "buttons", list.to_owned()),
        (
            json!([{"type": "PHONE_NUMBER", "text": "A", "phone_number": "+1"}, {"type": "PHONE_NUMBER", "text": "B", "phone_number": "+2"}]),
            "buttons",
            list.to_owned(),
        ),
        (
            json!([quick("A"), {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550051310"}, quick("B")]),
            "buttons_order",
            list.to_owned(),
        ),
        (
            json!([quick("A"), quick("A")]),
            "button_twice",
            format!("{list}[1].text"),
        ),
        (json!([quick("")]), "button_label", first(".text")),
        (json!([quick("Hi {{1}}")]), "button_label", first(".text")),
        (json!([quick("Yes 👍")]), "button_label", first(".text")),
        (json!([quick(&"x".repeat(26))]), "too_long", first(".text")),
        (url("example.com"), "url", first(".url")),
        (url("https://{{1}}"), "url", first(".url")),
        (
            url("https://a.example/{{1}}/x"),
            "url_variable",
            first(".url"),
        ),
        (
            url(&format!("https://a.example/{}", "x".repeat(2_000))),
            "too_long",
            first(".url"),
        ),
        (
            json!([{"type": "URL", "text": "Open", "url": "https://a.example/{{1}}"}]),
            "example_missing",
            first(".example"),
        ),
        (
            json!([{"type": "PHONE_NUMBER", "text": "Call", "phone_number": "call me"}]),
            "phone_number",
            first(".phone_number"),
        ),
        (
            json!([{"type": "COPY_CODE", "example": "0123456789012345"}]),
            "example_missing",
            first(".example"),
        ),
        (
            json!([{"type": "FLOW", "text": "Start"}]),
            "flow",
            first(""),
        ),
        (
            json!([{"type": "OTP", "text": "Copy", "otp_type": "COPY_CODE"}]),
            "authentication_only",
            first(".type"),
        ),
        (
            json!([{"type": "TELEPORT", "text": "Go"}]),
            "button_kind",
            first(".type"),
        ),
    ];
    for (given, rule, field) in cases {
        finds(&buttons(given), Severity::Error, rule, &field);
    }
    finds(
        &buttons(url("https://bit.ly/x")),
        Severity::Warning,
        "url_shortener",
        &first(".url"),
    );
    finds(
        &buttons(url("https://wa.me/1650")),
        Severity::Warning,
        "url_whatsapp",
        &first(".url"),
    );
    assert_eq!(
        lint(&buttons(json!([{"type": "REQUEST_CONTACT_INFO"}]))),
        []
    );
}

#[test]
fn authentication_templates_have_rules_of_their_own() {
    let auth = |components: Value| template(TemplateCategory::Authentication, components);
    let good = json!([
        {"type": "body", "add_security_recommendation": true},
        {"type": "footer", "code_expiration_minutes": 5},
        {"type": "buttons", "buttons": [{"type": "otp", "otp_type": "copy_code", "text": "Copy Code"}]}
    ]);
    assert_eq!(lint(&auth(good.clone())), []);
    let change = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        auth(changed)
    };
    let text = change(
        "/0",
        json!({"type": "body", "text": "Your code is {{1}}, keep it."}),
    );
    finds(
        &text,
        Severity::Error,
        "authentication_text",
        "components[0].text",
    );
    let header = change("/1", json!({"type": "header", "text": "Code"}));
    finds(
        &header,
        Severity::Error,
        "authentication_only_text",
        "components[1]",
    );
    let late = change("/1/code_expiration_minutes", json!(91));
    finds(
        &late,
        Severity::Error,
        "code_expiration",
        "components[1].code_expiration_minutes",
    );
    let none = change("/2/buttons", json!([]));
    finds(
        &none,
        Severity::Error,
        "authentication_button",
        "components",
    );
    let quick = change("/2/buttons/0", json!({"type": "quick_reply", "text": "OK"}));
    finds(
        &quick,
        Severity::Error,
        "authentication_button",
        "components[2].buttons[0].type",
    );
    let tap = change("/2/buttons/0/otp_type", json!("one_tap"));
    finds(
        &tap,
        Severity::Error,
        "otp_apps",
        "components[2].buttons[0].supported_apps",
    );
}

#[test]
fn cards_are_alike() {
    let card = |kind: &str| {
        json!({"components": [
        {"type": "header", "format": kind, "example": {"header_handle": ["4::x"]}},
        {"type": "body", "text": "Three days in the Alps"},
        {"type": "buttons", "buttons": [{"type": "quick_reply", "text": "Book"}]}]})
    };
    let carousel = |cards: Value| {
        template(
            TemplateCategory::Marketing,
            json!([{"type": "body", "text": "Our tours. Write STOP to get no more."}, {"type": "carousel", "cards": cards}]),
        )
    };
    assert_eq!(lint(&carousel(json!([card("image"), card("image")]))), []);
    let one = carousel(json!([card("image")]));
    finds(&one, Severity::Error, "carousel", "components[1].cards");
    let unlike = carousel(json!([card("image"), card("video")]));
    finds(
        &unlike,
        Severity::Error,
        "carousel",
        "components[1].cards[1]",
    );
}

#[test]
fn categories_are_predicted() {
    use TemplateCategory::{Authentication, Marketing, Utility};
    let cases = [
        ("Your order leaves us today.", Utility, None),
        (
            "Happy holidays! Enjoy 10 percent off.",
            Marketing,
            Some("category_marketing"),
        ),
        (
            "Your order is here. Get 20% with it.",
            Marketing,
            Some("category_marketing"),
        ),
        (
            "Nur heute: 10 Euro Rabatt auf alles.",
            Marketing,
            Some("category_marketing"),
        ),
        ("Your salesperson will call you.", Utility, None),
        (
            "Your verification code is 123456.",
            Authentication,
            Some("category_authentication"),
        ),
        (
            "Your order is coming: https://bit.ly/abc",
            Utility,
            Some("url_shortener"),
        ),
        (
            "YOUR ORDER IS HERE AND WAITS FOR YOU",
            Utility,
            Some("shouting"),
        ),
    ];
    for (body, predicted, rule) in cases {
        let template = utility(body, &[]);
        assert_eq!(predicted_category(&template), predicted, "{body}");
        let found: Vec<_> = rules(&template).into_iter().map(|one| one.1).collect();
        assert_eq!(found, rule.into_iter().collect::<Vec<_>>(), "{body}");
    }
    // A sample can sell, too.
    let sample = utility(
        "Dear customer, {{1}} waits for you here.",
        &["a big discount"],
    );
    assert_eq!(predicted_category(&sample), Marketing);
    let offer = |footer: &str| {
        template(
            Marketing,
            json!([{"type": "BODY", "text": "20 % off everything today."}, {"type": "FOOTER", "text": footer}]),
        )
    };
    finds(
        &offer("Lucky Shrub"),
        Severity::Warning,
        "opt_out",
        "components",
    );
    assert_eq!(lint(&offer("Write STOP to get no more")), []);
}

#[test]
fn errors_come_before_warnings() {
    let both = utility("Get 20% off, {{1}}", &[]);
    let found = lint(&both);
    let first_warning = found
        .iter()
        .position(|one| one.severity == Severity::Warning);
    let last_error = found
        .iter()
        .rposition(|one| one.severity == Severity::Error);
    assert!(last_error < first_warning, "{found:?}");
}

mod sending;
