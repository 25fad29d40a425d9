//! Mends the text of a webhook body, so that no later step meets what JSON readers and databases refuse.

use std::borrow::Cow;

/// A UTF-8 byte order mark; JSON readers fail on it (measured, protocols/meta.md 2.7).
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Makes text of a body: the byte order mark goes, bytes that are no UTF-8 become U+FFFD, and so do halves of
/// surrogate pairs; U+0000 goes. Only escapes are touched, so the structure stays as it was.
pub(crate) fn readable(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(MARK).unwrap_or(body);
    match std::str::from_utf8(body) {
        Ok(text) => mend(text),
        Err(_) => {
            let text = String::from_utf8_lossy(body).into_owned();
            let mended = match mend(&text) {
                Cow::Owned(mended) => Some(mended),
                Cow::Borrowed(_) => None,
            };
            Cow::Owned(mended.unwrap_or(text))
        }
    }
}

/// Replaces escapes of lone surrogates by U+FFFD and removes escapes of U+0000. Borrows when nothing is wrong.
///
/// A lone surrogate fails a JSON reader for the whole text; U+0000 is refused later by PostgreSQL (protocols/meta.md
/// 2.7).
pub(crate) fn mend(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(slash) = next_backslash(bytes, at) {
        if bytes.get(slash + 1) != Some(&b'u') {
            at = slash + 2;
            continue;
        }
        let replacement = match unit(bytes, slash) {
            Some(0) => "",
            Some(0xd800..=0xdbff) => match unit(bytes, slash + 6) {
                Some(0xdc00..=0xdfff) => {
                    at = slash + 12;
                    continue;
                }
                _ => "\\ufffd",
            },
            Some(0xdc00..=0xdfff) => "\\ufffd",
            _ => {
                at = slash + 2;
                continue;
            }
        };
        mended.push_str(&text[copied..slash]);
        mended.push_str(replacement);
        copied = slash + 6;
        at = copied;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

fn next_backslash(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter()
        .position(|byte| *byte == b'\\')
        .map(|found| from + found)
}

/// The UTF-16 unit of the escape `\uXXXX` that starts at `slash`; `None` when there is none.
fn unit(bytes: &[u8], slash: usize) -> Option<u32> {
    let escape = bytes.get(slash..slash + 6)?;
    if &escape[..2] != b"\\u" {
        return None;
    }
    escape[2..].iter().try_fold(0, |unit, byte| {
        char::from(*byte)
            .to_digit(16)
            .map(|digit| unit * 16 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mends_only_what_is_wrong() {
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (
                r#""\u00fcber \/ \\u0000 \n""#,
                r#""\u00fcber \/ \\u0000 \n""#,
            ),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00\uD83D""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""a\u0000b\u0000""#, r#""ab""#),
            (r#""\ud83d\u0000\ude00""#, r#""\ufffd\ufffd""#),
            (r#""\\\u0000""#, r#""\\""#),
            (r#""\u12"#, r#""\u12"#),
            ("\\", "\\"),
            ("\\u", "\\u"),
            ("ü\\u0000ü", "üü"),
        ];
        for (text, expected) in cases {
            assert_eq!(mend(text), expected, "{text}");
        }
        assert!(matches!(mend(r#""\ud83d\ude00""#), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_lose_the_rest() {
        assert_eq!(readable(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(readable(b"\"caf\xe9\""), "\"caf\u{fffd}\"");
        assert_eq!(readable(b"\"\xff\\u0000\\ud83d\""), "\"\u{fffd}\\ufffd\"");
    }
}
