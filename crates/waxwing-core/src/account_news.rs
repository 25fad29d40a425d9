//! What news of an account or a number mean for its channels (protocols/meta.md 8).

use crate::event::OtherItem;

/// What a piece of news means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountNews {
    /// Nothing can be sent any more, for this reason.
    Stop(String),
    /// It goes on, but a person should know.
    Alert(String),
    /// What was wrong is over.
    Restored,
    /// The number itself: its quality, how many messages a second, how many people a day.
    Number {
        /// The provider's word for the quality, in lower case.
        quality: Option<String>,
        /// Messages a second.
        throughput: Option<i64>,
        /// People a day, in the provider's word.
        messaging_limit: Option<String>,
    },
}

/// Messages a second after the upgrade (protocols/meta.md 17).
pub const UPGRADED_PER_SECOND: i64 = 1_000;

/// How many people an account may write to first within a day, in the provider's word (`TIER_250`, `TIER_10K`, a number);
/// `None` without a limit and for words that are not known.
#[must_use]
pub fn people_a_day(word: &str) -> Option<u32> {
    let word = word.trim().to_ascii_uppercase();
    let tier = word.strip_prefix("TIER_").unwrap_or(&word);
    match tier.strip_suffix('K') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1_000),
        None => tier.parse().ok(),
    }
}

/// What an item says about its account; `None` when it is about something else or changes nothing.
#[must_use]
pub fn read(item: &OtherItem) -> Option<AccountNews> {
    let event = item.event.as_deref().unwrap_or_default();
    let fact = |name: &str| {
        let text = item.detail.as_ref()?.0.get(name)?.as_str()?;
        Some(text.to_owned())
    };
    let because = |name: &str| match fact(name) {
        Some(fact) => format!("{event}: {fact}"),
        None => event.to_owned(),
    };
    Some(match item.field.as_str() {
        "phone_number_quality_update" => AccountNews::Number {
            // Only the old words speak of quality; there were no others for it.
            quality: matches!(event, "FLAGGED" | "UNFLAGGED").then(|| event.to_ascii_lowercase()),
            throughput: (event == "THROUGHPUT_UPGRADE").then_some(UPGRADED_PER_SECOND),
            messaging_limit: fact("messagingLimit"),
        },
        "business_capability_update" => AccountNews::Number {
            quality: None,
            throughput: None,
            messaging_limit: Some(fact("messagingLimit")?),
        },
        "phone_number_name_update" if event != "APPROVED" => {
            AccountNews::Alert(format!("the name of the number: {event}"))
        }
        "account_alerts" => {
            let words = fact("description").or_else(|| fact("alert"))?;
            AccountNews::Alert(words)
        }
        "account_review_update" if event != "APPROVED" => {
            AccountNews::Alert(format!("the review of the account: {event}"))
        }
        "account_update" => match event {
            "ACCOUNT_DELETED"
            | "ACCOUNT_OFFBOARDED"
            | "PARTNER_REMOVED"
            | "PARTNER_APP_UNINSTALLED" => AccountNews::Stop(event.to_owned()),
            "ACCOUNT_RECONNECTED" => AccountNews::Restored,
            "ACCOUNT_VIOLATION" => AccountNews::Alert(because("violation")),
            "ACCOUNT_RESTRICTION" => restricted(item, event),
            "DISABLED_UPDATE" => match fact("banState").as_deref() {
                Some("DISABLE") => AccountNews::Stop(because("banState")),
                Some("REINSTATE") => AccountNews::Restored,
                _ => AccountNews::Alert(because("banState")),
            },
            _ => return None,
        },
        _ => return None,
    })
}

/// Where even replies are barred, the channel stops; where only templates are, replies go on.
fn restricted(item: &OtherItem, event: &str) -> AccountNews {
    let list = item
        .detail
        .as_ref()
        .and_then(|detail| detail.0.get("restrictions")?.as_array());
    let words: Vec<&str> = list
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    let reason = if words.is_empty() {
        event.to_owned()
    } else {
        format!("{event}: {}", words.join(", "))
    };
    if words.contains(&"RESTRICTED_CUSTOMER_INITIATED_MESSAGING") {
        AccountNews::Stop(reason)
    } else {
        AccountNews::Alert(reason)
    }
}

/// The digits of the number that the news are about, when they name one.
#[must_use]
pub fn number(item: &OtherItem) -> Option<String> {
    let facts = &item.detail.as_ref()?.0;
    let text = facts
        .get("phoneNumber")
        .or_else(|| facts.get("displayPhoneNumber"))?
        .as_str()?;
    Some(digits(text))
}

/// The digits of a number as people write it.
#[must_use]
pub fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Detail;

    fn item(field: &str, event: &str, detail: Value) -> OtherItem {
        OtherItem {
            what: "other".into(),
            field: field.into(),
            event: Some(event.into()),
            id: None,
            detail: Some(Detail(detail)),
        }
    }

    #[test]
    fn news_stop_warn_or_restore() {
        let both = json!({"restrictions": ["RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"]});
        let one = json!({"restrictions": ["RESTRICTED_BIZ_INITIATED_MESSAGING"]});
        let cases = [
            ("ACCOUNT_DELETED", json!({}), "stop"),
            ("PARTNER_REMOVED", json!({}), "stop"),
            ("ACCOUNT_RESTRICTION", both, "stop"),
            ("ACCOUNT_RESTRICTION", one, "alert"),
            ("ACCOUNT_VIOLATION", json!({"violation": "ADULT"}), "alert"),
            ("DISABLED_UPDATE", json!({"banState": "DISABLE"}), "stop"),
            (
                "DISABLED_UPDATE",
                json!({"banState": "SCHEDULE_FOR_DISABLE"}),
                "alert",
            ),
            (
                "DISABLED_UPDATE",
                json!({"banState": "REINSTATE"}),
                "restored",
            ),
            ("ACCOUNT_RECONNECTED", json!({}), "restored"),
            ("VERIFIED_ACCOUNT", json!({}), "nothing"),
        ];
        for (event, detail, expected) in cases {
            let word = match read(&item("account_update", event, detail)) {
                Some(AccountNews::Stop(_)) => "stop",
                Some(AccountNews::Alert(_)) => "alert",
                Some(AccountNews::Restored) => "restored",
                Some(AccountNews::Number { .. }) => "number",
                None => "nothing",
            };
            assert_eq!(word, expected, "{event}");
        }
    }

    #[test]
    fn limits_are_read_in_all_their_words() {
        let words = [
            ("TIER_50", Some(50)),
            ("TIER_250", Some(250)),
            ("TIER_2K", Some(2_000)),
            ("tier_100k", Some(100_000)),
            ("2000", Some(2_000)),
            ("TIER_UNLIMITED", None),
            ("-1", None),
            ("", None),
            ("TIER_9999999K", None),
        ];
        for (word, people) in words {
            assert_eq!(people_a_day(word), people, "{word}");
        }
    }

    #[test]
    fn numbers_get_faster() {
        let detail =
            json!({"displayPhoneNumber": "+1 555-078-3881", "messagingLimit": "TIER_UNLIMITED"});
        let upgrade = item("phone_number_quality_update", "THROUGHPUT_UPGRADE", detail);
        let Some(AccountNews::Number {
            throughput,
            messaging_limit,
            quality,
        }) = read(&upgrade)
        else {
            panic!("it is about a number")
        };
        assert_eq!((throughput, quality), (Some(1_000), None));
        assert_eq!(messaging_limit.as_deref(), Some("TIER_UNLIMITED"));
        assert_eq!(number(&upgrade).as_deref(), Some("15550783881"));
    }
}
