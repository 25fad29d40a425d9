//! The webhook configuration of a number: address and the headers that come back with every webhook
//! (360dialog.md section 4). The headers are all the authentication there is.

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

/// Longest address.
const MAX_URL: usize = 2048;
/// Most headers; no document names a limit.
const MAX_HEADERS: usize = 16;

/// Where webhooks go and what they carry.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct WebhookSetting {
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for WebhookSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Path and headers are secrets.
        f.debug_struct("WebhookSetting")
            .field("set", &self.url.is_some())
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl WebhookSetting {
    /// Takes what the configuration of the emulator names; headers that HTTP cannot carry are left out.
    pub(crate) fn new(url: Option<String>, headers: &[(String, String)]) -> Self {
        let headers = headers.iter().take(MAX_HEADERS);
        Self {
            url,
            headers: headers.filter_map(|(n, v)| pair(n, v)).collect(),
        }
    }

    /// Reads the body of `POST /v1/configs/webhook`.
    pub(crate) fn read(body: &[u8]) -> Result<Self, &'static str> {
        let body: Value =
            serde_json::from_slice(body).map_err(|_| "The request body is not valid JSON")?;
        let url = body
            .get("url")
            .and_then(Value::as_str)
            .ok_or("url is required")?;
        let scheme = url.starts_with("https://") || url.starts_with("http://");
        if !scheme || url.len() > MAX_URL || reqwest::Url::parse(url).is_err() {
            return Err("url is not a valid URL");
        }
        let given = match body.get("headers") {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(headers)) => headers,
            Some(_) => return Err("headers must be an object"),
        };
        if given.len() > MAX_HEADERS {
            return Err("too many headers");
        }
        let mut headers = Vec::with_capacity(given.len());
        for (name, value) in given {
            let text = value.as_str().ok_or("headers must be strings")?;
            headers.push(pair(name, text).ok_or("a header is not valid")?);
        }
        Ok(Self {
            url: Some(url.to_owned()),
            headers,
        })
    }

    /// The answer to reading and setting it.
    pub(crate) fn json(&self) -> Value {
        let mut value = json!({ "url": self.url });
        if !self.headers.is_empty() {
            // Header names come back as they are usually written, not in the lower case of the library.
            value["headers"] = self
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        title_case(name.as_str()),
                        json!(value.to_str().unwrap_or("")),
                    )
                })
                .collect::<Map<_, _>>()
                .into();
        }
        value
    }
}

fn pair(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name).ok()?, value))
}

fn title_case(name: &str) -> String {
    let words: Vec<String> = name
        .split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + chars.as_str()
            })
        })
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::WebhookSetting;

    #[test]
    fn answers_as_documented() {
        let exchange: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/exchanges/webhook-set.json"
        ))
        .unwrap();
        let body = serde_json::to_vec(&exchange["request"]["body"]).unwrap();
        let setting = WebhookSetting::read(&body).unwrap();
        assert_eq!(setting.json(), exchange["response"]["body"]);
        assert!(!format!("{setting:?}").contains("random"));
        let plain: Value = serde_json::from_str(include_str!(
            "../../fixtures/360dialog/exchanges/webhook-get.json"
        ))
        .unwrap();
        let url = plain["response"]["body"]["url"].as_str().unwrap();
        let setting = WebhookSetting::new(Some(url.to_owned()), &[]);
        assert_eq!(setting.json(), plain["response"]["body"]);
    }

    #[test]
    fn refuses_what_cannot_be_used() {
        for bad in [
            json!({}),
            json!({ "url": "ftp://x" }),
            json!({ "url": "https://x", "headers": [] }),
            json!({ "url": "https://x", "headers": { "a b": "c" } }),
            json!({ "url": "https://x", "headers": { "a": "c\n" } }),
            json!({ "url": "https://x", "headers": { "a": 1 } }),
        ] {
            assert!(
                WebhookSetting::read(&serde_json::to_vec(&bad).unwrap()).is_err(),
                "{bad}"
            );
        }
        assert!(WebhookSetting::read(b"{").is_err());
    }
}
