//! The management of message templates against recorded exchanges of all providers.

use http::Method;
use serde_json::{Value, json};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::message_template::{
    MessageTemplate, ParameterFormat, TemplateCategory, TemplateStatus,
};
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpOutcome, HttpRequest};
use waxwing_providers::messaging::{
    Account, Endpoints, TemplateFailure, TemplatePage, template_api,
};

use crate::support::{files, json as fixture};

const HX: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn account(kind: ChannelKind) -> Account {
    let twilio = format!("AC{}", "a".repeat(32));
    let set = |name: &str, value: &str| Credentials::new().with(name, Secret::new(value));
    let (sender, account, credentials) = match kind {
        ChannelKind::Meta => (
            "106540352242922".to_owned(),
            Some("102290129340398"),
            set(credential::ACCESS_TOKEN, "EAAJB-test-token"),
        ),
        ChannelKind::Twilio => (
            format!("{twilio}/+15005550006"),
            Some(twilio.as_str()),
            set(credential::AUTH_TOKEN, "secret"),
        ),
        ChannelKind::Dialog360 => (
            "106540352242922".to_owned(),
            None,
            set(credential::API_KEY, "test-d360-key"),
        ),
        ChannelKind::Msg91 => (
            "15005550006".to_owned(),
            None,
            set(credential::AUTH_KEY, "test-authkey"),
        ),
    };
    Account {
        sender_id: sender,
        account_id: account.map(str::to_owned),
        credentials,
    }
}

/// The answer of an exchange, whose body stands under `body` or `json`.
fn answer(exchange: &Value) -> HttpOutcome {
    let response = &exchange["response"];
    let body = if response["body"].is_null() {
        &response["json"]
    } else {
        &response["body"]
    };
    HttpOutcome::Response {
        status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
        headers: http::HeaderMap::new(),
        body: if body.is_null() {
            bytes::Bytes::new()
        } else {
            body.to_string().into()
        },
    }
}

fn body(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// A template as a request of Meta's form writes it.
fn template(body: &Value) -> MessageTemplate {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let name = if body["template_name"].is_string() {
        text("template_name")
    } else {
        text("name")
    };
    let mut template = MessageTemplate::new(
        name,
        text("language"),
        TemplateCategory::parse(text("category")).unwrap(),
        body["parameter_format"]
            .as_str()
            .and_then(ParameterFormat::parse),
        body["components"].as_array().unwrap(),
    );
    template.ttl_seconds = body["message_send_ttl_seconds"].as_i64();
    template
}

/// Upper case where Meta does not care.
fn folded(mut value: Value) -> Value {
    fn fold(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    if let (
                        "type" | "format" | "category" | "parameter_format" | "otp_type",
                        Value::String(word),
                    ) = (key.as_str(), &mut *value)
                    {
                        *word = word.to_ascii_uppercase();
                    }
                    fold(value);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(fold),
            _ => {}
        }
    }
    fold(&mut value);
    value
}

fn path(request: &HttpRequest) -> &str {
    let rest = request.url.split_once("://").unwrap().1;
    &rest[rest.find('/').unwrap()..]
}

#[test]
fn meta_takes_what_was_recorded() {
    let api = template_api(ChannelKind::Meta);
    let account = account(ChannelKind::Meta);
    for (name, bytes) in files("templates/meta") {
        let exchange: Value = serde_json::from_slice(&bytes).unwrap();
        if !name.starts_with("template-create-") {
            continue;
        }
        let wanted = &exchange["request"];
        let built = api
            .build_create(&account, &Endpoints::default(), &template(&wanted["body"]))
            .unwrap();
        assert_eq!(built.method, Method::POST);
        assert_eq!(path(&built), wanted["path"], "{name}");
        assert_eq!(built.headers["authorization"], "Bearer EAAJB-test-token");
        assert_eq!(
            folded(body(&built)),
            folded(wanted["body"].clone()),
            "{name}"
        );
        let said = api.interpret_create(&answer(&exchange));
        let expected = &exchange["response"]["body"];
        match said {
            Ok(created) => {
                assert_eq!(
                    created.provider_id.as_deref(),
                    expected["id"].as_str(),
                    "{name}"
                );
                assert_eq!(created.status, TemplateStatus::Pending);
                assert_eq!(
                    created.category.map(TemplateCategory::as_str),
                    expected["category"].as_str()
                );
            }
            Err(error) => {
                let wire = &expected["error"];
                assert_eq!(
                    error.subcode,
                    Some(wire["error_subcode"].as_i64().unwrap().to_string()),
                    "{name}"
                );
                assert_eq!(error.title.as_deref(), wire["error_user_title"].as_str());
                assert!(error.words().contains(&error.title.clone().unwrap()));
                let exists = name.contains("name-exists");
                let failure = if exists {
                    TemplateFailure::Exists
                } else {
                    TemplateFailure::Refused
                };
                assert_eq!(error.failure, failure);
            }
        }
    }
}

#[test]
fn meta_lists_edits_and_deletes() {
    let api = template_api(ChannelKind::Meta);
    let (account, endpoints) = (account(ChannelKind::Meta), Endpoints::default());
    // The recorded list was asked for fewer fields than ours.
    let mut first = fixture("templates/meta/template-list-page-1.json");
    for one in first["response"]["body"]["data"].as_array_mut().unwrap() {
        one["language"] = "en_US".into();
    }
    let page = api.interpret_list(&answer(&first)).unwrap();
    let found: Vec<_> = page
        .templates
        .iter()
        .map(|one| {
            (
                one.template.name.as_str(),
                one.status,
                one.template.category,
            )
        })
        .collect();
    assert_eq!(found.len(), 5);
    assert_eq!(
        found[3],
        (
            "address_update",
            TemplateStatus::Pending,
            TemplateCategory::Utility
        )
    );
    assert_eq!(page.next.as_deref(), Some("QVFIU..."));
    let next = api.build_list(&account, &endpoints, Some("a&b=c")).unwrap();
    assert!(next.url.contains("after=a%26b%3Dc"), "{}", next.url);
    let last = fixture("templates/meta/template-list-last-page.json");
    assert_eq!(api.interpret_list(&answer(&last)).unwrap().next, None);

    let edit = fixture("templates/meta/template-edit-components.json");
    let mut full = edit["request"]["body"].clone();
    full["name"] = "seasonal_promotion".into();
    full["language"] = "en_US".into();
    full["category"] = "MARKETING".into();
    let built = api
        .build_edit(
            &account,
            &endpoints,
            "564750795574598",
            &template(&full),
            false,
        )
        .unwrap()
        .unwrap();
    assert_eq!(path(&built), edit["request"]["path"]);
    assert_eq!(body(&built), edit["request"]["body"]);
    assert_eq!(api.interpret_done(&answer(&edit)), Ok(()));

    for (file, id) in [
        ("template-delete-by-name.json", None),
        (
            "template-delete-one-language.json",
            Some("1407680676729941"),
        ),
    ] {
        let exchange = fixture(&format!("templates/meta/{file}"));
        let built = api
            .build_delete(&account, &endpoints, id, "order_confirmation")
            .unwrap()
            .unwrap();
        assert_eq!(built.method, Method::DELETE);
        assert_eq!(path(&built), exchange["request"]["path"]);
        assert_eq!(api.interpret_done(&answer(&exchange)), Ok(()));
    }
    let without = Account {
        account_id: None,
        ..account
    };
    assert!(api.build_list(&without, &endpoints, None).is_err());
}

#[test]
fn dialog360_speaks_in_lower_case() {
    let api = template_api(ChannelKind::Dialog360);
    let (account, endpoints) = (account(ChannelKind::Dialog360), Endpoints::default());
    let create = fixture("templates/dialog360/template-create.json");
    let built = api
        .build_create(&account, &endpoints, &template(&create["request"]["body"]))
        .unwrap();
    assert_eq!(built.url, create["request"]["url"]);
    assert_eq!(built.headers["d360-api-key"], "test-d360-key");
    assert_eq!(body(&built), create["request"]["body"]);
    let created = api.interpret_create(&answer(&create)).unwrap();
    assert_eq!(
        (created.provider_id.as_deref(), created.status),
        (Some("546151681022936"), TemplateStatus::Pending)
    );
    let page = api
        .interpret_list(&answer(&fixture("templates/dialog360/template-list.json")))
        .unwrap();
    assert_eq!(page.next, None);
    let [approved, rejected] = page.templates.as_slice() else {
        panic!("two templates")
    };
    assert_eq!(
        (approved.status, &approved.reason),
        (TemplateStatus::Approved, &None)
    );
    assert_eq!(rejected.status, TemplateStatus::Rejected);
    assert_eq!(rejected.reason.as_deref(), Some("INVALID_FORMAT"));
    let delete = fixture("templates/dialog360/template-delete.json");
    let built = api
        .build_delete(&account, &endpoints, None, "order_confirmation")
        .unwrap()
        .unwrap();
    assert_eq!(built.url, delete["request"]["url"]);
    assert_eq!(api.interpret_done(&answer(&delete)), Ok(()));
    assert!(api.deletes_all_languages());
    assert!(
        api.build_delete(&account, &endpoints, None, "../x")
            .is_err()
    );
    let more = json!({"response": {"status": 200, "body": {"total": 3, "offset": 0,
        "waba_templates": [{"name": "a", "language": "en"}, {"junk": 1}]}}});
    let page = api.interpret_list(&answer(&more)).unwrap();
    assert_eq!((page.next.as_deref(), page.unreadable), (Some("2"), 1));
    let next = api.build_list(&account, &endpoints, Some("2")).unwrap();
    assert!(next.url.ends_with("limit=50&offset=2"));
}

#[test]
fn msg91_has_neither_ids_nor_deletion() {
    let api = template_api(ChannelKind::Msg91);
    let (account, endpoints) = (account(ChannelKind::Msg91), Endpoints::default());
    let create = fixture("templates/msg91/template-create.json");
    let built = api
        .build_create(&account, &endpoints, &template(&create["request"]["json"]))
        .unwrap();
    assert_eq!(path(&built), create["request"]["path"]);
    assert_eq!(built.headers["authkey"], "test-authkey");
    assert_eq!(body(&built), create["request"]["json"]);
    let created = api.interpret_create(&answer(&create)).unwrap();
    assert_eq!(
        (created.provider_id, created.status),
        (None, TemplateStatus::Pending)
    );
    let built = api.build_list(&account, &endpoints, None).unwrap();
    let list = fixture("templates/msg91/templates-list.json");
    assert_eq!(path(&built), list["request"]["path"]);
    let statuses = |page: &TemplatePage| {
        let one = page.templates.iter();
        one.map(|one| (one.template.language.clone(), one.status))
            .collect::<Vec<_>>()
    };
    let page = api.interpret_list(&answer(&list)).unwrap();
    assert_eq!(
        statuses(&page),
        [
            ("en".to_owned(), TemplateStatus::Approved),
            ("en".to_owned(), TemplateStatus::Rejected)
        ]
    );
    assert_eq!(page.templates[1].reason.as_deref(), Some("INVALID_FORMAT"));
    assert!(
        page.templates[0]
            .template
            .body()
            .unwrap()
            .text
            .contains("{{2}}")
    );
    let bare = fixture("templates/msg91/templates-list-bare-array.json");
    let page = api.interpret_list(&answer(&bare)).unwrap();
    assert_eq!(
        statuses(&page),
        [("en_GB".to_owned(), TemplateStatus::Pending)]
    );
    assert_eq!(
        api.build_delete(&account, &endpoints, None, "x")
            .unwrap()
            .map(|it| it.url),
        None
    );
    let refused = json!({"response": {"status": 200, "json": {"status": "fail", "hasError": true, "errors": "Template already exists"}}});
    let error = api.interpret_create(&answer(&refused)).unwrap_err();
    assert_eq!(error.failure, TemplateFailure::Exists);
}

fn of(components: Value) -> MessageTemplate {
    MessageTemplate::new(
        "booking",
        "en",
        TemplateCategory::Utility,
        None,
        components.as_array().unwrap(),
    )
}

#[test]
fn twilio_makes_resources_of_templates() {
    let api = template_api(ChannelKind::Twilio);
    let (account, endpoints) = (account(ChannelKind::Twilio), Endpoints::default());
    let types = |template: &MessageTemplate| {
        let built = api.build_create(&account, &endpoints, template).unwrap();
        assert_eq!(built.url, "https://content.twilio.com/v1/Content");
        let body = body(&built);
        (body["types"].clone(), body["variables"].clone())
    };
    let text = of(
        json!([{"type": "BODY", "text": "Hello {{1}}, see you", "example": {"body_text": [["Ada"]]}}]),
    );
    assert_eq!(
        types(&text),
        (
            json!({"twilio/text": {"body": "Hello {{1}}, see you"}}),
            json!({"1": "Ada"})
        )
    );
    let action = of(json!([
        {"type": "BODY", "text": "Your ticket {{no}} is here", "example": {"body_text_named_params": [{"param_name": "no", "example": "BK-118"}]}},
        {"type": "BUTTONS", "buttons": [
            {"type": "URL", "text": "Open", "url": "https://waxwing.example.com/l/{{1}}", "example": ["https://waxwing.example.com/l/abc"]},
            {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+15005550006"}]}]));
    let (made, variables) = types(&action);
    let recorded = fixture("templates/twilio/content-create-call-to-action.json");
    let recorded = &recorded["request"]["json"];
    assert_eq!(
        made["twilio/call-to-action"]["actions"],
        recorded["types"]["twilio/call-to-action"]["actions"]
    );
    assert_eq!(variables, recorded["variables"]);
    let quick = of(
        json!([{"type": "BODY", "text": "All right?"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}]}]),
    );
    assert!(types(&quick).0["twilio/quick-reply"].is_object());
    let card = of(json!([
        {"type": "HEADER", "format": "TEXT", "text": "For {{1}}", "example": {"header_text": ["Ada"]}},
        {"type": "BODY", "text": "Order {{1}} leaves today", "example": {"body_text": [["7"]]}},
        {"type": "FOOTER", "text": "Waxwing Tours"}]));
    assert_eq!(
        types(&card),
        (
            json!({"whatsapp/card": {"header_text": "For {{1}}", "body": "Order {{2}} leaves today", "footer": "Waxwing Tours"}}),
            json!({"1": "Ada", "2": "7"})
        )
    );
    let flow = of(
        json!([{"type": "BODY", "text": "Go"}, {"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Go", "flow_id": "1"}]}]),
    );
    assert!(api.build_create(&account, &endpoints, &flow).is_err());
    let code = MessageTemplate::new(
        "code",
        "en",
        TemplateCategory::Authentication,
        None,
        json!([{"type": "BODY", "add_security_recommendation": true}, {"type": "FOOTER", "code_expiration_minutes": 10},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}]}])
        .as_array()
        .unwrap(),
    );
    let recorded = fixture("templates/twilio/content-create-authentication.json");
    assert_eq!(types(&code).0, recorded["request"]["json"]["types"]);
    let created = api.interpret_create(&answer(&recorded)).unwrap();
    assert_eq!(
        (created.provider_id.as_deref(), created.status),
        (Some(HX), TemplateStatus::Draft)
    );
}

#[test]
fn twilio_approves_lists_and_deletes() {
    let api = template_api(ChannelKind::Twilio);
    let (account, endpoints) = (account(ChannelKind::Twilio), Endpoints::default());
    let text = of(json!([{"type": "BODY", "text": "Hello there"}]));
    let built = api
        .build_approval(&account, &endpoints, HX, &text)
        .unwrap()
        .unwrap();
    assert_eq!(
        path(&built),
        format!("/v1/Content/{HX}/ApprovalRequests/whatsapp")
    );
    assert_eq!(
        body(&built),
        json!({"name": "booking", "category": "UTILITY"})
    );
    let said = |status: &str| {
        let wrapped = json!({"response": {"status": 200, "json": {"sid": HX, "whatsapp": {
            "status": status, "category": "MARKETING", "rejection_reason": "too short"}}}});
        api.interpret_status(&answer(&wrapped)).unwrap()
    };
    assert_eq!(said("received").status, TemplateStatus::Pending);
    let rejected = said("rejected");
    assert_eq!(rejected.status, TemplateStatus::Rejected);
    assert_eq!(rejected.reason.as_deref(), Some("too short"));
    assert_eq!(rejected.category, Some(TemplateCategory::Marketing));
    let list = fixture("templates/twilio/content-and-approvals.json");
    let built = api.build_list(&account, &endpoints, None).unwrap();
    assert_eq!(path(&built), list["request"]["path"]);
    let page = api.interpret_list(&answer(&list)).unwrap();
    let [only] = page.templates.as_slice() else {
        panic!("what was never handed in is no template")
    };
    assert_eq!(only.template.name, "booking_confirmed");
    assert_eq!(only.provider_id.as_deref(), Some(HX));
    assert_eq!(only.template.body().unwrap().examples[0].value, "Ada");
    let error = fixture("templates/twilio/content-create-error.json");
    let error = api.interpret_create(&answer(&error)).unwrap_err();
    assert_eq!(error.failure, TemplateFailure::Refused);
    assert_eq!(error.error.code.as_deref(), Some("20422"));
    let delete = fixture("templates/twilio/content-delete.json");
    let built = api
        .build_delete(&account, &endpoints, Some(HX), "x")
        .unwrap()
        .unwrap();
    assert_eq!(path(&built), delete["request"]["path"]);
    assert_eq!(api.interpret_done(&answer(&delete)), Ok(()));
    assert!(api.build_status(&account, &endpoints, "HX../x").is_err());
    assert!(
        api.build_list(&account, &endpoints, Some("a/../b"))
            .is_err()
    );
}

#[test]
fn lost_answers_are_unknown_and_gateways_pages_no_answers() {
    for kind in ChannelKind::ALL {
        let api = template_api(kind);
        let failure = |outcome: HttpOutcome| api.interpret_create(&outcome).unwrap_err().failure;
        assert_eq!(
            failure(HttpOutcome::Lost("reset".into())),
            TemplateFailure::Unknown
        );
        assert_eq!(
            failure(HttpOutcome::NotSent("dns".into())),
            TemplateFailure::Unreachable
        );
        let page = |status| HttpOutcome::Response {
            status,
            headers: http::HeaderMap::new(),
            body: "<html>".into(),
        };
        assert_eq!(failure(page(502)), TemplateFailure::Unknown, "{kind:?}");
        assert_eq!(failure(page(429)), TemplateFailure::Throttled, "{kind:?}");
        assert_eq!(failure(page(403)), TemplateFailure::Refused, "{kind:?}");
        assert_eq!(failure(page(200)), TemplateFailure::Unknown, "{kind:?}");
    }
}
