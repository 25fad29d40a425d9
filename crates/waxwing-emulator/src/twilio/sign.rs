//! `X-Twilio-Signature` (twilio.md section 4).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Which algorithm signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// The default, with the account's token.
    Sha1,
    /// With the secret of a shared key.
    Sha256,
}

/// Signs a form that is posted to a URL as it stands there: without a fragment, with its query untouched.
pub(crate) fn form(algorithm: Algorithm, secret: &str, url: &str, body: &[u8]) -> String {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        values
            .entry(name.into_owned())
            .or_default()
            .insert(value.into_owned());
    }
    let mut text = url.split('#').next().unwrap_or("").to_owned();
    for (name, distinct) in values {
        for value in distinct {
            text.push_str(&name);
            text.push_str(&value);
        }
    }
    hash(algorithm, secret, &text)
}

fn hash(algorithm: Algorithm, secret: &str, text: &str) -> String {
    let algorithm = match algorithm {
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Algorithm, form};

    fn vectors() -> Vec<Value> {
        serde_json::from_str(include_str!("../../fixtures/twilio/signature-vectors.json")).unwrap()
    }

    #[test]
    fn signs_as_the_vectors_say() {
        let mut seen = [0, 0];
        for vector in vectors() {
            let text = |name: &str| vector[name].as_str().unwrap_or("").to_owned();
            // JSON bodies and GET are forms without parameters: the URL alone is signed.
            let body = if text("content_type").starts_with("application/x-www-form-urlencoded") {
                text("body")
            } else {
                String::new()
            };
            let algorithm = match vector["algorithm"].as_str().unwrap() {
                "HMAC_SHA1" => Algorithm::Sha1,
                "HMAC_SHA256" => Algorithm::Sha256,
                _ => continue,
            };
            let ours = form(
                algorithm,
                &text("secret"),
                &text("signed_url"),
                body.as_bytes(),
            );
            let theirs = vector["headers"]["X-Twilio-Signature"].as_str();
            if vector["valid"] == true {
                assert_eq!(Some(ours.as_str()), theirs, "{}", vector["id"]);
                seen[usize::from(algorithm == Algorithm::Sha256)] += 1;
            }
        }
        assert_eq!(seen, [31, 2]);
    }

    #[test]
    fn signs_the_webhook_files() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/twilio/webhooks");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let file: Value = serde_json::from_str(&text).unwrap();
            let request = &file["request"];
            let headers = &request["headers"];
            let is_form = headers["Content-Type"]
                .as_str()
                .is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
            let body = request["body"].as_str().filter(|_| is_form).unwrap_or("");
            let url = request["url"].as_str().unwrap();
            let token = file["auth_token"].as_str().unwrap();
            let ours = form(Algorithm::Sha1, token, url, body.as_bytes());
            assert_eq!(
                headers["X-Twilio-Signature"].as_str(),
                Some(ours.as_str()),
                "{}",
                file["kind"]
            );
            seen += 1;
        }
        assert_eq!(seen, 59);
    }

    #[test]
    fn fragments_are_not_signed() {
        let sign = |url| form(Algorithm::Sha1, "12345", url, b"a=1");
        assert_eq!(
            sign("https://a.example/w?x=1#rc=3&rp=all"),
            sign("https://a.example/w?x=1")
        );
        assert_ne!(sign("https://a.example/w?x=1"), sign("https://a.example/w"));
    }
}
