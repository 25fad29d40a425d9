//! Embedded Signup: a business gives the platform's app access to its account in a window of Meta's, and the browser
//! brings a code (protocols/meta.md 16). Here: what the server asks Meta for then.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use serde_json::value::RawValue;
use waxwing_core::errors::ProviderError;
use waxwing_core::secret::Secret;

use super::request::{Caller, read_answer, unreadable};
use crate::http::{HttpOutcome, HttpRequest};
use crate::messaging::adapter::{Account, BuildError, Endpoints};
use crate::messaging::call;
use crate::messaging::cloud::outcome;
use crate::messaging::cloud::wire::{self, fields};

/// Numbers of an account that are looked at.
const NUMBERS_MAX: usize = 100;
/// The longest token that is taken: ten times what Meta's are.
const TOKEN_MAX: usize = 4_096;

/// A number of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignupNumber {
    /// Meta's id.
    pub id: String,
    /// As people write it.
    pub display_phone_number: Option<String>,
    /// The name that people see.
    pub verified_name: Option<String>,
}

/// Asks for a token in exchange for the code, which lives thirty seconds and works once. Meta takes both secrets in the
/// query only, so this request is never logged.
///
/// # Errors
/// A [`BuildError`] when the app's settings are not usable.
pub fn build_exchange(
    endpoints: &Endpoints,
    app_id: &str,
    app_secret: &Secret,
    code: &Secret,
) -> Result<HttpRequest, BuildError> {
    if !call::is_path_part(&endpoints.graph_version) {
        return Err(BuildError::Channel("API version"));
    }
    let base = call::base_url(&endpoints.graph_url, "Graph URL")?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", app_id)
        .append_pair("client_secret", app_secret.expose())
        .append_pair("code", code.expose())
        .finish();
    Ok(HttpRequest {
        method: Method::GET,
        url: format!(
            "{base}/{}/oauth/access_token?{query}",
            endpoints.graph_version
        ),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    })
}

fields! {
    /// A token, or an error.
    TokenWire { "error" => error, "access_token" => access_token }
}

/// The token of the business: it reaches what the business shared, and does not expire by itself.
///
/// # Errors
/// What Meta says.
pub fn interpret_exchange(answer: &HttpOutcome) -> Result<Secret, ProviderError> {
    let (status, body) = read_answer(answer)?;
    let token: TokenWire<'_> = object(&body);
    if let Some(error) = outcome::graph_error(status, token.error) {
        return Err(error);
    }
    wire::owned(token.access_token)
        .filter(|token| status == 200 && !token.is_empty() && token.len() <= TOKEN_MAX)
        .map(Secret::new)
        .ok_or_else(|| unreadable(status))
}

/// Asks for the numbers of the account.
///
/// # Errors
/// A [`BuildError`] when the account is not usable.
pub fn build_numbers(account: &Account, endpoints: &Endpoints) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let rest =
        format!("/phone_numbers?fields=id,display_phone_number,verified_name&limit={NUMBERS_MAX}");
    Ok(HttpRequest {
        method: Method::GET,
        url: caller.object_url(waba(account)?, "account id", &rest)?,
        headers: caller.headers()?,
        body: Bytes::new(),
    })
}

fields! {
    /// A list of numbers, or an error.
    NumbersWire { "error" => error, "data" => data }
}

fields! {
    /// A number.
    NumberWire {
        "id" => id,
        "display_phone_number" => display_phone_number,
        "verified_name" => verified_name,
    }
}

/// The numbers of the account.
///
/// # Errors
/// What Meta says.
pub fn interpret_numbers(answer: &HttpOutcome) -> Result<Vec<SignupNumber>, ProviderError> {
    let (status, body) = read_answer(answer)?;
    let numbers: NumbersWire<'_> = object(&body);
    if let Some(error) = outcome::graph_error(status, numbers.error) {
        return Err(error);
    }
    if status != 200 || numbers.data.is_none() {
        return Err(unreadable(status));
    }
    let read = |raw| {
        let number: NumberWire<'_> = wire::object(raw)?;
        Some(SignupNumber {
            id: wire::owned(number.id)?,
            display_phone_number: wire::owned(number.display_phone_number),
            verified_name: wire::owned(number.verified_name),
        })
    };
    Ok(wire::list(numbers.data)
        .into_iter()
        .take(NUMBERS_MAX)
        .filter_map(read)
        .collect())
}

/// Subscribes the app to the account: before that Meta delivers no webhooks of it.
///
/// # Errors
/// A [`BuildError`] when the account is not usable.
pub fn build_subscribe(
    account: &Account,
    endpoints: &Endpoints,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    Ok(HttpRequest {
        method: Method::POST,
        url: caller.object_url(waba(account)?, "account id", "/subscribed_apps")?,
        headers: caller.headers()?,
        body: Bytes::new(),
    })
}

/// Registers the number for the Cloud API. The PIN becomes its second factor at WhatsApp, or has to be the one that it
/// has; ten tries in 72 hours (code 133016).
///
/// # Errors
/// A [`BuildError`] when the channel is not usable.
pub fn build_register(
    account: &Account,
    endpoints: &Endpoints,
    pin: &Secret,
) -> Result<HttpRequest, BuildError> {
    let caller = Caller::new(account, endpoints)?;
    let mut headers = caller.headers()?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = json!({ "messaging_product": "whatsapp", "pin": pin.expose() });
    Ok(HttpRequest {
        method: Method::POST,
        url: caller.object_url(&account.sender_id, "phone number id", "/register")?,
        headers,
        body: Bytes::from(body.to_string()),
    })
}

fields! {
    /// That it is done, or an error.
    DoneWire { "error" => error, "success" => success }
}

/// Whether it was done.
///
/// # Errors
/// What Meta says.
pub fn interpret_done(answer: &HttpOutcome) -> Result<(), ProviderError> {
    let (status, body) = read_answer(answer)?;
    let done: DoneWire<'_> = object(&body);
    if let Some(error) = outcome::graph_error(status, done.error) {
        return Err(error);
    }
    let said = done.success.is_some_and(|raw| raw.get() == "true");
    if status == 200 && said {
        Ok(())
    } else {
        Err(unreadable(status))
    }
}

fn waba(account: &Account) -> Result<&str, BuildError> {
    let id = account.account_id.as_deref();
    id.ok_or(BuildError::Channel("account id"))
}

fn object<'a, T: wire::Fields<'a>>(body: &'a str) -> T {
    serde_json::from_str::<&RawValue>(body)
        .ok()
        .and_then(wire::object::<T>)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use waxwing_core::channel::{Credentials, credential};

    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/fixtures/signup/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn answer(value: &Value) -> HttpOutcome {
        HttpOutcome::Response {
            status: u16::try_from(value["status"].as_u64().unwrap()).unwrap(),
            headers: HeaderMap::new(),
            body: value["body"].to_string().into(),
        }
    }

    fn path(request: &HttpRequest) -> &str {
        request
            .url
            .strip_prefix("https://graph.facebook.com")
            .unwrap()
    }

    fn account() -> Account {
        let token = Secret::new("EAAJB-test-token");
        Account {
            sender_id: "106540352242922".to_owned(),
            account_id: Some("102290129340398".to_owned()),
            credentials: Credentials::new().with(credential::ACCESS_TOKEN, token),
        }
    }

    #[test]
    fn a_code_becomes_a_token() {
        let known = fixture("embedded-signup-token-exchange");
        let request = build_exchange(
            &Endpoints::default(),
            "236484624622562",
            &Secret::new("614fc2afde15eee07a26b2fe3eaee9b9"),
            &Secret::new("AQBhlXsctMxJYbwbrpyb"),
        )
        .unwrap();
        assert_eq!(path(&request), known["request"]["path"].as_str().unwrap());
        assert!(
            !format!("{request:?}").contains("614fc2af"),
            "it shows the secret"
        );
        let token = interpret_exchange(&answer(&known["response"])).unwrap();
        assert_eq!(token.expose(), "EAAAN6tcBzAUBOwtDtTf");
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"access_token":""}"#),
            (200, "<html>"),
            (500, ""),
            (
                400,
                r#"{"error":{"code":100,"message":"This authorization code has expired.","type":"OAuthException"}}"#,
            ),
        ] {
            let answer = HttpOutcome::Response {
                status,
                headers: HeaderMap::new(),
                body: body.into(),
            };
            assert!(interpret_exchange(&answer).is_err(), "{body}");
        }
    }

    #[test]
    fn a_number_is_registered_and_its_account_subscribed() {
        for (name, request) in [
            (
                "phone-number-register",
                build_register(&account(), &Endpoints::default(), &Secret::new("123456")),
            ),
            (
                "subscribed-apps-subscribe",
                build_subscribe(&account(), &Endpoints::default()),
            ),
        ] {
            let known = fixture(name);
            let request = request.unwrap();
            assert_eq!(request.method, Method::POST);
            assert_eq!(
                path(&request),
                known["request"]["path"].as_str().unwrap(),
                "{name}"
            );
            if known["request"]["body"].is_object() {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                assert_eq!(
                    body["messaging_product"],
                    known["request"]["body"]["messaging_product"]
                );
                assert!(body["pin"].as_str().is_some_and(|pin| pin.len() == 6));
            }
            interpret_done(&answer(&known["response"])).unwrap();
        }
    }

    #[test]
    fn the_numbers_of_an_account_are_read() {
        let known = fixture("phone-numbers-list");
        let request = build_numbers(&account(), &Endpoints::default()).unwrap();
        assert!(path(&request).starts_with("/v25.0/102290129340398/phone_numbers?"));
        let numbers = interpret_numbers(&answer(&known["response"])).unwrap();
        let data = known["response"]["body"]["data"].as_array().unwrap();
        assert_eq!(numbers.len(), data.len());
        assert_eq!(numbers[0].id, data[0]["id"].as_str().unwrap());
        let none = HttpOutcome::Lost("it broke off".to_owned());
        assert!(interpret_numbers(&none).is_err() && interpret_done(&none).is_err());
    }
}
