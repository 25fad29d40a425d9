//! Values that go into statements.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::error::StoreError;

/// A parameter of a statement. The set is closed: what is not here has no portable form in both engines.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// An integer; also times (microseconds) and amounts.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value (0 or 1 in SQLite).
    Bool(bool),
    /// Text. U+0000, which PostgreSQL cannot hold, is left out on both engines.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID (16 bytes in SQLite).
    Uuid(Uuid),
    /// A JSON document as text. Escaped U+0000 and lone surrogates, which PostgreSQL refuses, become U+FFFD.
    Json(String),
}

impl Value {
    /// The JSON form of `value`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Driver`] when the value has no JSON form, such as a map with keys that are not text.
    pub fn json(value: &impl Serialize) -> Result<Self, StoreError> {
        serde_json::to_string(value)
            .map(Self::Json)
            .map_err(|_| StoreError::Driver("a value without a JSON form".to_owned()))
    }

    /// What kind of value this is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
        }
    }
}

/// The kind only: parameters hold phone numbers and secrets.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// Text without U+0000.
pub(crate) fn clean_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// A JSON text without `\u0000` and without lone surrogates.
pub(crate) fn clean_json(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match code_unit(rest) {
            Some(0) => {
                out.push_str("\\ufffd");
                6
            }
            Some(0xD800..=0xDBFF) if matches!(code_unit(&rest[6..]), Some(0xDC00..=0xDFFF)) => {
                out.push_str(&rest[..12]);
                12
            }
            Some(0xD800..=0xDFFF) => {
                out.push_str("\\ufffd");
                6
            }
            Some(_) => {
                out.push_str(&rest[..6]);
                6
            }
            None => {
                // A short escape such as `\n` or `\\`; its second character is never the start of another escape.
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The code unit of a `\uXXXX` escape at the start of the text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

macro_rules! from_value {
    ($($type:ty => $variant:ident($value:ident) $expr:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::$variant($expr)
            }
        }
    )*};
}

from_value! {
    i64 => Int(v) v,
    i32 => Int(v) i64::from(v),
    i16 => Int(v) i64::from(v),
    u32 => Int(v) i64::from(v),
    u16 => Int(v) i64::from(v),
    u8 => Int(v) i64::from(v),
    f64 => Float(v) v,
    bool => Bool(v) v,
    &str => Text(v) v.to_owned(),
    String => Text(v) v,
    &String => Text(v) v.clone(),
    Cow<'_, str> => Text(v) v.into_owned(),
    Vec<u8> => Bytes(v) v,
    &Vec<u8> => Bytes(v) v.clone(),
    &[u8] => Bytes(v) v.to_vec(),
    Uuid => Uuid(v) v,
    serde_json::Value => Json(v) v.to_string(),
    &serde_json::Value => Json(v) v.to_string(),
    &serde_json::value::RawValue => Json(v) v.get().to_owned(),
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement: `&params![tenant, id, name]`. Each becomes a [`Value`] by `From`.
#[macro_export]
macro_rules! params {
    () => { [] as [$crate::Value; 0] };
    ($($value:expr),+ $(,)?) => { [$($crate::Value::from($value)),+] };
}
