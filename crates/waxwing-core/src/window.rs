//! The customer service window: the 24 hours after the contact's last message in which free-form messages are allowed
//! (protocols/meta.md 17), and what becomes of a message outside of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::{CallPermission, Content};
use crate::time::Timestamp;

/// How long the window stays open after a message of the contact.
pub const SERVICE_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// How long messages are free of charge after one that came from an ad or a page button.
pub const FREE_ENTRY: Duration = Duration::from_secs(72 * 3_600);
/// How long a message waits for the window to open before it expires.
pub const WINDOW_WAIT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The window of one contact on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Free-form messages are allowed until then; `None` while the contact has never written.
    pub expires_at: Option<Timestamp>,
    /// Messages are free of charge until then, since the contact came from an ad. It opens nothing.
    pub free_entry_until: Option<Timestamp>,
}

impl Window {
    /// The window after a message of the contact. It counts from the message's own time, since webhooks may be late, and
    /// a late one never shortens it.
    #[must_use]
    pub fn after(self, sent_at: Timestamp, from_ad: bool) -> Self {
        let free = from_ad.then(|| sent_at.plus(FREE_ENTRY));
        Self {
            expires_at: self.expires_at.max(Some(sent_at.plus(SERVICE_WINDOW))),
            free_entry_until: self.free_entry_until.max(free),
        }
    }

    /// Whether free-form messages are allowed at a moment.
    #[must_use]
    pub fn is_open(self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end > at)
    }
}

/// Whether a message of the contact opens the window: everything that a person sends, except what only changes an
/// earlier message, and a permission to call that WhatsApp gave by itself. Meta gives no list.
#[must_use]
pub fn opens_window(content: &Content) -> bool {
    let changes_only = matches!(
        content,
        Content::Reaction { .. } | Content::Edit { .. } | Content::Revoke
    );
    !changes_only && content.call_permission() != Some(CallPermission::Automatic)
}

/// Whether WhatsApp delivers this only inside of the window.
#[must_use]
pub const fn needs_window(content: &Content) -> bool {
    !matches!(content, Content::MessageTemplate { .. })
}

/// What becomes of a free-form message when the window is closed. Without any of these it is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OutsideWindow {
    /// It waits until the contact writes again.
    Wait {
        /// Not longer than that, in microseconds since 1970.
        until: i64,
    },
    /// This message template is sent in its place.
    Template {
        /// The message template.
        content: Box<Content>,
    },
}

impl OutsideWindow {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::Template { .. } => "template",
        }
    }
}

/// What the last gate before a send says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gate<'a> {
    /// Send it.
    Send,
    /// Send this message template in its place.
    Instead(&'a Content),
    /// Keep it until the contact writes, at most until then.
    Wait(Timestamp),
    /// It waited long enough.
    Expire,
    /// It fails.
    Refuse,
}

/// Decides whether a message may go out now.
#[must_use]
pub fn gate<'a>(
    content: &Content,
    window: Window,
    outside: Option<&'a OutsideWindow>,
    now: Timestamp,
) -> Gate<'a> {
    if !needs_window(content) || window.is_open(now) {
        return Gate::Send;
    }
    match outside {
        None => Gate::Refuse,
        Some(OutsideWindow::Template { content }) => Gate::Instead(content),
        Some(OutsideWindow::Wait { until }) => {
            let until = Timestamp::from_micros(*until);
            if until > now {
                Gate::Wait(until)
            } else {
                Gate::Expire
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn text() -> Content {
        Content::Text {
            body: "x".into(),
            preview_url: false,
        }
    }

    fn template() -> Content {
        Content::MessageTemplate {
            name: "hello".into(),
            language: "en".into(),
            components: Vec::new(),
        }
    }

    #[test]
    fn an_ad_makes_it_cheaper_and_not_longer() {
        let window = Window::default().after(at(0), true);
        assert_eq!(window.expires_at, Some(at(24 * 3_600)));
        assert_eq!(window.free_entry_until, Some(at(72 * 3_600)));
        assert!(!window.is_open(at(24 * 3_600)));
        let later = window.after(at(3_600), false);
        assert_eq!(later.free_entry_until, window.free_entry_until);
    }

    #[test]
    fn what_opens_it() {
        assert!(opens_window(&text()));
        assert!(opens_window(&Content::RequestWelcome));
        assert!(!opens_window(&Content::Revoke));
        assert!(!opens_window(&Content::Reaction { emoji: None }));
        let permission = |source: &str| Content::InteractiveReply {
            kind: "call_permission_reply".into(),
            data: serde_json::json!({"response": "accept", "response_source": source}),
        };
        assert!(opens_window(&permission("user_action")));
        assert!(!opens_window(&permission("automatic")));
    }

    fn any_outside() -> impl Strategy<Value = Option<OutsideWindow>> {
        prop_oneof![
            Just(None),
            (0i64..400_000).prop_map(|until| Some(OutsideWindow::Wait {
                until: until * 1_000_000
            })),
            Just(Some(OutsideWindow::Template {
                content: Box::new(template())
            })),
        ]
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut times in proptest::collection::vec((0i64..1_000_000, any::<bool>()), 1..8)) {
            let walk = |times: &[(i64, bool)]| times.iter()
                .fold(Window::default(), |window, (time, ad)| window.after(at(*time), *ad));
            let window = walk(&times);
            let last = times.iter().map(|(time, _)| *time).max().unwrap_or(0);
            prop_assert_eq!(window.expires_at, Some(at(last).plus(SERVICE_WINDOW)));
            times.reverse();
            prop_assert_eq!(walk(&times), window);
        }

        #[test]
        fn nothing_free_form_leaves_outside(
            written in proptest::option::of(0i64..200_000), now in 0i64..400_000, outside in any_outside()
        ) {
            let window = written.map_or(Window::default(), |time| Window::default().after(at(time), false));
            let open = written.is_some_and(|time| now < time + 24 * 3_600);
            prop_assert_eq!(gate(&template(), window, outside.as_ref(), at(now)), Gate::Send);
            match gate(&text(), window, outside.as_ref(), at(now)) {
                Gate::Send => prop_assert!(open),
                Gate::Instead(content) => prop_assert!(!open && !needs_window(content)),
                Gate::Wait(until) => prop_assert!(!open && until > at(now)),
                Gate::Expire => prop_assert!(!open && outside.is_some()),
                Gate::Refuse => prop_assert!(!open && outside.is_none()),
            }
        }
    }

    #[test]
    fn a_choice_survives_the_store() {
        let choices = [
            OutsideWindow::Wait { until: 7 },
            OutsideWindow::Template {
                content: Box::new(template()),
            },
        ];
        for choice in choices {
            let text = serde_json::to_string(&choice).unwrap();
            assert_eq!(
                serde_json::from_str::<OutsideWindow>(&text).unwrap(),
                choice
            );
        }
    }
}
