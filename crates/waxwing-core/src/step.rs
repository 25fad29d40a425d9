//! One step of a conversation: context and message in, effects out. The only place that decides what a bot answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consent::{ConsentSettings, Marketing, Wish};
use crate::content::Content;
use crate::event::InboundMessage;
use crate::flow::{Action, CompiledFlowSet};
use crate::template::{Next, Template};
use crate::time::Timestamp;
use crate::window::{Window, opens_window};

/// Messages older than this are stored but not answered. Neither the signature nor the body of a webhook proves that it
/// is fresh, so the duplicate mark is the only protection against a replay; marks are kept exactly this long.
pub const REPLAY_HORIZON: Duration = Duration::from_secs(3 * 365 * 24 * 3_600);

/// Who answers in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rules and flows answer.
    #[default]
    Bot,
    /// A person answers; the bot is silent.
    Human,
}

impl Mode {
    /// The word in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Human => "human",
        }
    }

    /// Reads the word of [`Mode::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Bot, Self::Human]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// What a conversation remembers between messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationState {
    /// Who answers.
    pub mode: Mode,
    /// The state that rules and buttons set.
    pub state: Option<String>,
    /// The template sent last: the one whose buttons are current.
    pub last_template_key: Option<String>,
    /// When the session ends if the contact stays silent.
    pub session_expires_at: Option<Timestamp>,
    /// The customer service window.
    pub window: Window,
}

/// Everything a step may look at.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of the step.
    pub now: Timestamp,
    /// How long a session lives.
    pub session_ttl: Duration,
    /// What the conversation remembers.
    pub conversation: &'a ConversationState,
    /// The tenant's templates by key.
    pub templates: &'a BTreeMap<String, Arc<Template>>,
    /// The tenant's rules.
    pub flows: &'a CompiledFlowSet,
    /// The key of the template whose message was tapped or answered, when the provider named a message that we know.
    pub tapped_template: Option<&'a str>,
    /// The tenant blocked the contact: what they write is stored and not answered.
    pub blocked: bool,
    /// The contact has written more in the last minute than a bot has to read.
    pub flooding: bool,
    /// What the contact said about marketing.
    pub marketing: Option<Marketing>,
    /// How people opt out and in.
    pub consent: &'a ConsentSettings,
    /// What `{{name}}`, `{{phone}}` and the like stand for.
    pub variables: &'a BTreeMap<String, String>,
}

/// What a step wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The session had ended by inactivity before this message; it was in this state.
    ExpireSession {
        /// The state that is forgotten.
        state: Option<String>,
    },
    /// The conversation remembers this from now on.
    Remember(ConversationState),
    /// Send this.
    Reply {
        /// The template it comes from; `None` for what the platform itself says.
        template_key: Option<String>,
        /// The message.
        content: Content,
    },
    /// The contact opted out of marketing, or in again.
    Consent(Wish),
    /// Why the step did what it did; stored with the reply (or the inbound message when there is none).
    Because(Cause),
}

/// Why a message was answered as it was, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "cause",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Cause {
    /// A rule matched the text.
    Rule {
        /// The rule.
        rule_id: String,
    },
    /// A button or list row was chosen.
    Button {
        /// The template that had it.
        template_key: String,
        /// Its id.
        button_id: String,
    },
    /// A button of the message before the current one was tapped once more; the flow is there already.
    RepeatedTap {
        /// Its id.
        button_id: String,
    },
    /// A button of an older message was tapped while the conversation has moved on.
    StaleButton {
        /// Its id.
        button_id: String,
    },
    /// A button that no current template has.
    UnknownButton {
        /// Its id.
        button_id: String,
    },
    /// No rule matched.
    NoMatch,
    /// A person answers in this conversation.
    HumanMode,
    /// The kind of message is stored, not answered; nor is a further file of a message.
    NotChatInput,
    /// The tenant blocked the contact.
    Blocked,
    /// The contact writes more than a bot has to read.
    TooMany,
    /// The contact opted out of marketing, or in again.
    Consent {
        /// What they want.
        marketing: Marketing,
        /// The word they wrote.
        word: String,
    },
    /// A message in a group.
    Group,
    /// Too old to act on.
    TooOld,
}

/// Decides what follows from a message.
#[must_use]
pub fn step(context: &Context<'_>, message: &InboundMessage) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut memory = context.conversation.clone();
    let sent_at = message.sent_at.unwrap_or(context.now).min(context.now);

    if message.group_id.is_some() {
        effects.push(Effect::Because(Cause::Group));
        return effects;
    }
    if opens_window(&message.content) {
        memory.window = memory.window.after(sent_at, message.referral.is_some());
    }
    if context.blocked {
        if memory != *context.conversation {
            effects.push(Effect::Remember(memory));
        }
        effects.push(Effect::Because(Cause::Blocked));
        return effects;
    }
    if message.further || !message.content.is_chat_input() {
        if memory != *context.conversation {
            effects.push(Effect::Remember(memory));
        }
        effects.push(Effect::Because(Cause::NotChatInput));
        return effects;
    }
    if memory
        .session_expires_at
        .is_some_and(|end| end <= context.now)
    {
        effects.push(Effect::ExpireSession {
            state: memory.state.take(),
        });
        memory.last_template_key = None;
    }
    memory.session_expires_at = Some(context.now.plus(context.session_ttl));

    let too_old = context.now.since(sent_at) > REPLAY_HORIZON;
    if !too_old && let Some(wish) = wish(context, &message.content) {
        if memory.mode == Mode::Bot
            && let Some(text) = context.consent.reply(wish.marketing)
        {
            effects.push(Effect::Reply {
                template_key: None,
                content: Content::Text {
                    body: text.to_owned(),
                    preview_url: false,
                },
            });
        }
        effects.push(Effect::Remember(memory));
        effects.push(Effect::Because(Cause::Consent {
            marketing: wish.marketing,
            word: wish.word.clone(),
        }));
        effects.push(Effect::Consent(wish));
        return effects;
    }
    let decision = if context.flooding && memory.mode == Mode::Bot {
        Decision::silent(Cause::TooMany)
    } else if memory.mode == Mode::Human {
        Decision::silent(Cause::HumanMode)
    } else if too_old {
        Decision::silent(Cause::TooOld)
    } else {
        decide(context, &memory, &message.content)
    };
    if let Some(state) = decision.state {
        memory.state = Some(state);
    }
    let template = decision
        .template_key
        .and_then(|key| context.templates.get(&key))
        .filter(|template| template.active);
    let template = template.or_else(|| decision.or_fallback.then(|| fallback(context)).flatten());
    if let Some(template) = template {
        memory.last_template_key = Some(template.key.clone());
        effects.push(Effect::Reply {
            template_key: Some(template.key.clone()),
            content: template.render_lenient(context.variables),
        });
    }
    effects.push(Effect::Remember(memory));
    effects.push(Effect::Because(decision.cause));
    effects
}

/// The wish about marketing that a text is. Taps are for the bot.
fn wish(context: &Context<'_>, content: &Content) -> Option<Wish> {
    match content {
        Content::Text { .. } => context.consent.wish(content.text()?, context.marketing),
        _ => None,
    }
}

struct Decision {
    template_key: Option<String>,
    state: Option<String>,
    /// Whether the fallback answers when the template is missing or switched off.
    or_fallback: bool,
    cause: Cause,
}

impl Decision {
    const fn silent(cause: Cause) -> Self {
        Self {
            template_key: None,
            state: None,
            or_fallback: false,
            cause,
        }
    }

    const fn fallback(cause: Cause) -> Self {
        Self {
            template_key: None,
            state: None,
            or_fallback: true,
            cause,
        }
    }
}

fn fallback<'a>(context: &'a Context<'_>) -> Option<&'a Arc<Template>> {
    let key = context.flows.fallback_template_key.as_ref()?;
    context
        .templates
        .get(key)
        .filter(|template| template.active)
}

fn decide(context: &Context<'_>, memory: &ConversationState, content: &Content) -> Decision {
    match content {
        Content::ButtonReply { id, .. } | Content::ListReply { id, .. } => {
            decide_tap(context, memory, id).unwrap_or_else(|| {
                Decision::fallback(Cause::UnknownButton {
                    button_id: id.clone(),
                })
            })
        }
        // The payload of a template's quick reply may be one of our button ids or just the label.
        Content::Button { payload, text } => payload
            .as_deref()
            .and_then(|payload| decide_tap(context, memory, payload))
            .or_else(|| {
                payload
                    .as_deref()
                    .and_then(|payload| decide_text(context, memory, payload))
            })
            .or_else(|| decide_text(context, memory, text))
            .unwrap_or_else(|| Decision::fallback(Cause::NoMatch)),
        other => other
            .text()
            .and_then(|text| decide_text(context, memory, text))
            .unwrap_or_else(|| Decision::fallback(Cause::NoMatch)),
    }
}

fn decide_text(context: &Context<'_>, memory: &ConversationState, text: &str) -> Option<Decision> {
    let rule = context.flows.first_match(text, memory.state.as_deref())?;
    let Action::SendTemplate {
        template_key,
        set_state,
    } = &rule.action;
    Some(Decision {
        template_key: Some(template_key.clone()),
        state: set_state.clone(),
        or_fallback: true,
        cause: Cause::Rule {
            rule_id: rule.id.clone(),
        },
    })
}

/// Follows a button. The current template's buttons lead on; those of an older message do not, since the conversation
/// has moved on, unless the session has ended in between and nothing is current.
fn decide_tap(
    context: &Context<'_>,
    memory: &ConversationState,
    button_id: &str,
) -> Option<Decision> {
    let next_in = |key: &str| {
        context
            .templates
            .get(key)
            .and_then(|template| template.next(button_id))
    };
    let current = memory.last_template_key.as_deref();
    if let Some(tapped) = context.tapped_template
        && current.is_some_and(|current| current != tapped)
    {
        let next = next_in(tapped)?;
        let button_id = button_id.to_owned();
        return Some(if already_there(next, memory) {
            Decision::silent(Cause::RepeatedTap { button_id })
        } else {
            Decision::fallback(Cause::StaleButton { button_id })
        });
    }
    let key = context.tapped_template.or(current)?;
    let next = next_in(key)?;
    Some(Decision {
        template_key: next.next_template_key.clone(),
        state: next.next_state.clone(),
        // A button that names no template only records the tap (a rating, say): no answer is wanted.
        or_fallback: next.next_template_key.is_some(),
        cause: Cause::Button {
            template_key: key.to_owned(),
            button_id: button_id.to_owned(),
        },
    })
}

fn already_there(next: &Next, memory: &ConversationState) -> bool {
    match &next.next_template_key {
        Some(key) => memory.last_template_key.as_ref() == Some(key),
        None => next.next_state.is_none() || next.next_state == memory.state,
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
