//! Takes what could name a person or open a door out of a provider's words, before they reach logs and the API.

/// Digits of the longest number that stays: error codes have six.
const DIGITS_MAX: usize = 6;
/// Characters of the longest word with digits in it that stays. Message ids and access tokens are longer.
const WORD_MAX: usize = 20;
/// Characters of the longest message that stays.
const LENGTH_MAX: usize = 500;

/// The text without phone numbers, long ids and tokens, cut to a readable length.
pub(crate) fn scrub(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(LENGTH_MAX));
    let mut rest = text;
    let mut length = 0;
    while let Some(first) = rest.chars().next() {
        if length >= LENGTH_MAX {
            clean.push('…');
            break;
        }
        let number = number_length(rest);
        let word = word_length(rest);
        if number > 0 || word > 0 {
            clean.push('…');
            length += 1;
            rest = &rest[number.max(word)..];
            continue;
        }
        // A word that stays is taken whole, so that its tail is not looked at as a word of its own.
        let taken = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (kept, tail) = rest.split_at(taken);
        for c in kept.chars().take(LENGTH_MAX - length) {
            clean.push(if c.is_control() { ' ' } else { c });
            length += 1;
        }
        rest = tail;
    }
    clean
}

/// The bytes of a number with more than [`DIGITS_MAX`] digits at the start of `text`, however it is grouped.
fn number_length(text: &str) -> usize {
    let mut digits = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if c.is_numeric() {
            digits += 1;
            end = at + c.len_utf8();
        } else if !(digits == 0 && c == '+' && at == 0
            || digits > 0 && matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}'))
        {
            break;
        }
    }
    if digits > DIGITS_MAX { end } else { 0 }
}

/// The bytes of a long word with digits in it at the start of `text`: a message id, a token, a user id.
fn word_length(text: &str) -> usize {
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let word = &text[..end];
    let digits = word.chars().filter(|c| c.is_numeric()).count();
    let long = word.chars().count() > WORD_MAX && digits > 0;
    if long || digits > DIGITS_MAX { end } else { 0 }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '=' | '+' | '.' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ids_and_tokens_go() {
        let cases = [
            (
                "(#131047) Re-engagement message",
                "(#131047) Re-engagement message",
            ),
            (
                "body: number (1) does not match (2)",
                "body: number (1) does not match (2)",
            ),
            (
                "mismatching recipient_identity_key_hash.",
                "mismatching recipient_identity_key_hash.",
            ),
            (
                "text.body exceeds 4096 characters",
                "text.body exceeds 4096 characters",
            ),
            ("number 16505551234 is wrong", "number … is wrong"),
            ("number +1 (650) 555-1234 is wrong", "number … is wrong"),
            (
                "Object with ID '106540352242922' does",
                "Object with ID '…' does",
            ),
            ("user US.13491208655302741918!", "user …!"),
            ("id wamid.HBgLMTY1MDU1NTEyMzQVAgARGBJF== gone", "id … gone"),
            (
                "Malformed access token madeUpTokenWith1Digit0f2",
                "Malformed access token …",
            ),
            ("number ١٦٥٠٥٥٥١٢٣٤", "number …"),
            ("forged\nline", "forged line"),
        ];
        for (text, expected) in cases {
            assert_eq!(scrub(text), expected, "{text}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let text = scrub(&"word ".repeat(1_000));
        assert_eq!(text.chars().count(), LENGTH_MAX + 1);
        assert_eq!(scrub(&"x".repeat(10_000)).chars().count(), LENGTH_MAX);
    }
}
