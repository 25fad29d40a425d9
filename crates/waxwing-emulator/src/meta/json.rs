//! JSON as Meta writes it: non-ASCII as lower-case `\uXXXX` (surrogate pairs above the basic plane), slashes as `\/`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

struct Escaped;

const HEX: &[u8; 16] = b"0123456789abcdef";

fn unit(out: &mut impl Write, unit: u16) -> io::Result<()> {
    let nibble = |shift: u16| HEX[usize::from((unit >> shift) & 15)];
    out.write_all(&[b'\\', b'u', nibble(12), nibble(8), nibble(4), nibble(0)])
}

impl Formatter for Escaped {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        mut out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte != b'/' && byte < 0x80 {
                at += 1;
                continue;
            }
            out.write_all(&bytes[start..at])?;
            if byte == b'/' {
                out.write_all(b"\\/")?;
                at += 1;
            } else {
                // `at` is always on a character boundary: single bytes and whole characters are skipped.
                let Some(ch) = fragment[at..].chars().next() else {
                    break;
                };
                for code in ch.encode_utf16(&mut [0; 2]) {
                    unit(&mut out, *code)?;
                }
                at += ch.len_utf8();
            }
            start = at;
        }
        out.write_all(&bytes[start..])
    }

    // Raw values would pass unescaped, so they are not used in webhooks.
}

/// Serialises a webhook body.
pub(crate) fn escaped(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut serializer = Serializer::with_formatter(&mut out, Escaped);
    match value.serialize(&mut serializer) {
        Ok(()) => out,
        // Writing to memory does not fail, and our types have string keys only.
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::escaped;

    #[test]
    fn escapes_as_meta_does() {
        let text = |value: Value| String::from_utf8(escaped(&value)).unwrap();
        assert_eq!(
            text(json!("Grüße 😀 a/b")),
            r#""Gr\u00fc\u00dfe \ud83d\ude00 a\/b""#
        );
        assert_eq!(
            text(json!("\u{7f}\n\u{1}\"\\")),
            "\"\u{7f}\\n\\u0001\\\"\\\\\""
        );
        assert_eq!(
            text(json!({"ключ/": "/"})),
            r#"{"\u043a\u043b\u044e\u0447\/":"\/"}"#
        );
    }

    #[test]
    fn reproduces_the_documented_body() {
        let body =
            include_str!("../../fixtures/inbound/message-text-escaped-unicode-and-slashes.json")
                .trim_end();
        let value: Value = serde_json::from_str(body).unwrap();
        let ours = String::from_utf8(escaped(&value)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&ours).unwrap(), value);
        assert!(
            body.contains(r"Gr\u00fc\u00dfe \ud83d\ude00 a\/b")
                && ours.contains(r"Gr\u00fc\u00dfe \ud83d\ude00 a\/b")
        );
    }
}
