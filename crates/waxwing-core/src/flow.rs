//! Flow rules: what a text triggers.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::content::Violation;
use crate::limits;
use crate::template::is_key;

/// The rules of a tenant, in order; the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowSet {
    /// The rules.
    #[serde(default)]
    pub flows: Vec<Rule>,
    /// The template that answers when nothing matches.
    #[serde(default)]
    pub fallback_template_key: Option<String>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, unique in the set; shown when a message is explained.
    pub id: String,
    /// When it applies.
    #[serde(rename = "match")]
    pub matcher: Matcher,
    /// What it does.
    pub action: Action,
}

/// When a rule applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// How values are compared.
    #[serde(rename = "type")]
    pub kind: MatchKind,
    /// Any of these.
    pub values: Vec<String>,
    /// Only while the conversation is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// How a rule's values are compared with the text. Case and surrounding blanks do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchKind {
    /// The value occurs in the text.
    Contains,
    /// The text is the value.
    Equals,
    /// The text matches the regular expression (linear time, no look-around).
    Regex,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// Answers with a template and may set the state.
    SendTemplate {
        /// The template.
        #[serde(rename = "templateKey")]
        template_key: String,
        /// The new state.
        #[serde(default, rename = "setState", skip_serializing_if = "Option::is_none")]
        set_state: Option<String>,
    },
}

impl FlowSet {
    /// What is wrong with the set: field and reason. Empty when it can be stored.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.flows.len() > limits::FLOW_RULES {
            found.push(Violation::new(
                "flows",
                format!("has more than {} rules", limits::FLOW_RULES),
            ));
        }
        if self
            .fallback_template_key
            .as_ref()
            .is_some_and(|key| !is_key(key))
        {
            found.push(Violation::new(
                "fallbackTemplateKey",
                "is not a template key",
            ));
        }
        for (index, rule) in self.flows.iter().enumerate() {
            let path = format!("flows[{index}]");
            if !is_key(&rule.id) {
                let text = format!(
                    "must be 1 to {} letters, digits, dots, dashes and underscores",
                    limits::KEY
                );
                found.push(Violation::new(format!("{path}.id"), text));
            }
            if self.flows[..index]
                .iter()
                .any(|earlier| earlier.id == rule.id)
            {
                found.push(Violation::new(format!("{path}.id"), "occurs twice"));
            }
            rule.matcher.check(&mut found, &format!("{path}.match"));
            let Action::SendTemplate {
                template_key,
                set_state,
            } = &rule.action;
            if !is_key(template_key) {
                found.push(Violation::new(
                    format!("{path}.action.templateKey"),
                    "is not a template key",
                ));
            }
            if set_state.as_ref().is_some_and(|state| !is_key(state)) {
                found.push(Violation::new(
                    format!("{path}.action.setState"),
                    "is not a state",
                ));
            }
        }
        found
    }

    /// The template keys that the set names, with the field that names each.
    #[must_use]
    pub fn template_keys(&self) -> Vec<(String, &str)> {
        let fallback = self
            .fallback_template_key
            .as_deref()
            .map(|key| ("fallbackTemplateKey".to_owned(), key));
        let rules = self.flows.iter().enumerate().map(|(index, rule)| {
            let Action::SendTemplate { template_key, .. } = &rule.action;
            (
                format!("flows[{index}].action.templateKey"),
                template_key.as_str(),
            )
        });
        fallback.into_iter().chain(rules).collect()
    }
}

impl Matcher {
    fn check(&self, found: &mut Vec<Violation>, path: &str) {
        if self.values.is_empty() || self.values.len() > limits::RULE_VALUES {
            found.push(Violation::new(
                format!("{path}.values"),
                format!("must be 1 to {}", limits::RULE_VALUES),
            ));
        }
        for (index, value) in self.values.iter().enumerate() {
            let field = format!("{path}.values[{index}]");
            if value.trim().is_empty() {
                found.push(Violation::new(field, "must not be empty"));
            } else if self.kind == MatchKind::Regex {
                if let Err(error) = compile(value) {
                    found.push(Violation::new(field, error));
                }
            } else if value.chars().count() > limits::RULE_VALUE {
                found.push(Violation::new(
                    field,
                    format!("is longer than {} characters", limits::RULE_VALUE),
                ));
            }
        }
        if self.state.as_ref().is_some_and(|state| !is_key(state)) {
            found.push(Violation::new(format!("{path}.state"), "is not a state"));
        }
    }
}

/// A rule set that is ready to match: values folded, expressions compiled.
#[derive(Debug, Default)]
pub struct CompiledFlowSet {
    rules: Vec<(Rule, Test)>,
    /// The template that answers when nothing matches.
    pub fallback_template_key: Option<String>,
}

#[derive(Debug)]
enum Test {
    Contains(Vec<String>),
    Equals(Vec<String>),
    Regex(Vec<Regex>),
}

impl CompiledFlowSet {
    /// Prepares a set. Expressions that do not compile never match; [`FlowSet::violations`] refuses them before they
    /// are stored.
    #[must_use]
    pub fn new(set: &FlowSet) -> Self {
        let rules = set.flows.iter().map(|rule| {
            let folded = || {
                rule.matcher
                    .values
                    .iter()
                    .map(|value| fold(value))
                    .collect()
            };
            let test = match rule.matcher.kind {
                MatchKind::Contains => Test::Contains(folded()),
                MatchKind::Equals => Test::Equals(folded()),
                MatchKind::Regex => Test::Regex(
                    rule.matcher
                        .values
                        .iter()
                        .filter_map(|value| compile(value).ok())
                        .collect(),
                ),
            };
            (rule.clone(), test)
        });
        Self {
            rules: rules.collect(),
            fallback_template_key: set.fallback_template_key.clone(),
        }
    }

    /// The first rule that the text triggers in this state. Only the first [`limits::MATCHED_TEXT_BYTES`] count.
    #[must_use]
    pub fn first_match(&self, text: &str, state: Option<&str>) -> Option<&Rule> {
        let text = prefix(text, limits::MATCHED_TEXT_BYTES);
        let folded = fold(text);
        let matches = |test: &Test| match test {
            Test::Contains(values) => values.iter().any(|value| folded.contains(value.as_str())),
            Test::Equals(values) => values.contains(&folded),
            Test::Regex(expressions) => expressions
                .iter()
                .any(|expression| expression.is_match(text.trim())),
        };
        self.rules
            .iter()
            .filter(|(rule, _)| {
                rule.matcher
                    .state
                    .as_deref()
                    .is_none_or(|wanted| Some(wanted) == state)
            })
            .find(|(_, test)| matches(test))
            .map(|(rule, _)| rule)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > limits::REGEX_BYTES {
        return Err(format!("is longer than {} bytes", limits::REGEX_BYTES));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(limits::REGEX_COMPILED_BYTES)
        .dfa_size_limit(limits::REGEX_COMPILED_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large when compiled".to_owned(),
            other => format!(
                "is not a regular expression: {}",
                other.to_string().lines().last().unwrap_or_default()
            ),
        })
}

fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}

fn prefix(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(id: &str, kind: MatchKind, value: &str, state: Option<&str>) -> Rule {
        Rule {
            id: id.into(),
            matcher: Matcher {
                kind,
                values: vec![value.into()],
                state: state.map(Into::into),
            },
            action: Action::SendTemplate {
                template_key: id.into(),
                set_state: None,
            },
        }
    }

    #[test]
    fn first_match_wins_and_state_restricts() {
        let set = FlowSet {
            flows: vec![
                rule("in_state", MatchKind::Contains, "yes", Some("asked")),
                rule("hello", MatchKind::Equals, "Hi", None),
                rule("balance", MatchKind::Contains, "Balance", None),
                rule("number", MatchKind::Regex, r"^\d{4}$", None),
            ],
            fallback_template_key: Some("menu".into()),
        };
        assert_eq!(set.violations(), []);
        let compiled = CompiledFlowSet::new(&set);
        let cases = [
            (" HI ", None, Some("hello")),
            ("hi there", None, None),
            ("my balance please", None, Some("balance")),
            ("1234", None, Some("number")),
            ("12345", None, None),
            ("yes", None, None),
            ("yes", Some("asked"), Some("in_state")),
            ("GUTEN TAG ÄÖ", None, None),
        ];
        for (text, state, expected) in cases {
            assert_eq!(
                compiled
                    .first_match(text, state)
                    .map(|rule| rule.id.as_str()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn bad_sets_are_refused_with_the_field() {
        let set = FlowSet {
            flows: vec![
                rule("a", MatchKind::Regex, "(", None),
                rule("a", MatchKind::Equals, " ", None),
                rule("c", MatchKind::Regex, "(?:(?:(?:a{100}){100}){100})", None),
            ],
            fallback_template_key: Some("not a key".into()),
        };
        let fields: Vec<String> = set
            .violations()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        for field in [
            "flows[0].match.values[0]",
            "flows[1].id",
            "flows[1].match.values[0]",
            "flows[2].match.values[0]",
            "fallbackTemplateKey",
        ] {
            assert!(
                fields.iter().any(|found| found == field),
                "{field} in {fields:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn matching_never_panics(text in "\\PC{0,6000}", value in "\\PC{1,30}") {
            let set = FlowSet {
                flows: vec![
                    rule("a", MatchKind::Contains, &value, None),
                    rule("b", MatchKind::Regex, &value, None),
                ],
                fallback_template_key: None,
            };
            let _ = CompiledFlowSet::new(&set).first_match(&text, None);
        }
    }
}
