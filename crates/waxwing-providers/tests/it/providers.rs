//! The providers whose adapters `conformance` tests, and contents of every kind.

use http::HeaderMap;
use ring::hmac;
use serde_json::json;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::content::{Button, Content, Frame, Media, Row, Section};
use waxwing_core::secret::Secret;
use waxwing_providers::messaging::{Account, Arrival, Endpoints, Messaging, adapter};

use crate::{dialog360, msg91, support, twilio};

/// A genuine webhook.
pub struct Genuine {
    pub name: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Genuine {
    pub fn arrival<'a>(&'a self, body: &'a [u8]) -> Arrival<'a> {
        Arrival {
            target: &self.target,
            headers: &self.headers,
            body,
        }
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// An adapter with all that the tests need to know of its provider.
pub struct Provider {
    pub adapter: &'static dyn Messaging,
    pub account: Account,
    pub endpoints: Endpoints,
    pub genuine: Vec<Genuine>,
    /// Kinds of content that it refuses for good, beside those that only come in.
    pub not_carried: &'static [&'static str],
    /// Whether its proof covers the body. Where it does not, only a secret is shown.
    pub signs_body: bool,
    /// A name that a message template may have.
    pub template: &'static str,
}

const META_SECRET: &str = "meta-app-secret-of-the-tests";
const META_TOKEN: &str = "meta-access-token-of-the-tests";

fn meta() -> Provider {
    let key = hmac::Key::new(hmac::HMAC_SHA256, META_SECRET.as_bytes());
    let genuine = support::files("inbound").into_iter().map(|(name, body)| {
        let mut headers = HeaderMap::new();
        let signature = format!("sha256={}", hex::encode(hmac::sign(&key, &body)));
        headers.insert("x-hub-signature-256", signature.parse().unwrap());
        Genuine {
            name,
            target: "/whatsapp/webhook".into(),
            headers,
            body,
        }
    });
    Provider {
        adapter: adapter(ChannelKind::Meta),
        account: Account {
            sender_id: "106540352242922".into(),
            account_id: None,
            credentials: Credentials::new()
                .with(credential::ACCESS_TOKEN, Secret::new(META_TOKEN))
                .with(credential::APP_SECRET, Secret::new(META_SECRET)),
        },
        endpoints: Endpoints::default(),
        genuine: genuine.collect(),
        not_carried: &[],
        signs_body: true,
        template: "order_ready",
    }
}

fn twilio() -> Provider {
    let genuine = twilio::webhooks().into_iter().map(|webhook| Genuine {
        name: webhook.name,
        target: webhook.target,
        headers: webhook.headers,
        body: webhook.body,
    });
    Provider {
        adapter: adapter(ChannelKind::Twilio),
        account: twilio::account(),
        endpoints: twilio::endpoints(),
        genuine: genuine.collect(),
        not_carried: &["contacts", "reaction"],
        signs_body: true,
        template: "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    }
}

fn dialog360() -> Provider {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", dialog360::SECRET);
    headers.insert("authorization", bearer.parse().unwrap());
    let files = ["dialog360/inbound", "dialog360/legacy-inbound"];
    let files = files.into_iter().flat_map(support::files);
    let genuine = files.map(|(name, body)| Genuine {
        name,
        target: "/webhook/dialog360/ch_123".into(),
        headers: headers.clone(),
        body,
    });
    Provider {
        adapter: adapter(ChannelKind::Dialog360),
        account: dialog360::account(),
        endpoints: Endpoints::default(),
        genuine: genuine.collect(),
        not_carried: &[],
        signs_body: false,
        template: "order_ready",
    }
}

fn msg91() -> Provider {
    const SECRET: &str = "waxwing-test-msg91-secret";
    let mut account = msg91::account();
    account
        .credentials
        .set(credential::WEBHOOK_SECRET, Secret::new(SECRET));
    let mut headers = HeaderMap::new();
    headers.insert("x-webhook-secret", SECRET.parse().unwrap());
    let genuine = msg91::webhooks()
        .into_iter()
        .map(|(name, webhook)| Genuine {
            name,
            target: "/webhook/msg91/ch_1".into(),
            headers: headers.clone(),
            body: webhook["request"]["body"].as_str().unwrap().into(),
        });
    Provider {
        adapter: adapter(ChannelKind::Msg91),
        account,
        endpoints: Endpoints::default(),
        genuine: genuine.collect(),
        not_carried: &["sticker", "reaction"],
        signs_body: false,
        template: "order_ready",
    }
}

/// One entry for each adapter.
pub fn providers() -> Vec<Provider> {
    vec![meta(), twilio(), dialog360(), msg91()]
}

/// One content of every kind that can be sent on WhatsApp.
pub fn sendable(template: &str) -> Vec<Content> {
    let media = || Media {
        link: Some("https://files.example/a".into()),
        ..Media::default()
    };
    let button = Button {
        id: "yes".into(),
        title: "Yes".into(),
    };
    let row = Row {
        id: "one".into(),
        title: "One".into(),
        description: None,
    };
    vec![
        hello(),
        Content::Image(media()),
        Content::Video(media()),
        Content::Audio(media()),
        Content::Document(media()),
        Content::Sticker(media()),
        Content::Location {
            latitude: 1.5,
            longitude: -2.5,
            name: None,
            address: None,
        },
        Content::Contacts {
            contacts: vec![json!({"name": {"formatted_name": "Ada"}})],
        },
        Content::InteractiveButton {
            frame: Frame::default(),
            body: "Well?".into(),
            buttons: vec![button],
        },
        Content::InteractiveList {
            frame: Frame::default(),
            body: "Which?".into(),
            button: "Choose".into(),
            sections: vec![Section {
                title: None,
                rows: vec![row],
            }],
        },
        Content::MessageTemplate {
            name: template.into(),
            language: "en".into(),
            components: vec![],
        },
        Content::Reaction {
            emoji: Some("👍".into()),
        },
    ]
}

pub fn hello() -> Content {
    Content::Text {
        body: "hello".into(),
        preview_url: false,
    }
}

/// One content of every kind that only comes in.
pub fn inbound_only() -> Vec<Content> {
    vec![
        Content::ButtonReply {
            id: "yes".into(),
            title: "Yes".into(),
        },
        Content::ListReply {
            id: "one".into(),
            title: "One".into(),
            description: None,
        },
        Content::Button {
            payload: None,
            text: "Yes".into(),
        },
        Content::FlowReply {
            name: "flow".into(),
            body: None,
            response: json!({}),
        },
        Content::InteractiveReply {
            kind: "later".into(),
            data: json!({}),
        },
        Content::Order {
            catalog_id: "1".into(),
            text: None,
            items: vec![],
        },
        Content::RequestWelcome,
        Content::Edit {
            content: Box::new(hello()),
        },
        Content::Revoke,
        Content::Unsupported {
            kind: None,
            codes: vec![],
        },
    ]
}
