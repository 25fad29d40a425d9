//! Reading of `.env`: lines of `NAME=value`.
//!
//! `#` begins a comment at the start of a line or after a blank. A value may stand in single quotes (as it is) or in
//! double quotes (with `\n`, `\t`, `\"`, `\\` and `\$`). `export` before the name is allowed. Nothing is substituted.

/// The pairs of a file, in order.
///
/// # Errors
/// The number of the first line that cannot be read and what is wrong with it, without the line itself: it may hold a
/// secret.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            pair(line).map_err(|problem| format!("line {}: {problem}", number + 1))?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(format!("line {}: {name} is there twice", number + 1));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn pair(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once('=').ok_or("expected NAME=value")?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !is_name {
        return Err("expected a name of letters, digits and _ before =");
    }
    Ok((name.to_owned(), unquote(value.trim())?))
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let (text, rest) = match value.chars().next() {
        Some('\'') => {
            let (text, rest) = value[1..]
                .split_once('\'')
                .ok_or("the closing ' is missing")?;
            (text.to_owned(), rest)
        }
        Some('"') => double_quoted(&value[1..])?,
        _ => {
            let end = value
                .char_indices()
                .find(|(at, c)| *c == '#' && (*at == 0 || value[..*at].ends_with([' ', '\t'])))
                .map_or(value.len(), |(at, _)| at);
            return Ok(value[..end].trim_end().to_owned());
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(text)
    } else {
        Err("there is something after the closing quote")
    }
}

fn double_quoted(value: &str) -> Result<(String, &str), &'static str> {
    let mut text = String::new();
    let mut characters = value.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((text, &value[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => text.push(c),
                _ => return Err(r#"\ must be followed by n, t, ", \ or $"#),
            },
            other => text.push(other),
        }
    }
    Err(r#"the closing " is missing"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        let cases = [
            ("A=1", "1"),
            ("A = 1 ", "1"),
            ("export A=1", "1"),
            ("A=", ""),
            ("A=#", ""),
            ("A=a#b", "a#b"),
            ("A=a b # c", "a b"),
            ("A=x=y", "x=y"),
            ("A='a # $b\\n'", "a # $b\\n"),
            ("A='a' # c", "a"),
            (r#"A="a \"b\" \\ \$ \n" # c"#, "a \"b\" \\ $ \n"),
            ("\u{feff}A=1", "1"),
            ("# c\n\n  A=1\r\n", "1"),
        ];
        for (text, value) in cases {
            assert_eq!(
                parse(text),
                Ok(vec![("A".to_owned(), value.to_owned())]),
                "{text}"
            );
        }
        assert_eq!(parse("# nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_and_never_quoted() {
        let cases = [
            ("hunter2", "line 1: expected NAME=value"),
            (
                "A=1\n=hunter2",
                "line 2: expected a name of letters, digits and _ before =",
            ),
            (
                "A-B=hunter2",
                "line 1: expected a name of letters, digits and _ before =",
            ),
            ("A='hunter2", "line 1: the closing ' is missing"),
            ("A=\"hunter2", "line 1: the closing \" is missing"),
            (
                "A=\"hunter2\" x",
                "line 1: there is something after the closing quote",
            ),
            (
                "A=\"\\x\"",
                "line 1: \\ must be followed by n, t, \", \\ or $",
            ),
            ("A=hunter2\nA=2", "line 2: A is there twice"),
        ];
        for (text, problem) in cases {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
    }
}
