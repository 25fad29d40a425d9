//! The OpenAPI document: complete, current, and consistent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::Api;

fn document() -> Value {
    serde_json::to_value(waxwing_api::routes::document()).unwrap()
}

/// The paths of a router, out of its debug form: axum gives them no other way.
fn router_paths(shown: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let own = shown.split("fallback_router").next().unwrap();
    let (_, numbered) = own.split_once("RouteId(").expect("a router has routes");
    for part in numbered.split("RouteId(") {
        // `12): "/api/tenants", …`
        if let Some((number, rest)) = part.split_once("): \"")
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && let Some((path, _)) = rest.split_once('"')
        {
            paths.insert(path.to_owned());
        }
    }
    paths
}

/// Addresses of the same route that follow no rule.
const ALIASES: [(&str, &str); 6] = [
    ("/api/whatsapp/webhook", "/whatsapp/webhook"),
    ("/api/webhooks/whatsapp-business", "/whatsapp/webhook"),
    ("/api/webhooks/whatsapp/inbound", "/webhook/twilio"),
    ("/api/webhooks/whatsapp/status", "/webhook/twilio"),
    ("/api/webhooks/whatsapp/health", "/api/webhooks/health"),
    ("/api/health", "/health"),
];

/// The documented path of a route, whichever of its addresses this is.
fn canonical(path: &str, documented: &BTreeSet<String>) -> Option<String> {
    let own_tenant = path
        .strip_prefix("/api")
        .map(|rest| format!("/api/tenants/{{tenant}}{rest}"));
    let other = ALIASES
        .iter()
        .find(|(alias, _)| *alias == path)
        .map(|(_, known)| (*known).to_owned());
    [
        Some(path.to_owned()),
        Some(format!("/api{path}")),
        own_tenant,
        other,
    ]
    .into_iter()
    .flatten()
    .find(|candidate| documented.contains(candidate))
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_answers() {
    let api = Api::new().await;
    let document = document();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let routed = router_paths(&format!("{:?}", api.router()));
    assert!(routed.len() > 20, "the router shows its paths: {routed:?}");
    let mut reached = BTreeSet::new();
    for path in routed.iter().filter(|path| !path.contains("__private__")) {
        match canonical(path, &documented) {
            Some(known) => reached.insert(known),
            None => panic!("{path} is routed and not documented"),
        };
    }
    assert_eq!(reached, documented, "documented, but not routed");
    for path in documented
        .iter()
        .filter(|path| path.starts_with("/api/tenants/{tenant}/"))
    {
        for alias in [
            path.trim_start_matches("/api").to_owned(),
            path.replace("/tenants/{tenant}", ""),
        ] {
            assert!(routed.contains(&alias), "{alias} is missing");
        }
    }
    api.end().await;
}

#[tokio::test]
async fn every_operation_says_what_it_needs_and_how_it_fails() {
    let document = document();
    let mut ids = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let here = format!("{method} {path}");
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{here} has no id"));
            assert_eq!(
                ids.insert(id.to_owned(), here.clone()),
                None,
                "{here}: {id} occurs twice"
            );
            assert!(
                operation["summary"].is_string() && operation["tags"].is_array(),
                "{here}"
            );
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{here}"
            );
            // Providers and probes get answers of their own.
            if operation["tags"][0] == "webhooks" || operation["tags"][0] == "health" {
                continue;
            }
            let open = operation["security"].as_array().is_some();
            // A login says 401 of the credential that it is given.
            if !open || operation["tags"][0] != "accounts" {
                assert_eq!(responses.contains_key("401"), !open, "{here}");
            }
            for (status, response) in responses
                .iter()
                .filter(|(status, _)| *status >= &"400".to_owned())
            {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorBody", "{here} {status}");
            }
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for name in path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            {
                let found = parameters
                    .iter()
                    .filter(|p| p["name"] == name && p["in"] == "path")
                    .count();
                assert_eq!(found, 1, "{here}: {name}");
            }
            if !operation["requestBody"].is_null() {
                for status in ["400", "413", "415", "422"] {
                    assert!(responses.contains_key(status), "{here} {status}");
                }
            }
        }
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut references = 0;
    for (at, mark) in text.match_indices("#/components/schemas/") {
        let name = text[at + mark.len()..].split('"').next().unwrap();
        references += 1;
        assert!(
            schemas.contains_key(name),
            "{name} is named and not described"
        );
    }
    assert!(references > 100, "only {references} references");
}

#[tokio::test]
async fn the_document_and_its_page_are_served_to_everybody() {
    let api = Api::new().await;
    for (path, kind) in [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html"),
        ("/docs/docs.js", "text/javascript"),
        ("/docs/docs.css", "text/css"),
    ] {
        let request = http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = api.send(request).await.expect(200);
        assert!(
            answer.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind),
            "{path}"
        );
        if path == "/openapi.json" {
            assert_eq!(answer.body, document());
        } else {
            assert!(
                !answer.text.contains("http://") && !answer.text.contains("https://"),
                "{path} needs nothing else"
            );
        }
    }
    api.end().await;
}

/// `UPDATE_OPENAPI=1` writes the file.
#[test]
fn the_file_in_docs_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut text = serde_json::to_string_pretty(&document()).unwrap();
    text.push('\n');
    if std::env::var("UPDATE_OPENAPI").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/openapi.json is not current; UPDATE_OPENAPI=1 cargo nextest run -p waxwing-api writes it"
    );
}
