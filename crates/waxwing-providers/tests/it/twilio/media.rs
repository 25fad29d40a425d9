//! Fetching files: who gets the account's credentials.

use waxwing_providers::messaging::Endpoints;
use waxwing_providers::messaging::twilio::{media_redirect, media_request};

use super::{account, rest};

#[test]
fn credentials_for_files_go_only_to_twilio() {
    let own = Endpoints {
        twilio_url: Some("http://127.0.0.1:9".into()),
        ..Endpoints::default()
    };
    let real = Endpoints::default();
    let link = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1";
    let cases = [
        (&real, link, true),
        (&real, "https://media.us1.twilio.com/x", true),
        (&real, "http://api.twilio.com/x", false),
        (&real, "https://api.twilio.com.evil.example/x", false),
        (&real, "https://eviltwilio.com/x", false),
        (&real, "https://evil.example/api.twilio.com", false),
        (&real, "https://evil.example\\@api.twilio.com/", false),
        (&real, "http://127.0.0.1:9/x", false),
        (&own, "http://127.0.0.1:9/x", true),
        (&own, "http://127.0.0.1:10/x", false),
        (&own, link, true),
    ];
    for (endpoints, link, trusted) in cases {
        let fetch = media_request(&account(), endpoints, link).unwrap();
        assert_eq!(fetch.trusted, trusted, "{link}");
        let sends = fetch.request.headers.contains_key("authorization");
        assert_eq!(sends, trusted, "{link}");
    }
    let moved = media_request(&account(), &own, &format!("{link}?a=1")).unwrap();
    assert_eq!(
        moved.request.url,
        "http://127.0.0.1:9/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1?a=1"
    );
    for bad in [
        "",
        "x",
        "ftp://a.example/",
        "file:///etc/passwd",
        "https://api.twilio.com@evil.example/",
        "https://u:p@api.twilio.com/",
    ] {
        assert!(media_request(&account(), &real, bad).is_err(), "{bad}");
    }
}

#[test]
fn redirects_never_carry_credentials() {
    let example = rest("media-download-redirect");
    let from = format!(
        "https://api.twilio.com{}",
        example["request"]["path"].as_str().unwrap()
    );
    let location = example["response"]["headers"]["Location"].as_str().unwrap();
    let real = Endpoints::default();
    let cases = [
        (location, Some(true)),
        ("/elsewhere", Some(true)),
        ("https://evil.example/x", Some(false)),
        ("https://twiliocdn.com.evil.example/x", Some(false)),
        ("http://mms.twiliocdn.com/x", None),
        ("ftp://mms.twiliocdn.com/x", None),
        ("https://u:p@mms.twiliocdn.com/x", None),
    ];
    for (location, trusted) in cases {
        let fetch = media_redirect(&real, &from, location).ok();
        assert_eq!(
            fetch.as_ref().map(|fetch| fetch.trusted),
            trusted,
            "{location}"
        );
        if let Some(fetch) = fetch {
            assert!(fetch.request.headers.is_empty(), "{location}");
        }
    }
}
