//! How input is read: JSON bodies and path parameters.

use std::str::FromStr;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::de::DeserializeOwned;
use waxwing_core::content::Violation;
use waxwing_core::ids::ParseIdError;
use waxwing_core::limits;
use waxwing_core::template::is_key;

use crate::errors::ApiError;
use crate::state::ApiState;

/// A JSON body: 415 for another content type, 413 over [`limits::API_BODY_BYTES`], 400 with line and column for what
/// is not JSON, 422 with the field for JSON that does not fit. Nesting is bounded by the parser (128).
#[derive(Debug, Clone)]
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = read_body(&parts.headers, body, limits::API_BODY_BYTES).await?;
        parse(&bytes).map(Self)
    }
}

fn must_be_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .unwrap_or_default();
    if essence != "application/json" {
        return Err(ApiError::unsupported_type(
            "The body must be application/json.",
        ));
    }
    let encoded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| value != "identity");
    if encoded {
        return Err(ApiError::unsupported_type(
            "The body must not be compressed.",
        ));
    }
    Ok(())
}

/// A body that is too large is read to its end and thrown away up to this size: a caller who is still writing when the
/// connection closes sees a broken pipe and never the 413.
const DISCARDED_MAX: usize = 16 * 1024 * 1024;

async fn discard(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// 413 when it is longer (at once when it says that it is far longer), 400 when it breaks off.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if let Some(length) = announced.filter(|length| *length > limit) {
        if length <= DISCARDED_MAX {
            discard(body).await;
        }
        return Err(ApiError::too_large(limit));
    }
    to_bytes(body, limit).await.map_err(|error| {
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            if inner.is::<LengthLimitError>() {
                return ApiError::too_large(limit);
            }
            source = inner.source();
        }
        ApiError::malformed("The body broke off.")
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // A struct would also be read from a list of its fields.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes)
            .map_err(|error| refuse(".", &error))?;
        return Err(ApiError::invalid_field("body", "must be an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, &error.into_inner())
    })?;
    deserializer.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // The position stands at the end of the text too.
        let reason = text.split(" at line ").next().unwrap_or_default();
        return ApiError::malformed(format!(
            "The body is not JSON: {reason} at line {line}, column {column}."
        ));
    }
    let Violation { field, message } = explain(path, &error.to_string());
    ApiError::invalid_field(field, message)
}

/// What serde says about data that does not fit, as a field and a reason. The given value is left out: it may be a
/// secret that was put into the wrong field.
fn explain(path: &str, text: &str) -> Violation {
    let text = text.split(" at line ").next().unwrap_or_default();
    let path = if path == "." { "" } else { path };
    let join = |name: &str| {
        if path.is_empty() || path == name || path.ends_with(&format!(".{name}")) {
            if path.is_empty() {
                name.to_owned()
            } else {
                path.to_owned()
            }
        } else {
            format!("{path}.{name}")
        }
    };
    let quoted = || text.split('`').nth(1).unwrap_or_default();
    if text.starts_with("missing field") {
        return Violation::new(join(quoted()), "is missing");
    }
    if text.starts_with("unknown field") {
        return Violation::new(join(quoted()), "is not known here");
    }
    if text.starts_with("duplicate field") {
        return Violation::new(join(quoted()), "occurs twice");
    }
    let field = if path.is_empty() { "body" } else { path };
    if let Some((_, expected)) = text.split_once(", expected ") {
        return Violation::new(field, format!("must be {}", plain(expected)));
    }
    Violation::new(field, text)
}

/// What serde expects, in the words of JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "string or map" => "a text",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") || other.starts_with("a map") => "an object",
        other => other,
    }
}

/// The query of the address: 400 with the field for what does not fit.
#[derive(Debug, Clone)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        let Violation { field, message } = explain(&path, &text);
        ApiError::malformed_field(&field, of_a_text(&text).unwrap_or(&message))
    })
}

/// What is wrong with a number or a boolean of a query, where all values are texts.
fn of_a_text(text: &str) -> Option<&'static str> {
    let number = text.ends_with("digit found in string") || text.starts_with("number too ");
    let boolean = text.contains("`true` or `false`");
    match (number, boolean) {
        (true, _) => Some("must be a whole number"),
        (_, true) => Some("must be true or false"),
        _ => None,
    }
}

/// The id under `{id}` of the path. What is no id of the kind gives the same 404 as an unknown one.
#[derive(Debug, Clone, Copy)]
pub struct IdParam<T>(pub T);

impl<T, S> FromRequestParts<S> for IdParam<T>
where
    T: FromStr<Err = ParseIdError>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = param(parts, state, "id").await?;
        text.parse()
            .map(Self)
            .map_err(|error: ParseIdError| ApiError::not_found(error.kind))
    }
}

/// The key under `{key}` of the path. What is no key becomes the empty text, which nothing is called.
#[derive(Debug, Clone)]
pub struct KeyParam(pub String);

impl<S: Send + Sync> FromRequestParts<S> for KeyParam {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = param(parts, state, "key").await?;
        Ok(Self(if is_key(&text) { text } else { String::new() }))
    }
}

async fn param<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, ApiError> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::not_found("resource"))?;
    let value = params
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned());
    // A route without the parameter is a mistake of this program.
    value.ok_or_else(ApiError::internal)
}

/// Tells a field that is absent from one that is null: `None`, `Some(None)`, `Some(Some(value))`. For
/// `#[serde(default, deserialize_with = "nullable")]`.
///
/// # Errors
/// What the deserializer says.
pub fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Outer {
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        First,
        Second,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read into")]
    struct Inner {
        name: String,
        kind: Option<Kind>,
        #[serde(default, deserialize_with = "nullable")]
        note: Option<Option<String>>,
    }

    fn outcome(text: &str) -> (u16, String, String) {
        let error = parse::<Outer>(text.as_bytes()).unwrap_err();
        let detail = error
            .details()
            .first()
            .cloned()
            .unwrap_or_else(|| Violation::new("", ""));
        (error.status().as_u16(), detail.field, detail.message)
    }

    #[test]
    fn errors_name_the_field_and_never_the_value() {
        let cases = [
            (r#"{"list":[{"name":5}]}"#, "list[0].name", "must be a text"),
            (r#"{"list":[{}]}"#, "list[0].name", "is missing"),
            (r#"{"list":[],"odd":1}"#, "odd", "is not known here"),
            (r#"{"list":[],"list":[]}"#, "list", "occurs twice"),
            (
                r#"{"list":[{"name":"a","kind":"third"}]}"#,
                "list[0].kind",
                "must be `first` or `second`",
            ),
            (r#"{"list":"hunter2"}"#, "list", "must be a list"),
            (r#"[]"#, "body", "must be an object"),
            (r#""hunter2""#, "body", "must be an object"),
        ];
        for (text, field, message) in cases {
            assert_eq!(
                outcome(text),
                (422, field.to_owned(), message.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_malformed_with_its_place() {
        for text in [
            "",
            "{",
            "{\"list\":[}",
            "{} {}",
            "\u{feff}{}",
            &"[".repeat(100_000),
        ] {
            let error = parse::<Outer>(text.as_bytes()).unwrap_err();
            assert!(matches!(error.status().as_u16(), 400 | 422), "{error:?}");
        }
        let error = parse::<Outer>(b"{\n  \"list\": [,]}").unwrap_err();
        assert!(
            format!("{error:?}").contains("line 2, column 12"),
            "{error:?}"
        );
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Filter {
        seq: Option<u64>,
        name: Option<String>,
        open: Option<bool>,
    }

    #[test]
    fn queries_are_read_by_name_and_refused_by_field() {
        let filter = parse_query::<Filter>("seq=7&name=a%20b&other=1&flag").unwrap();
        let wanted = Filter {
            seq: Some(7),
            name: Some("a b".to_owned()),
            open: None,
        };
        assert_eq!(filter, wanted);
        let cases = [
            ("seq=-1", "seq", "must be a whole number"),
            ("seq=99999999999999999999", "seq", "must be a whole number"),
            ("open=", "open", "must be true or false"),
            ("open=yes", "open", "must be true or false"),
            ("name=a&name=b", "name", "occurs twice"),
        ];
        for (text, field, message) in cases {
            let error = parse_query::<Filter>(text).unwrap_err();
            let detail = error.details().first().cloned().unwrap();
            assert_eq!(error.status().as_u16(), 400, "{text}");
            assert_eq!(
                (detail.field.as_str(), detail.message.as_str()),
                (field, message)
            );
        }
    }

    #[test]
    fn absent_and_null_differ() {
        let note = |text: &str| parse::<Inner>(text.as_bytes()).unwrap().note;
        assert_eq!(note(r#"{"name":"a"}"#), None);
        assert_eq!(note(r#"{"name":"a","note":null}"#), Some(None));
        assert_eq!(
            note(r#"{"name":"a","note":"b"}"#),
            Some(Some("b".to_owned()))
        );
    }
}
