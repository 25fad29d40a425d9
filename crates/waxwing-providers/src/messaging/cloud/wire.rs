//! Tolerant reading of JSON: a property of an unexpected kind is absent, it never fails its neighbours.
//!
//! Every level keeps its properties as raw text until somebody asks for them. So a broken item cannot harm others,
//! nesting of any depth is only skipped, and a property that occurs twice counts once (the last one), where derived
//! readers fail (measured, protocols/meta.md 2.7).

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::Value;
use serde_json::value::RawValue;
use waxwing_core::time::Timestamp;

/// The raw text of a property; `None` when it is absent or null.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// Items that are read of one request, and elements of one list. Meta documents 1,000 updates per request.
pub(crate) const ITEMS_MAX: usize = 20_000;

/// An object whose known properties have slots.
pub(crate) trait Fields<'a>: Default {
    /// The slot of a property; `None` for properties that nobody reads.
    fn slot(&mut self, key: &str) -> Option<&mut Raw<'a>>;
}

/// Declares an object by its properties.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($key:literal => $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default, Clone, Copy)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: crate::messaging::cloud::wire::Raw<'a>,)*
        }

        impl<'a> crate::messaging::cloud::wire::Fields<'a> for $name<'a> {
            fn slot(
                &mut self,
                key: &str,
            ) -> Option<&mut crate::messaging::cloud::wire::Raw<'a>> {
                match key {
                    $($key => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use fields;

/// Reads an object; `None` when the text is something else or has a broken part.
pub(crate) fn object<'a, T: Fields<'a>>(raw: &'a RawValue) -> Option<T> {
    if !raw.get().starts_with('{') {
        return None;
    }
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_map(ObjectReader(PhantomData))
        .ok()
}

/// Reads an object; an empty one when the text is something else.
pub(crate) fn object_or_empty<'a, T: Fields<'a>>(raw: Raw<'a>) -> T {
    raw.and_then(object).unwrap_or_default()
}

struct ObjectReader<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectReader<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut fields = T::default();
        while let Some(key) = map.next_key_seed(Key)? {
            match fields.slot(&key) {
                Some(slot) => *slot = map.next_value::<Raw<'de>>()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Reads the name of a property without copying it where possible.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The elements of a list, one more than [`ITEMS_MAX`] at most. An object counts as a list of one; anything else is an
/// empty list.
pub(crate) fn list(raw: Raw<'_>) -> Vec<&RawValue> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    match raw.get().as_bytes().first() {
        Some(b'[') => serde_json::Deserializer::from_str(raw.get())
            .deserialize_seq(ListReader)
            .unwrap_or_default(),
        Some(b'{') => vec![raw],
        _ => Vec::new(),
    }
}

struct ListReader;

impl<'de> Visitor<'de> for ListReader {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() <= ITEMS_MAX {
            match seq.next_element::<&RawValue>()? {
                Some(element) => elements.push(element),
                None => return Ok(elements),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}

/// A text, or a number as text; `None` for everything else and for the empty text, which Meta uses for "absent".
pub(crate) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let source = raw?.get();
    match source.as_bytes().first()? {
        b'"' => {
            let inner = &source[1..source.len() - 1];
            if inner.is_empty() {
                None
            } else if inner.contains('\\') {
                serde_json::from_str(source)
                    .ok()
                    .filter(|text: &String| !text.is_empty())
                    .map(Cow::Owned)
            } else {
                Some(Cow::Borrowed(inner))
            }
        }
        b'0'..=b'9' | b'-' => Some(Cow::Borrowed(source)),
        _ => None,
    }
}

/// A text that is kept.
pub(crate) fn owned(raw: Raw<'_>) -> Option<String> {
    text(raw).map(Cow::into_owned)
}

/// A whole number, also when it comes as text.
pub(crate) fn integer(raw: Raw<'_>) -> Option<i64> {
    text(raw)?.trim().parse().ok()
}

/// A number, also when it comes as text.
pub(crate) fn float(raw: Raw<'_>) -> Option<f64> {
    text(raw)?
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// A truth value, also when it comes as text.
pub(crate) fn flag(raw: Raw<'_>) -> Option<bool> {
    match raw?.get() {
        "true" | "\"true\"" => Some(true),
        "false" | "\"false\"" => Some(false),
        _ => None,
    }
}

/// Any value, for what is only stored and shown; `None` when it is nested too deeply for the reader (128 levels).
pub(crate) fn value(raw: Raw<'_>) -> Option<Value> {
    serde_json::from_str(raw?.get())
        .ok()
        .filter(|value| !matches!(value, Value::Null))
}

/// A moment: seconds since 1970 as text or number. 13 digits are milliseconds (protocols/meta.md 3). Junk is `None`;
/// the time of receipt counts then.
pub(crate) fn moment(raw: Raw<'_>) -> Option<Timestamp> {
    const MILLISECONDS: std::ops::Range<i64> = 100_000_000_000..100_000_000_000_000;
    let number = integer(raw)?;
    if MILLISECONDS.contains(&number) {
        Some(Timestamp::from_micros(number * 1_000))
    } else if (1..MILLISECONDS.start).contains(&number) {
        Some(Timestamp::from_seconds(number))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fields! {
        Sample { "a" => a, "b" => b }
    }

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn sample(text: &str) -> Option<Sample<'_>> {
        object(raw(text))
    }

    #[test]
    fn objects_take_the_last_of_two_and_ignore_strangers() {
        let read = sample(r#"{"a":1,"zz":{"a":[2]},"a":3,"b":null}"#).unwrap();
        assert_eq!(integer(read.a), Some(3));
        assert!(read.b.is_none());
        for other in ["[]", "1", "\"a\"", "true"] {
            assert!(sample(other).is_none(), "{other}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let long = format!("[{}0]", "0,".repeat(ITEMS_MAX + 10));
        assert_eq!(list(Some(raw(&long))).len(), ITEMS_MAX + 1);
        assert_eq!(list(Some(raw("{}"))).len(), 1);
        assert_eq!(list(Some(raw("\"x\""))).len(), 0);
        assert_eq!(list(None).len(), 0);
    }

    #[test]
    fn scalars_come_in_either_form() {
        assert_eq!(text(Some(raw("17"))).as_deref(), Some("17"));
        assert_eq!(text(Some(raw(r#""\u00fc""#))).as_deref(), Some("ü"));
        assert_eq!(text(Some(raw("\"\""))), None);
        assert_eq!(text(Some(raw("[]"))), None);
        assert_eq!(float(Some(raw("\"1.5\""))), Some(1.5));
        assert_eq!(float(Some(raw("1e999"))), None);
        assert_eq!(flag(Some(raw("\"true\""))), Some(true));
    }

    #[test]
    fn moments_are_seconds_or_milliseconds() {
        let cases = [
            ("\"1795219200\"", Some(1_795_219_200_000_000)),
            ("1795219200", Some(1_795_219_200_000_000)),
            ("\"1795219200123\"", Some(1_795_219_200_123_000)),
            ("\"asdf\"", None),
            ("\"\"", None),
            ("0", None),
            ("-5", None),
            ("1.5", None),
            ("99999999999999999999", None),
            ("999999999999999999", None),
        ];
        for (source, expected) in cases {
            assert_eq!(
                moment(Some(raw(source))).map(Timestamp::micros),
                expected,
                "{source}"
            );
        }
    }
}
