//! Settings of tenants.

use serde_json::{Value, json};

use crate::support::Api;

#[tokio::test]
async fn settings_change_one_by_one() {
    let api = Api::new().await;
    let first = api.get("/api/settings").await.expect(200);
    let defaults = json!({"defaultCountry": null, "sessionSeconds": 3600, "unknownOutcome": "resend_once",
        "optOutWords": null, "optInWords": null, "optOutReply": null, "optInReply": null, "encryptContent": false, "requireSecondFactor": false});
    assert_eq!(first.body, json!({"ok": true, "settings": defaults}));
    for (change, expected) in [
        (
            json!({"defaultCountry": "de"}),
            json!(["DE", 3600, "resend_once"]),
        ),
        (
            json!({"sessionSeconds": 60, "unknownOutcome": "hold"}),
            json!(["DE", 60, "hold"]),
        ),
        (json!({}), json!(["DE", 60, "hold"])),
        (json!({"defaultCountry": null}), json!([null, 60, "hold"])),
    ] {
        let answer = api
            .call("PATCH", "/api/tenants/default/settings", Some(change))
            .await
            .expect(200);
        let settings = &answer.body["settings"];
        assert_eq!(
            json!([
                settings["defaultCountry"],
                settings["sessionSeconds"],
                settings["unknownOutcome"]
            ]),
            expected
        );
        assert_eq!(api.get("/api/settings").await.expect(200).text, answer.text);
    }
    let other = api.tenant("Other", "100").await;
    assert_eq!(
        api.get(&format!("/api/tenants/{other}/settings"))
            .await
            .expect(200)
            .body["settings"],
        defaults
    );
    api.end().await;
}

#[tokio::test]
async fn bad_settings_are_422_with_the_field() {
    let api = Api::new().await;
    let cases: [(Value, &[&str]); 10] = [
        (json!({"optOutWords": [""]}), &["optOutWords"]),
        (json!({"optInReply": "x".repeat(2_000)}), &["optInReply"]),
        (json!({"defaultCountry": "Germany"}), &["defaultCountry"]),
        (
            json!({"defaultCountry": "XX", "sessionSeconds": 0}),
            &["defaultCountry", "sessionSeconds"],
        ),
        (json!({"sessionSeconds": 2_592_001}), &["sessionSeconds"]),
        (json!({"sessionSeconds": -1}), &["sessionSeconds"]),
        (json!({"sessionSeconds": 60.5}), &["sessionSeconds"]),
        (json!({"sessionSeconds": "60"}), &["sessionSeconds"]),
        (json!({"unknownOutcome": "panic"}), &["unknownOutcome"]),
        (json!({"sesionSeconds": 60}), &["sesionSeconds"]),
    ];
    for (body, fields) in cases {
        api.call("PATCH", "/api/settings", Some(body))
            .await
            .expect_error(422, fields);
    }
    api.end().await;
}
