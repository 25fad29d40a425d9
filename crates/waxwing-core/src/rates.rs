//! What messages cost: a dated rate card, read from a CSV file that the operator keeps.
//!
//! Providers charge by delivered message, by category and by the country of the recipient (protocols/meta.md 17), and
//! change their prices several times a year. So a price has a first day, and the day of the delivery decides.

use serde::{Deserialize, Serialize};

use crate::event::Pricing;
use crate::identity::Identity;
use crate::time::Timestamp;

/// Rows that a card may have. Meta's has some hundreds a year.
pub const ROWS_MAX: usize = 50_000;
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
const MICROS_DIGITS: usize = 6;

/// Why a rate card cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct RateError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// One price.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rate {
    /// The first day on which it holds, in days since 1970 (UTC).
    from_day: i64,
    /// Digits with which the recipient's number begins; empty for all others.
    prefix: String,
    /// The country of the recipient, for those who are known by a user id only.
    market: String,
    category: String,
    currency: String,
    micros: i64,
}

#[derive(Deserialize)]
struct Line {
    valid_from: String,
    #[serde(default)]
    prefix: String,
    market: String,
    category: String,
    currency: String,
    price: String,
}

/// What one delivered message costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// The provider's category, such as `marketing` or `service`.
    pub category: String,
    /// Millionths of a unit of the currency; 0 for a free message, `None` when the card has no price for it.
    pub micros: Option<i64>,
    /// ISO 4217; `None` for free messages and those without a price.
    pub currency: Option<String>,
    /// The day of the delivery, in days since 1970 (UTC).
    pub day: i64,
}

/// The prices of a provider over time.
#[derive(Debug, Clone, Default)]
pub struct RateCard(Vec<Rate>);

impl RateCard {
    /// Reads a card: CSV with the columns `valid_from` (a date), `prefix` (the digits with which a number begins, empty
    /// for all others), `market` (an ISO country, or a name), `category`, `currency` and `price` (a decimal number for
    /// one message).
    ///
    /// # Errors
    /// The first line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut rates = Vec::new();
        for (index, line) in reader.deserialize::<Line>().enumerate() {
            // The first line names the columns.
            let number = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(2);
            let wrong = |what: String| RateError { line: number, what };
            if index >= ROWS_MAX {
                return Err(wrong(format!("more than {ROWS_MAX} prices")));
            }
            let line = line.map_err(|error| wrong(error.to_string()))?;
            rates.push(line.rate().map_err(wrong)?);
        }
        Ok(Self(rates))
    }

    /// What a delivered message costs; `None` when the provider said nothing about its price.
    #[must_use]
    pub fn charge(&self, pricing: &Pricing, to: &Identity, at: Timestamp) -> Option<Charge> {
        let category = pricing.category.clone()?.to_ascii_lowercase();
        let day = at.micros().div_euclid(DAY_MICROS);
        let billable = pricing
            .billable
            .or_else(|| pricing.kind.as_deref().map(|kind| kind == "regular"))?;
        if !billable {
            return Some(Charge {
                category,
                micros: Some(0),
                currency: None,
                day,
            });
        }
        let rate = self.find(&category, to, day);
        Some(Charge {
            micros: rate.map(|rate| rate.micros),
            currency: rate.map(|rate| rate.currency.clone()),
            category,
            day,
        })
    }

    /// The price with the longest fitting prefix, of those the one that came last.
    fn find(&self, category: &str, to: &Identity, day: i64) -> Option<&Rate> {
        let digits = to.phone.as_ref().map(crate::phone::Phone::digits);
        let country = to.user_id.as_ref().and_then(|id| id.as_str().get(..2));
        let fits = |rate: &&Rate| {
            let place = match (digits, country) {
                (Some(digits), _) => digits.starts_with(&rate.prefix),
                (None, Some(country)) => {
                    rate.market.eq_ignore_ascii_case(country)
                        || (rate.prefix.is_empty() && rate.market == "*")
                }
                (None, None) => rate.prefix.is_empty(),
            };
            place && rate.category == category && rate.from_day <= day
        };
        self.0
            .iter()
            .filter(fits)
            .max_by_key(|rate| (rate.prefix.len(), rate.from_day))
    }
}

impl Line {
    fn rate(self) -> Result<Rate, String> {
        let from = Timestamp::parse(&format!("{}T00:00:00Z", self.valid_from))
            .ok_or("valid_from is no date such as 2026-10-01")?;
        if !self.prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("prefix has something else than digits".to_owned());
        }
        if self.market.is_empty() || self.category.is_empty() {
            return Err("market and category must not be empty".to_owned());
        }
        let letters = self.currency.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.currency.len() != 3 || !letters {
            return Err("currency is no code such as USD".to_owned());
        }
        Ok(Rate {
            from_day: from.micros().div_euclid(DAY_MICROS),
            prefix: self.prefix,
            market: self.market,
            category: self.category.to_ascii_lowercase(),
            currency: self.currency,
            micros: micros(&self.price).ok_or("price is no decimal number such as 0.0343")?,
        })
    }
}

/// A decimal number of at most six places in millionths.
fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > MICROS_DIGITS || !digits(whole) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<MICROS_DIGITS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Bsuid;
    use crate::phone::Phone;

    const CARD: &str = "valid_from,prefix,market,category,currency,price\n\
        2026-01-01,1,US,marketing,USD,0.025\n\
        2026-10-01,1,US,marketing,USD,0.03\n\
        2026-01-01,1876,JM,marketing,USD,0.074\n\
        2026-01-01,,*,marketing,USD,0.0604\n\
        2026-01-01,49,DE,utility,EUR,0.045600\n";

    fn pricing(category: &str, kind: &str) -> Pricing {
        Pricing {
            model: Some("PMP".into()),
            kind: Some(kind.into()),
            category: Some(category.into()),
            billable: None,
        }
    }

    fn phone(digits: &str) -> Identity {
        Identity {
            phone: Some(Phone::from_wa_id(digits).unwrap()),
            ..Identity::default()
        }
    }

    fn charge(category: &str, to: &Identity, date: &str) -> Charge {
        let at = Timestamp::parse(&format!("{date}T12:00:00Z")).unwrap();
        let card = RateCard::parse(CARD).unwrap();
        card.charge(&pricing(category, "regular"), to, at).unwrap()
    }

    #[test]
    fn the_longest_prefix_and_the_latest_day_decide() {
        let us = phone("16505551234");
        let micros = |to: &Identity, date| charge("MARKETING", to, date).micros;
        assert_eq!(micros(&us, "2026-09-30"), Some(25_000));
        assert_eq!(micros(&us, "2026-10-01"), Some(30_000));
        assert_eq!(micros(&us, "2025-12-31"), None, "before the card begins");
        assert_eq!(micros(&phone("18765551234"), "2026-11-01"), Some(74_000));
        assert_eq!(micros(&phone("33612345678"), "2026-11-01"), Some(60_400));
        let by_id = Identity {
            user_id: Bsuid::parse("US.1349"),
            ..Identity::default()
        };
        assert_eq!(micros(&by_id, "2026-11-01"), Some(30_000));
        let german = charge("utility", &phone("4917012345678"), "2026-11-01");
        assert_eq!(german.currency.as_deref(), Some("EUR"));
        assert_eq!(german.micros, Some(45_600));
        let unknown = charge("authentication", &us, "2026-11-01");
        assert_eq!((unknown.micros, unknown.currency), (None, None));
    }

    #[test]
    fn free_messages_cost_nothing_and_silence_is_no_price() {
        let card = RateCard::default();
        let us = phone("16505551234");
        let at = Timestamp::from_seconds(1_795_219_200);
        let free = card.charge(&pricing("service", "free_customer_service"), &us, at);
        assert_eq!(free.unwrap().micros, Some(0));
        let silent = Pricing {
            category: None,
            ..pricing("service", "regular")
        };
        assert_eq!(card.charge(&silent, &us, at), None);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let head = "valid_from,prefix,market,category,currency,price\n";
        for (line, what) in [
            ("2026-13-01,1,US,marketing,USD,0.025", "date"),
            ("2026-01-01,+1,US,marketing,USD,0.025", "prefix"),
            ("2026-01-01,1,US,marketing,usd,0.025", "currency"),
            ("2026-01-01,1,US,marketing,USD,-1", "price"),
            ("2026-01-01,1,US,marketing,USD,0.0250001", "price"),
            ("2026-01-01,1,US,,USD,0.02", "category"),
            ("2026-01-01,1,US", "record"),
        ] {
            let error = RateCard::parse(&format!("{head}{line}\n")).unwrap_err();
            assert_eq!(error.line, 2);
            assert!(error.what.to_lowercase().contains(what), "{line}: {error}");
        }
    }
}
