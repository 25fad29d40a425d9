//! Numbers at providers other than Meta.

use serde_json::{Value, json};
use waxwing_core::channel::ChannelKind;
use waxwing_emulator::{Dialog360Config, Msg91Config, TwilioNumber};

use crate::app::TestApp;
use crate::webhook::Tenant;

impl TestApp {
    /// The default tenant with a number at a provider, which the emulator serves.
    pub async fn default_tenant(&self, kind: ChannelKind) -> Tenant {
        let (dialog360, msg91) = (Dialog360Config::default(), Msg91Config::default());
        let twilio = TwilioNumber::default();
        let body = match kind {
            ChannelKind::Meta => unreachable!("Meta's numbers are registered with their tenant"),
            ChannelKind::Twilio => {
                json!({"kind": "twilio", "from": twilio.sender, "accountSid": twilio.account_sid,
                    "credentials": {"authToken": twilio.auth_token}})
            }
            ChannelKind::Dialog360 => {
                json!({"kind": "dialog360", "phoneNumberId": dialog360.phone_number_id,
                    "credentials": {"apiKey": dialog360.api_key}})
            }
            ChannelKind::Msg91 => json!({"kind": "msg91", "from": msg91.integrated_number,
                "credentials": {"authKey": msg91.authkey}}),
        };
        let answer = self.api.post("/api/tenants/default/channels", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let channel = &answer.body["channel"];
        let path = text(&channel["webhooks"]["url"]);
        let path = path.split('#').next().unwrap_or_default();
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.api.base()),
        };
        let secret = text(&answer.body["made"]["value"]);
        let number = match kind {
            ChannelKind::Meta => unreachable!("see above"),
            ChannelKind::Twilio => {
                let number = twilio.id();
                self.emulator.add_number(TwilioNumber {
                    webhook_url: Some(url),
                    ..twilio
                });
                number
            }
            ChannelKind::Dialog360 => {
                let number = dialog360.phone_number_id.clone();
                self.emulator.add_number(Dialog360Config {
                    webhook_url: Some(url),
                    webhook_headers: vec![("Authorization".into(), format!("Bearer {secret}"))],
                    ..dialog360
                });
                number
            }
            ChannelKind::Msg91 => {
                let number = msg91.integrated_number.clone();
                self.emulator.add_number(Msg91Config {
                    webhook_url: Some(url),
                    webhook_headers: vec![("X-Webhook-Secret".into(), secret)],
                    pausing: false,
                    ..msg91
                });
                number
            }
        };
        Tenant {
            id: text(&channel["tenantId"]),
            channel_id: text(&channel["id"]),
            number,
        }
    }
}
