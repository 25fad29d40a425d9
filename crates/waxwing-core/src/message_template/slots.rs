//! Variables in texts: `{{1}}` or `{{name}}`.

/// A variable in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot<'a> {
    /// What stands between the braces, without blanks around it.
    pub name: &'a str,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
}

impl Slot<'_> {
    /// Its number, for positional variables.
    #[must_use]
    pub fn number(&self) -> Option<usize> {
        let digits = !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.name.parse().ok()).flatten()
    }
}

/// The variables of a text in their order, each time that they occur.
#[must_use]
pub fn slots(text: &str) -> Vec<Slot<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find("{{").map(|at| from + at) {
        let Some(close) = text[open + 2..].find("}}").map(|at| open + 2 + at) else {
            break;
        };
        // Of `{{a {{b}}` only the last is one.
        let open = text[open..close]
            .rfind("{{")
            .map_or(open, |inner| open + inner);
        found.push(Slot {
            name: text[open + 2..close].trim(),
            start: open,
            end: close + 2,
        });
        from = close + 2;
    }
    found
}

/// The names of the variables of a text, each once, in their order.
#[must_use]
pub fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for slot in slots(text) {
        if !names.contains(&slot.name) {
            names.push(slot.name);
        }
    }
    names
}

/// The text with the variables replaced; those without a value stay.
#[must_use]
pub fn fill<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for slot in slots(text) {
        filled.push_str(&text[from..slot.start]);
        filled.push_str(value(slot.name).unwrap_or(&text[slot.start..slot.end]));
        from = slot.end;
    }
    filled.push_str(&text[from..]);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_whatever_surrounds_them() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("no {braces} here", &[]),
            ("Hi {{1}}, your {{ 2 }} and {{1}}", &["1", "2"]),
            ("{{first_name}}{{", &["first_name"]),
            ("{{a {{b}} c}}", &["b"]),
            ("{{ü}} {{}}", &["ü", ""]),
            ("{{{1}}}", &["1"]),
        ];
        for (text, expected) in cases {
            assert_eq!(names(text), expected, "{text}");
        }
        assert_eq!(slots("{{12}}")[0].number(), Some(12));
        assert_eq!(slots("{{a}}")[0].number(), None);
    }

    #[test]
    fn values_take_their_places() {
        let value = |name: &str| (name == "1").then_some("Ada");
        assert_eq!(fill("Hi {{1}}, {{2}} {{1}}!", value), "Hi Ada, {{2}} Ada!");
    }
}
