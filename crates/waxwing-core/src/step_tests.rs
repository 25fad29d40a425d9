use proptest::prelude::*;

use super::*;
use crate::flow::{FlowSet, MatchKind, Matcher, Rule};
use crate::identity::{Identity, ProviderMessageId};
use crate::phone::Phone;

struct World {
    templates: BTreeMap<String, Arc<Template>>,
    flows: CompiledFlowSet,
    variables: BTreeMap<String, String>,
    blocked: bool,
    flooding: bool,
    marketing: Option<Marketing>,
    consent: ConsentSettings,
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn world() -> World {
    let templates = serde_json::json!([
        {"key": "menu", "kind": "interactive_button", "body": "Hi {{name}}", "buttons": [
            {"id": "bal", "title": "Balance", "nextTemplateKey": "balance", "nextState": "balance_shown"},
            {"id": "cards", "title": "Cards", "nextTemplateKey": "cards"},
            {"id": "good", "title": "Good", "nextState": "rated"},
        ]},
        {"key": "balance", "kind": "text", "body": "You have 5"},
        {"key": "cards", "kind": "interactive_list", "body": "Cards", "button": "Open", "sections": [
            {"rows": [{"id": "block", "title": "Block", "nextTemplateKey": "gone"}]}]},
        {"key": "off", "kind": "text", "body": "never", "active": false},
    ]);
    let templates: Vec<Template> = serde_json::from_value(templates).unwrap();
    let rule = |id: &str, value: &str, key: &str, state: Option<&str>| Rule {
        id: id.into(),
        matcher: Matcher {
            kind: MatchKind::Contains,
            values: vec![value.into()],
            state: None,
        },
        action: Action::SendTemplate {
            template_key: key.into(),
            set_state: state.map(Into::into),
        },
    };
    let flows = FlowSet {
        flows: vec![
            rule("hello", "hello", "menu", Some("greeted")),
            rule("off", "switched", "off", None),
            rule("cards", "card", "cards", None),
        ],
        fallback_template_key: Some("menu".into()),
    };
    World {
        templates: templates
            .into_iter()
            .map(|template| (template.key.clone(), Arc::new(template)))
            .collect(),
        flows: CompiledFlowSet::new(&flows),
        variables: BTreeMap::from([("name".into(), "Ada".into())]),
        blocked: false,
        flooding: false,
        marketing: None,
        consent: ConsentSettings::default(),
    }
}

fn message(content: Content) -> InboundMessage {
    InboundMessage {
        provider_id: ProviderMessageId::parse("wamid.1").unwrap(),
        sender: Identity {
            phone: Phone::from_wa_id("16505551234").ok(),
            ..Identity::default()
        },
        profile_name: None,
        sent_at: Some(NOW),
        content,
        reply_to: None,
        target: None,
        forwarded: false,
        referral: None,
        product: None,
        origin: None,
        further: false,
        group_id: None,
        codes: Vec::new(),
    }
}

fn text(body: &str) -> InboundMessage {
    message(Content::Text {
        body: body.into(),
        preview_url: false,
    })
}

fn tap(id: &str) -> InboundMessage {
    message(Content::ButtonReply {
        id: id.into(),
        title: id.into(),
    })
}

#[derive(Debug, PartialEq)]
struct Outcome {
    reply: Option<String>,
    memory: Option<ConversationState>,
    cause: Option<Cause>,
    expired: bool,
    wish: Option<Marketing>,
}

fn run(
    world: &World,
    conversation: &ConversationState,
    tapped: Option<&str>,
    message: &InboundMessage,
) -> Outcome {
    let context = Context {
        now: NOW,
        session_ttl: Duration::from_secs(3_600),
        conversation,
        templates: &world.templates,
        flows: &world.flows,
        tapped_template: tapped,
        blocked: world.blocked,
        flooding: world.flooding,
        marketing: world.marketing,
        consent: &world.consent,
        variables: &world.variables,
    };
    let mut outcome = Outcome {
        reply: None,
        memory: None,
        cause: None,
        expired: false,
        wish: None,
    };
    for effect in step(&context, message) {
        match effect {
            Effect::ExpireSession { .. } => outcome.expired = true,
            Effect::Remember(memory) => outcome.memory = Some(memory),
            Effect::Reply {
                template_key,
                content,
            } => outcome.reply = template_key.or_else(|| content.text().map(str::to_owned)),
            Effect::Consent(wish) => outcome.wish = Some(wish.marketing),
            Effect::Because(cause) => outcome.cause = Some(cause),
        }
    }
    outcome
}

fn after(last: Option<&str>, state: Option<&str>, expires_in: i64) -> ConversationState {
    ConversationState {
        last_template_key: last.map(Into::into),
        state: state.map(Into::into),
        session_expires_at: Some(Timestamp::from_seconds(NOW.seconds() + expires_in)),
        ..ConversationState::default()
    }
}

type Case<'a> = (
    &'a str,
    &'a ConversationState,
    Option<&'a str>,
    InboundMessage,
    Option<&'a str>,
    Option<&'a str>,
);

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn answers_follow_rules_buttons_and_fallback() {
    let world = world();
    let current = after(Some("menu"), None, 60);
    let listing = after(Some("cards"), None, 60);
    let moved_on = after(Some("balance"), Some("balance_shown"), 60);
    let expired = after(Some("balance"), Some("balance_shown"), -1);
    let cases: Vec<Case<'_>> = vec![
        (
            "a rule",
            &current,
            None,
            text("Hello!"),
            Some("menu"),
            Some("greeted"),
        ),
        ("no match", &current, None, text("???"), Some("menu"), None),
        (
            "a template that is off",
            &current,
            None,
            text("switched"),
            Some("menu"),
            None,
        ),
        (
            "a button",
            &current,
            None,
            tap("bal"),
            Some("balance"),
            Some("balance_shown"),
        ),
        (
            "a button with its message",
            &current,
            Some("menu"),
            tap("bal"),
            Some("balance"),
            Some("balance_shown"),
        ),
        (
            "a button without template",
            &current,
            None,
            tap("good"),
            None,
            Some("rated"),
        ),
        ("a row", &listing, None, tap("block"), Some("menu"), None),
        (
            "an unknown button",
            &current,
            None,
            tap("nope"),
            Some("menu"),
            None,
        ),
        (
            "the same tap again",
            &moved_on,
            Some("menu"),
            tap("bal"),
            None,
            Some("balance_shown"),
        ),
        (
            "an older button",
            &moved_on,
            Some("menu"),
            tap("cards"),
            Some("menu"),
            Some("balance_shown"),
        ),
        (
            "an older button after the session",
            &expired,
            Some("menu"),
            tap("cards"),
            Some("cards"),
            None,
        ),
        (
            "after the session",
            &expired,
            None,
            text("?"),
            Some("menu"),
            None,
        ),
        (
            "a quick reply by its label",
            &current,
            None,
            message(Content::Button {
                payload: Some("x".into()),
                text: "My card".into(),
            }),
            Some("cards"),
            None,
        ),
    ];
    for (name, conversation, tapped, message, reply, state) in cases {
        let outcome = run(&world, conversation, tapped, &message);
        assert_eq!(outcome.reply.as_deref(), reply, "{name}");
        assert_eq!(outcome.memory.unwrap().state.as_deref(), state, "{name}");
    }
}

#[test]
fn silence_where_nothing_may_be_answered() {
    let world = world();
    let human = ConversationState {
        mode: Mode::Human,
        ..ConversationState::default()
    };
    let fresh = ConversationState::default();
    let mut group = text("hello");
    group.group_id = Some("g1".into());
    let mut old = text("hello");
    old.sent_at = Some(NOW.minus(REPLAY_HORIZON + Duration::from_secs(1)));
    let cases = [
        (&human, text("hello"), Cause::HumanMode),
        (&fresh, group, Cause::Group),
        (&fresh, old, Cause::TooOld),
        (
            &fresh,
            message(Content::Reaction { emoji: None }),
            Cause::NotChatInput,
        ),
        (&fresh, message(Content::Revoke), Cause::NotChatInput),
    ];
    for (conversation, message, cause) in cases {
        let outcome = run(&world, conversation, None, &message);
        assert_eq!((outcome.reply, outcome.cause), (None, Some(cause)));
    }
}

#[test]
fn the_window_counts_from_the_message_and_never_shrinks() {
    let world = world();
    let mut late = text("hello");
    late.sent_at = Some(Timestamp::from_seconds(NOW.seconds() - 23 * 3_600));
    let memory = run(&world, &ConversationState::default(), None, &late)
        .memory
        .unwrap();
    assert_eq!(
        memory.window.expires_at,
        Some(Timestamp::from_seconds(NOW.seconds() + 3_600))
    );
    let memory = run(&world, &memory, None, &text("hello")).memory.unwrap();
    assert_eq!(
        memory.window.expires_at,
        Some(Timestamp::from_seconds(NOW.seconds() + 24 * 3_600))
    );
    let memory = run(&world, &memory, None, &late).memory.unwrap();
    assert_eq!(
        memory.window.expires_at,
        Some(Timestamp::from_seconds(NOW.seconds() + 24 * 3_600))
    );
}

#[test]
fn a_time_from_the_future_counts_as_now() {
    let mut early = text("hello");
    early.sent_at = Some(NOW.plus(Duration::from_secs(999_999)));
    let memory = run(&world(), &ConversationState::default(), None, &early)
        .memory
        .unwrap();
    assert_eq!(
        memory.window.expires_at,
        Some(Timestamp::from_seconds(NOW.seconds() + 24 * 3_600))
    );
}

fn any_message() -> impl Strategy<Value = InboundMessage> {
    prop_oneof![
        "\\PC{0,40}".prop_map(|body| text(&body)),
        prop_oneof![
            Just("bal"),
            Just("cards"),
            Just("good"),
            Just("block"),
            Just("zz")
        ]
        .prop_map(tap),
        Just(message(Content::Reaction {
            emoji: Some("👍".into())
        })),
    ]
}

proptest! {
    #[test]
    fn any_sequence_gives_the_same_effects_twice_and_at_most_one_reply(
        messages in proptest::collection::vec(any_message(), 0..20)
    ) {
        let world = world();
        let walk = || {
            let mut memory = ConversationState::default();
            let mut outcomes = Vec::new();
            for message in &messages {
                let outcome = run(&world, &memory, None, message);
                memory = outcome.memory.clone().unwrap_or(memory);
                outcomes.push(outcome);
            }
            outcomes
        };
        prop_assert_eq!(walk(), walk());
    }
}

#[test]
fn a_further_file_is_not_answered_once_more() {
    let picture = message(Content::Image(crate::content::Media::default()));
    let further = InboundMessage {
        further: true,
        ..picture.clone()
    };
    let (world, state) = (world(), ConversationState::default());
    let first = run(&world, &state, None, &picture);
    assert_eq!(first.reply.as_deref(), Some("menu"));
    let second = run(&world, &state, None, &further);
    assert_eq!(
        (second.reply, second.cause),
        (None, Some(Cause::NotChatInput))
    );
}

#[test]
fn whoever_opts_out_is_told_so_and_nothing_else() {
    let mut world = world();
    let fresh = ConversationState::default();
    let out = run(&world, &fresh, None, &text("Stop!"));
    assert_eq!(out.wish, Some(Marketing::OptedOut));
    assert!(out.reply.unwrap().contains("no more marketing"));
    let cause = Cause::Consent {
        marketing: Marketing::OptedOut,
        word: "stop".into(),
    };
    assert_eq!(out.cause, Some(cause));
    assert!(
        out.memory.unwrap().window.is_open(NOW),
        "it is a message like others"
    );
    // A person answers themselves; the wish counts.
    let human = ConversationState {
        mode: Mode::Human,
        ..ConversationState::default()
    };
    let out = run(&world, &human, None, &text("stop"));
    assert_eq!((out.reply, out.wish), (None, Some(Marketing::OptedOut)));
    // "Start" is for the bot until somebody has opted out.
    let out = run(&world, &fresh, None, &text("start"));
    assert_eq!((out.reply.as_deref(), out.wish), (Some("menu"), None));
    world.marketing = Some(Marketing::OptedOut);
    let out = run(&world, &fresh, None, &text("start"));
    assert_eq!(out.wish, Some(Marketing::OptedIn));
    // What is too old changes nothing.
    let mut old = text("stop");
    old.sent_at = Some(NOW.minus(REPLAY_HORIZON + Duration::from_secs(1)));
    assert_eq!(run(&world, &fresh, None, &old).wish, None);
}

#[test]
fn whom_the_tenant_blocked_gets_no_answer() {
    let mut world = world();
    world.blocked = true;
    let out = run(&world, &ConversationState::default(), None, &text("hello"));
    assert_eq!((out.reply, out.cause), (None, Some(Cause::Blocked)));
}

#[test]
fn a_flood_is_stored_and_not_answered_but_stop_is_heard() {
    let mut world = world();
    world.flooding = true;
    let fresh = ConversationState::default();
    let out = run(&world, &fresh, None, &text("hello"));
    assert_eq!((out.reply, out.cause), (None, Some(Cause::TooMany)));
    let out = run(&world, &fresh, None, &text("stop"));
    assert_eq!(out.wish, Some(Marketing::OptedOut));
}
