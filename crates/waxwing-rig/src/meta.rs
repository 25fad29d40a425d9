//! Webhook bodies as Meta posts them, and their signatures. Written here anew, so that no mistake of the server or of
//! the emulator can hide itself.

use std::fmt::Write as _;

use ring::hmac;

use crate::http;

/// Where the webhooks go.
pub const PATH: &str = "/whatsapp/webhook";
/// The secret of the platform's app.
pub const PLATFORM_SECRET: &str = "rig-platform-app-secret";

/// What a user does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// Writes a text.
    Says(String),
    /// Taps a button of a message.
    Taps {
        /// The id of the button.
        button: String,
        /// What it says.
        title: String,
        /// The message that showed it.
        context: String,
    },
}

impl Does {
    /// What a person reads of it.
    #[must_use]
    pub fn body(&self) -> &str {
        match self {
            Self::Says(text) => text,
            Self::Taps { title, .. } => title,
        }
    }
}

/// One message of a user to a number.
#[derive(Debug, Clone)]
pub struct Item {
    /// The number's place in the world.
    pub number: usize,
    /// The provider's id of the message.
    pub wamid: String,
    /// The user's phone in digits.
    pub from: String,
    /// The user's name. Plain letters and digits.
    pub name: String,
    /// What the message is.
    pub does: Does,
    /// Seconds since 1970.
    pub at: u64,
}

/// The id of a number.
#[must_use]
pub fn phone_number_id(number: usize) -> String {
    format!("1065403522{number:05}")
}

/// The place of a number with this id.
#[must_use]
pub fn number_of(phone_number_id: &str) -> Option<usize> {
    phone_number_id.strip_prefix("1065403522")?.parse().ok()
}

/// The id of the account that owns a number.
#[must_use]
pub fn waba_id(number: usize) -> String {
    format!("1022901293{number:05}")
}

/// The digits of a number.
#[must_use]
pub fn display_phone(number: usize) -> String {
    format!("155507{number:05}")
}

/// A request body with one entry for each item, in Meta's form.
#[must_use]
pub fn body(items: &[Item]) -> Vec<u8> {
    let mut text = String::with_capacity(700 * items.len());
    text.push_str(r#"{"object":"whatsapp_business_account","entry":["#);
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        entry(&mut text, item);
    }
    text.push_str("]}");
    text.into_bytes()
}

fn entry(text: &mut String, item: &Item) {
    let Item {
        number,
        wamid,
        from,
        name,
        does,
        at,
    } = item;
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"{{"id":"{}","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{}","phone_number_id":"{}"}},"contacts":[{{"profile":{{"name":"{name}"}},"wa_id":"{from}"}}],"messages":[{{"from":"{from}","id":"{wamid}","timestamp":"{at}","#,
        waba_id(*number),
        display_phone(*number),
        phone_number_id(*number),
    );
    let _ = match does {
        Does::Says(said) => write!(text, r#""text":{{"body":"{said}"}},"type":"text"}}]"#),
        Does::Taps {
            button,
            title,
            context,
        } => write!(
            text,
            r#""context":{{"from":"{}","id":"{context}"}},"type":"interactive","interactive":{{"type":"button_reply","button_reply":{{"id":"{button}","title":"{title}"}}}}}}]"#,
            display_phone(*number)
        ),
    };
    text.push_str(r#"},"field":"messages"}]}"#);
}

/// Signs bodies with one secret.
#[derive(Debug)]
pub struct Signer(hmac::Key);

impl Signer {
    /// A signer.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The whole signed request with this body.
    #[must_use]
    pub fn request(&self, body: &[u8]) -> Vec<u8> {
        let signature = format!("sha256={}", hex::encode(hmac::sign(&self.0, body)));
        let headers = [
            ("content-type", "application/json"),
            ("x-hub-signature-256", signature.as_str()),
        ];
        http::request("POST", PATH, &headers, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_what_meta_sends() {
        let item = Item {
            number: 3,
            wamid: "wamid.1".into(),
            from: "4915700000001".into(),
            name: "Ann".into(),
            does: Does::Taps {
                button: "next".into(),
                title: "Next".into(),
                context: "wamid.0".into(),
            },
            at: 1_700_000_000,
        };
        let body = body(&[item.clone(), item]);
        let value: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        let change = &value["entry"][1]["changes"][0]["value"];
        assert_eq!(change["metadata"]["phone_number_id"], "106540352200003");
        assert_eq!(change["messages"][0]["context"]["id"], "wamid.0");
        assert_eq!(number_of("106540352200003"), Some(3));
    }

    #[test]
    fn signatures_agree_with_openssl() {
        // printf '{}' | openssl dgst -sha256 -hmac key
        let request = String::from_utf8(Signer::new("key").request(b"{}")).expect("it is text");
        let tag = "a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032";
        assert!(request.contains(&format!("x-hub-signature-256: sha256={tag}\r\n")));
    }
}
