//! Files at all providers: where they are asked for, what goes with the call, what an answer means.

use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::content::Media;
use waxwing_core::errors::{ErrorClass, SendOutcome};
use waxwing_core::secret::Secret;
use waxwing_providers::http::{HttpOutcome, HttpRequest};
use waxwing_providers::messaging::media::{
    FetchStep, Upload, download_error, is_passing, media_api,
};
use waxwing_providers::messaging::{Account, Endpoints};

fn account() -> Account {
    Account {
        sender_id: "106540352242922".into(),
        account_id: None,
        credentials: Credentials::new()
            .with(credential::ACCESS_TOKEN, Secret::new("EAAtoken"))
            .with(credential::API_KEY, Secret::new("d360key"))
            .with(credential::AUTH_KEY, Secret::new("msg91key")),
    }
}

fn by_id(id: &str) -> Media {
    Media {
        id: Some(id.into()),
        ..Media::default()
    }
}

fn answer(status: u16, body: &str) -> HttpOutcome {
    HttpOutcome::Response {
        status,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn asked(step: FetchStep) -> HttpRequest {
    match step {
        FetchStep::Ask(request) => request,
        FetchStep::Download(_) => panic!("nothing was asked"),
    }
}

fn download(step: FetchStep) -> HttpRequest {
    match step {
        FetchStep::Download(request) => request,
        FetchStep::Ask(_) => panic!("asked again"),
    }
}

#[test]
fn the_cloud_api_is_asked_by_id_and_nothing_changes_the_path() {
    let endpoints = Endpoints::default();
    let meta = media_api(ChannelKind::Meta);
    let request = asked(
        meta.fetch(&account(), &endpoints, &by_id("1037543291543636"))
            .unwrap(),
    );
    assert_eq!(
        request.url,
        "https://graph.facebook.com/v25.0/1037543291543636?phone_number_id=106540352242922"
    );
    assert_eq!(request.headers[AUTHORIZATION], "Bearer EAAtoken");
    let dialog360 = media_api(ChannelKind::Dialog360);
    let request = asked(
        dialog360
            .fetch(&account(), &endpoints, &by_id("1037"))
            .unwrap(),
    );
    assert_eq!(request.url, "https://waba-v2.360dialog.io/1037");
    assert_eq!(request.headers["d360-api-key"], "d360key");
    for bad in ["", "../me", "1?fields=x", "1/2", "1%2f2", "http://a", "1#x"] {
        assert!(
            meta.fetch(&account(), &endpoints, &by_id(bad)).is_err(),
            "{bad}"
        );
    }
    assert!(
        meta.fetch(&account(), &endpoints, &Media::default())
            .is_err()
    );
}

#[test]
fn credentials_go_only_to_places_of_the_provider() {
    let endpoints = Endpoints::default();
    let located = |kind, endpoints: &Endpoints, url: &str| {
        let body = serde_json::json!({"url": url, "file_size": "5", "id": "1"}).to_string();
        media_api(kind).located(&account(), endpoints, &answer(200, &body))
    };
    let real = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&ext=2&hash=a";
    let request = download(located(ChannelKind::Meta, &endpoints, real).unwrap());
    assert_eq!(
        (request.url.as_str(), &request.headers[AUTHORIZATION]),
        (real, &"Bearer EAAtoken".parse().unwrap())
    );
    let request = download(located(ChannelKind::Dialog360, &endpoints, real).unwrap());
    assert_eq!(
        request.url,
        "https://waba-v2.360dialog.io/whatsapp_business/attachments/?mid=1&ext=2&hash=a"
    );
    assert!(request.headers.get(AUTHORIZATION).is_none());
    for bad in [
        "https://example.com/a",
        "http://lookaside.fbsbx.com/a",
        "https://lookaside.fbsbx.com:8443/a",
        "https://lookaside.fbsbx.com.evil.com/a",
        "https://evilfbsbx.com/a",
        "https://a@lookaside.fbsbx.com/a",
        "https://169.254.169.254/latest",
        "file:///etc/passwd",
        "nonsense",
    ] {
        for kind in [ChannelKind::Meta, ChannelKind::Dialog360] {
            let error = located(kind, &endpoints, bad).unwrap_err();
            assert_eq!(error.class, ErrorClass::Media, "{bad}");
            assert!(!is_passing(error.class));
        }
    }
    let emulator = Endpoints {
        graph_url: "http://127.0.0.1:4000".into(),
        ..Endpoints::default()
    };
    let own = "http://127.0.0.1:4000/whatsapp_business/attachments/?mid=1";
    assert_eq!(
        download(located(ChannelKind::Meta, &emulator, own).unwrap()).url,
        own
    );
}

#[test]
fn what_an_answer_means_decides_whether_to_ask_again() {
    let meta = media_api(ChannelKind::Meta);
    let class = |outcome: &HttpOutcome| {
        meta.located(&account(), &Endpoints::default(), outcome)
            .unwrap_err()
            .class
    };
    let gone = r#"{"error":{"message":"Unsupported get request. Object with ID '1' does not exist","type":"GraphMethodException","code":100,"error_subcode":33}}"#;
    assert!(is_passing(class(&answer(500, "<html>"))));
    assert!(is_passing(class(&HttpOutcome::NotSent("x".into()))));
    assert!(is_passing(class(&HttpOutcome::Lost("x".into()))));
    assert!(is_passing(class(&answer(200, "{}"))));
    let token = r#"{"error":{"message":"Invalid OAuth access token","code":190}}"#;
    assert!(is_passing(class(&answer(401, token))));
    let invalid = r#"{"error":{"message":"Invalid parameter","code":100}}"#;
    assert!(!is_passing(class(&answer(400, invalid))));
    assert_eq!(class(&answer(400, gone)), ErrorClass::Media);
    assert_eq!(download_error(200, true), None);
    let of = |status, with_credentials| download_error(status, with_credentials).unwrap().class;
    assert!(!is_passing(of(404, true)));
    assert!(is_passing(of(503, true)));
    assert!(is_passing(of(429, false)));
    assert_eq!(of(403, true), ErrorClass::Credentials);
    assert_eq!(of(403, false), ErrorClass::Media, "the link is over");
}

#[test]
fn an_upload_is_a_form_around_the_file() {
    let file = Upload {
        mime: "image/jpeg",
        filename: "a\"b\r\n.jpg",
        boundary: "x0123",
    };
    let meta = media_api(ChannelKind::Meta);
    let call = meta
        .upload(&account(), &Endpoints::default(), file)
        .unwrap()
        .unwrap();
    assert_eq!(
        call.request.url,
        "https://graph.facebook.com/v25.0/106540352242922/media"
    );
    assert_eq!(
        call.request.headers["content-type"],
        "multipart/form-data; boundary=x0123"
    );
    let before = String::from_utf8(call.before.to_vec()).unwrap();
    assert!(before.contains("name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"));
    assert!(
        before.ends_with("filename=\"a_b__.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"),
        "{before}"
    );
    assert_eq!(&call.after[..], b"\r\n--x0123--\r\n");
    let call = media_api(ChannelKind::Dialog360)
        .upload(&account(), &Endpoints::default(), file)
        .unwrap()
        .unwrap();
    assert_eq!(call.request.url, "https://waba-v2.360dialog.io/media");
    let hostile = Upload {
        mime: "image/jpeg\r\nx: y",
        ..file
    };
    assert!(
        meta.upload(&account(), &Endpoints::default(), hostile)
            .is_err()
    );

    assert_eq!(
        meta.uploaded(&answer(200, r#"{"id":"123"}"#)).unwrap(),
        "123"
    );
    for odd in ["{}", "", r#"{"id":"../x"}"#, r#"{"id":{}}"#] {
        let outcome = meta.uploaded(&answer(200, odd)).unwrap_err();
        assert!(matches!(*outcome, SendOutcome::Retry { .. }), "{odd}");
    }
    let lost = meta.uploaded(&HttpOutcome::Lost("x".into())).unwrap_err();
    assert!(
        matches!(*lost, SendOutcome::Retry { .. }),
        "an upload sends nothing"
    );
    for kind in [ChannelKind::Twilio, ChannelKind::Msg91] {
        assert!(
            media_api(kind)
                .upload(&account(), &Endpoints::default(), file)
                .unwrap()
                .is_none()
        );
    }
}

#[test]
fn links_of_msg91_get_no_credentials() {
    let media = Media {
        link: Some("https://files.msg91.com/a.jpg".into()),
        ..Media::default()
    };
    let files = media_api(ChannelKind::Msg91);
    let request = download(
        files
            .fetch(&account(), &Endpoints::default(), &media)
            .unwrap(),
    );
    assert!(request.headers.is_empty());
    let there = files
        .redirected(&Endpoints::default(), &request.url, "/b.jpg")
        .unwrap();
    assert_eq!(download(there).url, "https://files.msg91.com/b.jpg");
    assert!(
        files
            .redirected(&Endpoints::default(), &request.url, "http://a.com/")
            .is_err()
    );
    assert!(
        files
            .fetch(&account(), &Endpoints::default(), &by_id("1"))
            .is_err()
    );
}
