//! What a send gives for the variables.

use serde_json::{Value, json};

use super::*;

const PATH: &str = "variables";

fn made(template: &MessageTemplate, variables: Value) -> Vec<Value> {
    parameters::components(template, &variables, PATH).expect("they fit")
}

fn refused(template: &MessageTemplate, variables: Value) -> Vec<String> {
    let found = parameters::components(template, &variables, PATH).expect_err("they do not fit");
    found.into_iter().map(|one| one.field).collect()
}

fn order() -> MessageTemplate {
    template(TemplateCategory::Utility, full())
}

#[test]
fn parts_become_components() {
    let sent = made(
        &order(),
        json!({"header": "860198", "body": ["Ada", 7], "buttons": {"0": "860198", "2": "thanks"}}),
    );
    let expected = json!([
        {"type": "header", "parameters": [{"type": "text", "text": "860198"}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "7"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "860198"}]},
        {"type": "button", "sub_type": "quick_reply", "index": "2", "parameters": [{"type": "payload", "payload": "thanks"}]}
    ]);
    assert_eq!(Value::from(sent), expected);
    assert_eq!(
        refused(&order(), json!(["Ada", "7"])),
        ["variables.1", "variables.buttons.0"]
    );
    assert_eq!(
        refused(
            &order(),
            json!({"header": "1", "body": ["Ada"], "buttons": ["x"]})
        ),
        ["variables"]
    );
    assert_eq!(
        refused(
            &order(),
            json!({"header": "1", "body": ["Ada", "7"], "buttons": ["x", null, null, "y"]})
        ),
        ["variables.buttons.3"]
    );
    assert_eq!(refused(&order(), json!("Ada")), ["variables"]);
}

#[test]
fn lists_and_names_serve_simple_templates() {
    let simple = utility("Dear {{1}}, your order {{2}} leaves us today.", &["A", "B"]);
    let expected = json!([{"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "7"}]}]);
    assert_eq!(Value::from(made(&simple, json!(["Ada", "7"]))), expected);
    assert_eq!(
        Value::from(made(&simple, json!({"1": "Ada", "2": "7"}))),
        expected
    );
    assert_eq!(refused(&simple, json!({"1": "Ada"})), ["variables.2"]);
    assert_eq!(
        refused(&simple, json!({"1": "Ada", "2": "7", "3": "x"})),
        ["variables.3"]
    );
    assert_eq!(
        refused(&simple, json!(["Ada\nLovelace", "7"])),
        ["variables[0].parameters[0].text"]
    );
    assert_eq!(
        refused(&simple, json!(["Ada", "a     b"])),
        ["variables[0].parameters[1].text"]
    );
    assert_eq!(refused(&simple, json!(["Ada", {"x": 1}])), ["variables[1]"]);
    assert_eq!(
        refused(&simple, Value::Null),
        ["variables.1", "variables.2"]
    );
    let plain = utility("Your order leaves us today.", &[]);
    assert_eq!(made(&plain, Value::Null), Vec::<Value>::new());
    assert_eq!(made(&plain, json!([])), Vec::<Value>::new());
    assert_eq!(refused(&plain, json!(["x"])), ["variables"]);
}

#[test]
fn named_variables_keep_their_names() {
    let named = template(
        TemplateCategory::Utility,
        json!([{"type": "header", "text": "For {{guest}}"}, {"type": "body", "text": "Table for {{n}} on {{body}} for you"}]),
    );
    let sent = made(&named, json!({"guest": "Ada", "n": 4, "body": "Monday"}));
    assert_eq!(
        Value::from(sent),
        json!([
            {"type": "header", "parameters": [{"type": "text", "parameter_name": "guest", "text": "Ada"}]},
            {"type": "body", "parameters": [
                {"type": "text", "parameter_name": "n", "text": "4"},
                {"type": "text", "parameter_name": "body", "text": "Monday"}]}
        ])
    );
    assert_eq!(
        refused(&named, json!({"guest": "Ada", "n": 4})),
        ["variables.body"]
    );
    let components = [json!({"type": "body", "parameters": [
        {"type": "text", "parameter_name": "n", "text": "4"}, {"type": "text", "parameter_name": "m", "text": "x"}]})];
    let found = parameters::check(&named, &components, "components");
    let fields: Vec<_> = found.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        ["components", "components[0].parameters[1].parameter_name"]
    );
}

#[test]
fn codes_stand_twice() {
    let auth = template(
        TemplateCategory::Authentication,
        json!([{"type": "body"}, {"type": "buttons", "buttons": [{"type": "otp", "otp_type": "copy_code"}]}]),
    );
    let expected = json!([
        {"type": "body", "parameters": [{"type": "text", "text": "123456"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]}
    ]);
    assert_eq!(Value::from(made(&auth, json!(["123456"]))), expected);
    assert_eq!(Value::from(made(&auth, json!({"1": 123456}))), expected);
    for wrong in ["1234567890123456", "http://x", "12😀"] {
        assert!(!refused(&auth, json!([wrong])).is_empty(), "{wrong}");
    }
    let without = [expected[0].clone()];
    assert_eq!(
        parameters::check(&auth, &without, "c").len(),
        1,
        "the button is missing"
    );
}

#[test]
fn headers_show_what_is_given() {
    let media = |format: &str| with(json!({"type": "HEADER", "format": format}));
    let sent = made(
        &media("IMAGE"),
        json!({"header": "https://a.example/i.png"}),
    );
    let expected = json!([{"type": "header", "parameters": [{"type": "image", "image": {"link": "https://a.example/i.png"}}]}]);
    assert_eq!(Value::from(sent), expected);
    let sent = made(
        &media("DOCUMENT"),
        json!({"header": {"id": "17", "filename": "a.pdf"}}),
    );
    assert_eq!(sent[0]["parameters"][0]["document"]["filename"], "a.pdf");
    let sent = made(
        &media("LOCATION"),
        json!({"header": {"latitude": 51.5, "longitude": -0.1}}),
    );
    assert_eq!(sent[0]["parameters"][0]["location"]["latitude"], 51.5);
    assert_eq!(refused(&media("IMAGE"), Value::Null), ["variables.header"]);
    assert_eq!(
        refused(&media("IMAGE"), json!({"header": "file:///etc/passwd"})),
        ["variables[0].parameters[0].image"]
    );
    assert_eq!(
        refused(&media("LOCATION"), json!({"header": {"latitude": 1}})),
        ["variables[0].parameters[0].location"]
    );
    let wrong =
        [json!({"type": "header", "parameters": [{"type": "video", "video": {"id": "1"}}]})];
    let found = parameters::check(&media("IMAGE"), &wrong, "components");
    assert_eq!(found[0].field, "components[0].parameters[0].type");
}

#[test]
fn buttons_get_what_they_need_and_nothing_else() {
    let coupon = buttons(
        json!([{"type": "COPY_CODE", "example": "A"}, {"type": "URL", "text": "Shop", "url": "https://a.example"}]),
    );
    let sent = made(&coupon, json!({"buttons": ["SAVE25"]}));
    assert_eq!(sent[0]["sub_type"], "copy_code");
    assert_eq!(refused(&coupon, Value::Null), ["variables.buttons.0"]);
    let check = |component: Value| {
        let found = parameters::check(&coupon, &[component], "c");
        found.into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    let code = json!([{"type": "coupon_code", "coupon_code": "A"}]);
    assert_eq!(
        check(json!({"type": "button", "sub_type": "COPY_CODE", "index": 0, "parameters": code})),
        Vec::<String>::new()
    );
    assert_eq!(
        check(json!({"type": "button", "sub_type": "url", "index": 0, "parameters": code})),
        ["c[0].sub_type"]
    );
    assert_eq!(
        check(json!({"type": "button", "sub_type": "url", "index": "9"})),
        ["c[0].index", "c"]
    );
    let suffix = json!({"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "x"}]});
    assert_eq!(check(suffix), ["c[0].parameters", "c"]);
    assert_eq!(check(json!({"type": "glitter"})), ["c", "c[0].type"]);
}

#[test]
fn cards_are_checked_one_by_one() {
    let card = json!({"components": [{"type": "header", "format": "image"}, {"type": "body", "text": "Only {{1}} euros here"}]});
    let carousel = template(
        TemplateCategory::Marketing,
        json!([{"type": "body", "text": "Our tours"}, {"type": "carousel", "cards": [card, card]}]),
    );
    let sent = |count: usize, price: &str| {
        let one = json!({"components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": price}]}]});
        let cards = vec![one; count];
        let found = parameters::check(
            &carousel,
            &[json!({"type": "carousel", "cards": cards})],
            "c",
        );
        found.into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    assert_eq!(sent(2, "9"), Vec::<String>::new());
    assert_eq!(sent(1, "9"), ["c"]);
    assert_eq!(
        sent(2, ""),
        [
            "c[0].cards[0].components[1].parameters[0].text",
            "c[0].cards[1].components[1].parameters[0].text"
        ]
    );
    assert_eq!(refused(&carousel, Value::Null), ["variables"]);
}

#[test]
fn texts_are_counted_through_the_whole_template() {
    let named = template(
        TemplateCategory::Utility,
        json!([{"type": "header", "format": "image"}, {"type": "body", "text": "Dear {{who}}, on {{day}} it is"},
            {"type": "buttons", "buttons": [{"type": "quick_reply", "text": "Yes"}, {"type": "url", "text": "Go", "url": "https://a.example/{{1}}"}]}]),
    );
    let sent = [
        json!({"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "x"}]}),
        json!({"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "y"}]}),
        json!({"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]}),
        json!({"type": "body", "parameters": [
            {"type": "text", "parameter_name": "day", "text": "Monday"}, {"type": "text", "parameter_name": "who", "text": "Ada"}]}),
    ];
    let expected = json!([
        {"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "Monday"}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "x"}]}
    ]);
    assert_eq!(Value::from(parameters::numbered(&named, &sent)), expected);
}
