//! 360dialog's own errors, beside Meta's, which pass through unchanged (360dialog.md section 7).

use serde_json::json;

use crate::ids::Rng;

/// An error of 360dialog itself: a status and a sentence. The family has no numeric codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnError {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl OwnError {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// The key is missing or belongs to no number.
    pub(crate) fn key() -> Self {
        Self::new(401, "Invalid api_key")
    }

    /// Documented for blocked endpoints. That the guard on media reads answers so is our reading: no document says what
    /// a blocked reader sees.
    pub(crate) fn blocked() -> Self {
        Self::new(403, "Access to this endpoint is blocked")
    }

    /// An address that does not exist.
    pub(crate) fn not_found() -> Self {
        Self::new(404, "Not found")
    }

    /// The body of the older endpoints.
    pub(crate) fn body(&self, rng: &Rng) -> Vec<u8> {
        let value = json!({ "meta": {
            "success": false,
            "http_code": self.status,
            "developer_message": self.text,
            "360dialog_trace_id": trace_id(rng),
        }});
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// The body of the newer endpoints.
    pub(crate) fn short_body(&self) -> Vec<u8> {
        let text = if self.status == 401 {
            "Unauthorized"
        } else {
            &self.text
        };
        serde_json::to_vec(&json!({ "error": text })).unwrap_or_default()
    }
}

/// A version 4 UUID.
fn trace_id(rng: &Rng) -> String {
    let bits = (u128::from(rng.next()) << 64) | u128::from(rng.next());
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::OwnError;
    use crate::ids::Rng;

    #[test]
    fn bodies_have_the_documented_shape() {
        let fixture: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/errors/invalid-api-key-401.json"
        ))
        .unwrap();
        let ours: Value = serde_json::from_slice(&OwnError::key().body(&Rng::new(1))).unwrap();
        let (ours, theirs) = (&ours["meta"], &fixture["body"]["meta"]);
        for name in ["success", "http_code", "developer_message"] {
            assert_eq!(ours[name], theirs[name]);
        }
        let id = |v: &Value| v["360dialog_trace_id"].as_str().unwrap().to_owned();
        assert_eq!(id(ours).len(), id(theirs).len());
        assert_eq!(
            id(ours).match_indices('-').map(|m| m.0).collect::<Vec<_>>(),
            [8, 13, 18, 23]
        );
        let short: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/errors/invalid-api-key-401-other-form.json"
        ))
        .unwrap();
        let ours: Value = serde_json::from_slice(&OwnError::key().short_body()).unwrap();
        assert_eq!(ours, short["body"]);
    }
}
