//! MSG91's answers. A refusal comes with HTTP 200 and `hasError: true`, or without even that (msg91.md section 1).

use serde_json::{Value, json};

use crate::ids::Rng;

const ACCEPTED: &str = "Your request is in process, check delivery reports for status";

/// The id of a send call: 32 hexadecimal digits.
pub(crate) fn request_id(rng: &Rng) -> String {
    format!("{:016x}{:016x}", rng.next(), rng.next())
}

/// A call was taken.
pub(crate) fn accepted(request_id: &str) -> Value {
    json!({ "status": "success", "hasError": false, "data": ACCEPTED, "errors": null, "request_id": request_id })
}

/// A call without request id succeeded.
pub(crate) fn done(data: Value) -> Value {
    json!({ "status": "success", "hasError": false, "data": data, "errors": null })
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `authkey` is missing or unknown.
    Key,
    /// Above the limit of calls a minute.
    TooMany,
    /// The sender is no number of this key.
    Number,
    /// A field is missing or wrong.
    Field(&'static str, &'static str),
    /// The template does not exist or is not approved.
    Template,
    /// Anything else, in a sentence.
    Text(String),
    /// A refusal with a status of its own.
    Status(u16, String),
}

impl Refusal {
    /// A field that must be there.
    pub(crate) const fn missing(field: &'static str) -> Self {
        Self::Field(field, "is required")
    }

    /// HTTP status and body.
    pub(crate) fn answer(&self) -> (u16, Value) {
        match self {
            Self::Key => (
                401,
                json!({ "status": "fail", "hasError": true, "errors": "Unauthorized", "code": "401" }),
            ),
            Self::TooMany => Self::Status(429, "Too many requests".into()).answer(),
            Self::Status(status, text) => (
                *status,
                json!({ "status": "fail", "hasError": true, "errors": text }),
            ),
            Self::Number => Self::Text("Given number is not integrated".into()).answer(),
            Self::Text(text) => (
                200,
                json!({ "status": "fail", "hasError": true, "data": null, "errors": text, "request_id": null }),
            ),
            Self::Field(field, what) => {
                let words = field.replace('_', " ");
                let text = format!("The {words} field {what}.");
                (
                    200,
                    json!({ "status": "fail", "hasError": true, "errors": { *field: [text] }, "data": null }),
                )
            }
            Self::Template => (
                200,
                json!({ "status": "fail", "hasError": false, "data": "", "errors": "Template not found",
                        "request_id": "" }),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Refusal, accepted, request_id};
    use crate::ids::Rng;

    #[test]
    fn answers_as_the_fixtures_do() {
        let fixture = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (refusal, text) in [
            (
                Refusal::Key,
                include_str!("../../fixtures/msg91/responses/401-authkey.json"),
            ),
            (
                Refusal::TooMany,
                include_str!("../../fixtures/msg91/responses/429-too-many.json"),
            ),
            (
                Refusal::Number,
                include_str!("../../fixtures/msg91/responses/200-has-error-number.json"),
            ),
            (
                Refusal::missing("integrated_number"),
                include_str!("../../fixtures/msg91/responses/200-has-error-object.json"),
            ),
            (
                Refusal::Template,
                include_str!("../../fixtures/msg91/responses/200-status-fail.json"),
            ),
            (
                Refusal::Status(418, "IP is not whitelisted".into()),
                include_str!("../../fixtures/msg91/responses/418-ip-not-allowed.json"),
            ),
        ] {
            let (status, body) = refusal.answer();
            let theirs = fixture(text);
            assert_eq!(theirs["status"], status, "{refusal:?}");
            assert_eq!(theirs["json"], body, "{refusal:?}");
        }
        let id = request_id(&Rng::new(1));
        assert_eq!(id.len(), 32);
        let theirs = fixture(include_str!("../../fixtures/msg91/responses/success.json"));
        let mut ours = accepted(&id);
        ours["request_id"] = theirs["json"]["request_id"].clone();
        assert_eq!(ours, theirs["json"]);
    }
}
