//! Templates as 360dialog lists them: under `waba_templates`, with the status in lower case and words of its own
//! (360dialog.md section 5).

use serde_json::{Value, json};

/// Most templates in one answer; the paging by `limit` and `offset` is our reading.
const MAX_PAGE: usize = 1000;

/// Meta's status word as 360dialog writes it.
fn status(word: &str) -> String {
    match word {
        "PENDING" => "submitted".into(),
        other => other.to_ascii_lowercase(),
    }
}

/// One template from what Meta's API would list.
pub(crate) fn template(meta: &Value, namespace: &str) -> Value {
    let word = meta.get("status").and_then(Value::as_str).unwrap_or("");
    let reason = if word == "REJECTED" {
        "INVALID_FORMAT"
    } else {
        "NONE"
    };
    json!({
        "id": meta["id"],
        "name": meta["name"],
        "category": meta["category"],
        "language": meta["language"],
        "status": status(word),
        "rejected_reason": meta.get("rejected_reason").cloned().unwrap_or_else(|| json!(reason)),
        "namespace": namespace,
        "components": meta["components"],
    })
}

/// The answer to a creation.
pub(crate) fn created(meta: &Value, namespace: &str) -> Value {
    let mut value = template(meta, namespace);
    if let Some(object) = value.as_object_mut() {
        object.remove("rejected_reason");
    }
    value
}

/// One page of a list.
pub(crate) fn page(
    all: &[Value],
    namespace: &str,
    limit: Option<usize>,
    offset: Option<usize>,
) -> Value {
    let limit = limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let offset = offset.unwrap_or(0);
    let page: Vec<Value> = all
        .iter()
        .skip(offset)
        .take(limit)
        .map(|meta| template(meta, namespace))
        .collect();
    json!({
        "count": page.len(),
        "filters": {},
        "limit": limit,
        "offset": offset,
        "sort": ["id"],
        "total": all.len(),
        "waba_templates": page,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{created, page};

    fn stored(status: &str) -> Value {
        json!({ "id": "546151681022936", "name": "order_confirmation", "category": "UTILITY", "language": "en_US",
                "status": status,
                "components": [{ "type": "BODY", "text": "Thank you for your order, {{1}}! Your number is {{2}}." }] })
    }

    #[test]
    fn lists_as_the_fixture_does() {
        let exchange: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/exchanges/template-list.json"
        ))
        .unwrap();
        let theirs = &exchange["response"]["body"];
        let namespace = "ba30dd89_2ebd_41e4_b805_f2c05ae04cc9";
        let all = [stored("APPROVED"), stored("REJECTED"), stored("PENDING")];
        let ours = page(&all, namespace, Some(2), None);
        assert_eq!(ours["waba_templates"][0], theirs["waba_templates"][0]);
        assert_eq!(ours["waba_templates"][1]["status"], "rejected");
        assert_eq!(
            ours["waba_templates"][1]["rejected_reason"],
            "INVALID_FORMAT"
        );
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&ours), keys(theirs));
        assert_eq!((&ours["count"], &ours["total"]), (&json!(2), &json!(3)));
        let rest = page(&all, namespace, Some(2), Some(2));
        assert_eq!(rest["waba_templates"][0]["status"], "submitted");
        assert_eq!(rest["count"], 1);
    }

    #[test]
    fn creation_answers_as_the_fixture_does() {
        let exchange: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/exchanges/template-create.json"
        ))
        .unwrap();
        let ours = created(&stored("PENDING"), "ba30dd89_2ebd_41e4_b805_f2c05ae04cc9");
        assert_eq!(ours, exchange["response"]["body"]);
    }
}
