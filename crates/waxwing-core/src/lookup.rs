//! What a provider's list of the messages that it took says about a send whose outcome is unknown.

use std::time::Duration;

use crate::errors::ProviderError;
use crate::identity::ProviderMessageId;
use crate::status::DeliveryStatus;
use crate::time::Timestamp;

/// How far the provider's clock may be from ours, and how long it may work on a request after we lost sight of it.
const MARGIN: Duration = Duration::from_secs(60);

/// A message of ours as the provider lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub provider_id: ProviderMessageId,
    /// When it was made; `None` when that could not be read.
    pub created_at: Option<Timestamp>,
    /// Its text or caption; `None` when the provider shows none.
    pub text: Option<String>,
    /// How far it got; `None` while it waits at the provider.
    pub status: Option<DeliveryStatus>,
    /// Why it failed.
    pub error: Option<ProviderError>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The text as the provider lists it; `None` when it does not show in the list (what a template becomes).
    pub text: Option<&'a str>,
    /// When the attempt started.
    pub started_at: Timestamp,
    /// When its outcome turned unknown.
    pub unknown_at: Timestamp,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// This is the message.
    Sent(Box<Listed>),
    /// The provider never got it.
    Absent,
    /// It cannot be told.
    Unclear,
}

/// From when on messages may be the one that is sought.
#[must_use]
pub fn earliest(sought: Sought<'_>) -> Timestamp {
    sought.started_at.minus(MARGIN)
}

/// Looks for a message among those that the provider lists for its recipient and that no message of ours is known to be.
/// `complete` says that the list reaches back to [`earliest`].
///
/// A message with the same text is it: the oldest, where there are several. Without a text to compare, the only one is
/// it. It is absent only when nothing at all is left that it might be: a text that reads differently may still be ours,
/// changed by the provider.
#[must_use]
pub fn find(sought: Sought<'_>, unclaimed: &[Listed], complete: bool) -> Finding {
    let (from, to) = (earliest(sought), sought.unknown_at.plus(MARGIN));
    let mut candidates: Vec<&Listed> = unclaimed
        .iter()
        .filter(|listed| listed.created_at.is_none_or(|at| at >= from && at <= to))
        .collect();
    candidates.sort_by_key(|listed| listed.created_at);
    let found = match (sought.text, candidates.as_slice()) {
        (None, [only]) => Some(*only),
        (None, _) => None,
        (Some(text), all) => all.iter().copied().find(|listed| {
            listed
                .text
                .as_deref()
                .is_some_and(|other| same(text, other))
        }),
    };
    match found {
        Some(listed) => Finding::Sent(Box::new(listed.clone())),
        None if candidates.is_empty() && complete => Finding::Absent,
        None => Finding::Unclear,
    }
}

/// Providers trim what they take.
fn same(ours: &str, theirs: &str) -> bool {
    ours.split_whitespace().eq(theirs.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn listed(id: &str, seconds: i64, text: Option<&str>) -> Listed {
        Listed {
            provider_id: ProviderMessageId::parse(id).unwrap(),
            created_at: Some(at(seconds)),
            text: text.map(str::to_owned),
            status: None,
            error: None,
        }
    }

    fn sought(text: Option<&str>) -> Sought<'_> {
        Sought {
            text,
            started_at: at(0),
            unknown_at: at(30),
        }
    }

    fn sent(finding: Finding) -> Option<String> {
        match finding {
            Finding::Sent(listed) => Some(listed.provider_id.as_str().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_same_text_is_it() {
        let list = [
            listed("SM3", 20, Some("hi")),
            listed("SM2", 10, Some(" hi\n")),
            listed("SM1", 5, Some("other")),
        ];
        assert_eq!(
            sent(find(sought(Some("hi")), &list, false)).as_deref(),
            Some("SM2")
        );
        let mut timeless = listed("SM4", 0, Some("hi"));
        timeless.created_at = None;
        assert_eq!(
            sent(find(sought(Some("hi")), &[timeless], true)).as_deref(),
            Some("SM4")
        );
    }

    #[test]
    fn without_a_text_the_only_one_is_it() {
        let one = listed("SM1", 5, None);
        assert_eq!(
            sent(find(sought(None), std::slice::from_ref(&one), false)).as_deref(),
            Some("SM1")
        );
        let two = [one, listed("SM2", 6, Some("x"))];
        assert_eq!(find(sought(None), &two, true), Finding::Unclear);
    }

    #[test]
    fn it_is_absent_only_when_nothing_is_left_that_it_might_be() {
        let outside = [
            listed("SM1", -61, Some("hi")),
            listed("SM2", 91, Some("hi")),
        ];
        assert_eq!(find(sought(Some("hi")), &outside, true), Finding::Absent);
        assert_eq!(
            find(sought(Some("hi")), &outside, false),
            Finding::Unclear,
            "the list was not read to its end"
        );
        for other in [Some("other"), Some(""), None] {
            let list = [listed("SM1", 1, other)];
            assert_eq!(
                find(sought(Some("hi")), &list, true),
                Finding::Unclear,
                "{other:?}"
            );
        }
        assert_eq!(find(sought(None), &[], true), Finding::Absent);
    }
}
