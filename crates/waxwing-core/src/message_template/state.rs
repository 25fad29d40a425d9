//! How a message template changes by what its provider tells: the one place for it.

use super::{MessageTemplate, TemplateCategory, TemplateQuality, TemplateStatus};
use crate::event::TemplateNews;

/// A message template as its provider lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteTemplate {
    /// The provider's id, where it gives one.
    pub provider_id: Option<String>,
    /// What it says.
    pub template: MessageTemplate,
    /// Where it stands.
    pub status: TemplateStatus,
    /// How people like it; `None` when the provider does not say.
    pub quality: Option<TemplateQuality>,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// What is known of a message template beside its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub status: TemplateStatus,
    /// How people like it.
    pub quality: TemplateQuality,
    /// What it is for, as WhatsApp sees it.
    pub category: TemplateCategory,
    /// The category that WhatsApp announced for later.
    pub next_category: Option<TemplateCategory>,
    /// Why it is not approved, or what WhatsApp remarks.
    pub reason: Option<String>,
}

/// Something about a message template changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stands elsewhere.
    Status {
        /// Where it stood.
        from: TemplateStatus,
        /// Where it stands.
        to: TemplateStatus,
    },
    /// People like it more or less.
    Quality {
        /// How they did.
        from: TemplateQuality,
        /// How they do.
        to: TemplateQuality,
    },
    /// It is in another category, at another price.
    Category {
        /// The one before.
        from: TemplateCategory,
        /// The one now.
        to: TemplateCategory,
    },
    /// It will be in another category.
    CategoryAnnounced {
        /// Which.
        to: TemplateCategory,
    },
    /// Its text was changed elsewhere.
    Components,
}

impl Standing {
    /// A draft.
    #[must_use]
    pub const fn draft(category: TemplateCategory) -> Self {
        Self {
            status: TemplateStatus::Draft,
            quality: TemplateQuality::Unknown,
            category,
            next_category: None,
            reason: None,
        }
    }

    /// Moves to a status with its reason. Heard a second time, it changes nothing.
    pub fn move_to(&mut self, status: TemplateStatus, reason: Option<String>) -> Option<Change> {
        if self.status == status {
            if reason.is_some() {
                self.reason = reason;
            }
            return None;
        }
        let from = std::mem::replace(&mut self.status, status);
        self.reason = reason;
        Some(Change::Status { from, to: status })
    }

    /// Takes a category that is in force.
    pub fn sort_into(&mut self, category: TemplateCategory) -> Option<Change> {
        if self.next_category == Some(category) {
            self.next_category = None;
        }
        let from = std::mem::replace(&mut self.category, category);
        (from != category).then_some(Change::Category { from, to: category })
    }

    /// Takes a quality.
    pub fn like(&mut self, quality: TemplateQuality) -> Option<Change> {
        let from = std::mem::replace(&mut self.quality, quality);
        (from != quality).then_some(Change::Quality { from, to: quality })
    }

    /// What a webhook changes. Words that nobody knows change nothing.
    pub fn hear(&mut self, news: &TemplateNews) -> Option<Change> {
        let value = news.value.as_deref();
        match news.about.as_str() {
            "status" => {
                let word = value?;
                match self.status.after(word) {
                    Some(status) => self.move_to(status, news.detail.clone()),
                    None => {
                        // Flagged and the like: it goes on, but people should know.
                        self.reason = Some(news.detail.clone().unwrap_or_else(|| word.to_owned()));
                        None
                    }
                }
            }
            "quality" => self.like(TemplateQuality::read(value?)),
            "category" => {
                let current = TemplateCategory::parse(value?)?;
                let announced = news.detail.as_deref().and_then(TemplateCategory::parse);
                match announced {
                    Some(to) if to != current => {
                        self.category = current;
                        let news = self.next_category != Some(to);
                        self.next_category = Some(to);
                        news.then_some(Change::CategoryAnnounced { to })
                    }
                    _ => self.sort_into(current),
                }
            }
            "components" => Some(Change::Components),
            _ => None,
        }
    }

    /// What a listing changes.
    pub fn compare(&mut self, listed: &RemoteTemplate) -> Vec<Change> {
        let status = self.move_to(listed.status, listed.reason.clone());
        let category = self.sort_into(listed.template.category);
        let quality = listed.quality.and_then(|quality| self.like(quality));
        [status, category, quality].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(about: &str, value: &str, detail: Option<&str>) -> TemplateNews {
        TemplateNews {
            about: about.into(),
            template_id: "1".into(),
            name: None,
            language: None,
            value: Some(value.into()),
            detail: detail.map(Into::into),
            at: None,
        }
    }

    #[test]
    fn news_change_what_they_speak_of_and_only_once() {
        use TemplateStatus::{Approved, Paused, Pending, Rejected};
        let mut standing = Standing::draft(TemplateCategory::Utility);
        standing.status = Pending;
        let steps = [
            ("APPROVED", None, Some((Pending, Approved))),
            ("APPROVED", None, None),
            ("FLAGGED", None, None),
            ("PAUSED", Some("FIRST_PAUSE"), Some((Approved, Paused))),
            ("REINSTATED", None, Some((Paused, Approved))),
            (
                "REJECTED",
                Some("INVALID_FORMAT"),
                Some((Approved, Rejected)),
            ),
            ("a later word", None, None),
        ];
        for (word, detail, expected) in steps {
            let change = standing.hear(&news("status", word, detail));
            let expected = expected.map(|(from, to)| Change::Status { from, to });
            assert_eq!(change, expected, "{word}");
        }
        assert_eq!(standing.reason.as_deref(), Some("a later word"));
    }

    #[test]
    fn categories_are_announced_before_they_change() {
        use TemplateCategory::{Marketing, Utility};
        let mut standing = Standing::draft(Utility);
        let announced = news("category", "UTILITY", Some("MARKETING"));
        assert_eq!(
            standing.hear(&announced),
            Some(Change::CategoryAnnounced { to: Marketing })
        );
        assert_eq!(standing.hear(&announced), None);
        assert_eq!(standing.category, Utility);
        let done = standing.hear(&news("category", "MARKETING", None));
        assert_eq!(
            done,
            Some(Change::Category {
                from: Utility,
                to: Marketing
            })
        );
        assert_eq!(standing.next_category, None);
        let red = standing.hear(&news("quality", "RED", None));
        assert_eq!(
            red,
            Some(Change::Quality {
                from: TemplateQuality::Unknown,
                to: TemplateQuality::Red
            })
        );
    }
}
