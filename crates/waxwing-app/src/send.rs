//! Sending for people and programs: a message is queued durably under its idempotency key.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waxwing_core::audit::{Change, Object};
use waxwing_core::consent::{Marketing, may_send};
use waxwing_core::content::Content;
use waxwing_core::delivery::Purpose;
use waxwing_core::identity::Identity;
use waxwing_core::ids::{ChannelId, ContactId, ConversationId, MessageId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::step::ConversationState;
use waxwing_core::time::Timestamp;
use waxwing_core::window::{Gate, OutsideWindow, WINDOW_WAIT, Window, gate, needs_window};
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::contacts::{self, NewContact};
use waxwing_store::domain::conversations::{self, Remembered};
use waxwing_store::domain::crypto::BlindPurpose;
use waxwing_store::domain::messages::{self, MessageRow, NewMessage, WaitsFor, Way};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::domain::queue::Hint;
use waxwing_store::{StoreError, Tx};

use crate::Base;
use crate::deliver::DeliverySignal;
use crate::directory::{Channel, DirectoryHandle};
use crate::media::check_sendable;

/// A message to send.
#[derive(Clone)]
pub struct SendRequest {
    /// Whose message.
    pub tenant_id: TenantId,
    /// Through which channel; the tenant's oldest one when not given.
    pub channel_id: Option<ChannelId>,
    /// To whom.
    pub to: Identity,
    /// What it says, already checked against WhatsApp's limits.
    pub content: Content,
    /// The template it comes from.
    pub template_key: Option<String>,
    /// Why it is sent.
    pub purpose: Purpose,
    /// At most one message of the tenant gets this key.
    pub idempotency_key: Option<String>,
    /// The request as the caller wrote it: the same key with another request is a mistake.
    pub fingerprint: Vec<u8>,
    /// Not before; now when not given.
    pub due_at: Option<Timestamp>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// What becomes of it when the customer service window is closed.
    pub outside: Outside,
    /// Records who sends it.
    pub trail: Trail,
}

/// What becomes of a free-form message when the customer service window is closed.
#[derive(Clone, Default)]
pub enum Outside {
    /// It is refused, now or, when the window closes before its turn, at the last gate.
    #[default]
    Refuse,
    /// It waits until the contact writes, at most [`WINDOW_WAIT`].
    Wait,
    /// This message template is sent in its place.
    Template(Content),
}

/// Why a message was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The tenant has no channel, or none with that id.
    #[error("there is no such channel")]
    NoChannel,
    /// The customer service window is closed, so that only a message template gets through.
    #[error("the customer service window is closed")]
    WindowClosed {
        /// The contact has never written on this channel.
        never_opened: bool,
    },
    /// The tenant blocked the contact.
    #[error("the contact is blocked")]
    Blocked,
    /// It is marketing, and the contact opted out.
    #[error("the contact wants no marketing messages")]
    OptedOut,
    /// The key was used for the same request: this is the message.
    #[error("the idempotency key was used before")]
    Duplicate(MessageId),
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused(MessageId),
    /// The file that it names cannot be sent: why.
    #[error("the file {0}")]
    Media(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Queues messages. Cheap to clone.
#[derive(Clone)]
pub struct Send {
    base: Base,
    directory: DirectoryHandle,
    delivery: DeliverySignal,
}

/// How long the file of a message is kept after it is due, at least: as long as idempotency keys.
const FILE_IS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Other transactions may create the same person, thread or key in between; then the database decides who was first.
const RACES_MAX: u32 = 5;

/// Refusals take back what the transaction began.
const NEVER_OPENED: &str = "the contact has never written";
const BLOCKED: &str = "the contact is blocked";
const OPTED_OUT: &str = "the contact wants no marketing messages";
const CLOSED: &str = "the customer service window is closed";

enum Written {
    /// With a hint when it may go at once.
    Queued(Option<Hint>, Box<MessageRow>),
    KeyTaken(MessageId, bool),
    NoFile(String),
}

impl Send {
    /// A sender of messages.
    #[must_use]
    pub fn new(base: Base, directory: DirectoryHandle, delivery: DeliverySignal) -> Self {
        Self {
            base,
            directory,
            delivery,
        }
    }

    /// Queues a message. When this returns, it is durable; the answer shows it as it was queued.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn queue(&self, request: SendRequest) -> Result<MessageRow, SendError> {
        let channel = self.channel(&request).await?;
        let mut races = 0;
        loop {
            let (base, request, channel) =
                (self.base.clone(), request.clone(), Arc::clone(&channel));
            let written = self
                .base
                .store
                .write(move |tx| write(tx, &base, &channel, &request))
                .await;
            match written {
                Ok(Written::Queued(hint, message)) => {
                    if let Some(hint) = hint {
                        self.delivery.hint(&[hint]);
                    }
                    return Ok(*message);
                }
                Ok(Written::NoFile(reason)) => return Err(SendError::Media(reason)),
                Ok(Written::KeyTaken(message, true)) => return Err(SendError::Duplicate(message)),
                Ok(Written::KeyTaken(message, false)) => return Err(SendError::KeyReused(message)),
                Err(StoreError::Refused(NEVER_OPENED)) => {
                    return Err(SendError::WindowClosed { never_opened: true });
                }
                Err(StoreError::Refused(BLOCKED)) => return Err(SendError::Blocked),
                Err(StoreError::Refused(OPTED_OUT)) => return Err(SendError::OptedOut),
                Err(StoreError::Refused(CLOSED)) => {
                    return Err(SendError::WindowClosed {
                        never_opened: false,
                    });
                }
                Err(StoreError::Conflict { .. } | StoreError::Busy) if races < RACES_MAX => {
                    races += 1
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn channel(&self, request: &SendRequest) -> Result<Arc<Channel>, SendError> {
        let find = || {
            let directory = self.directory.current();
            match request.channel_id {
                None => directory.default_channel(request.tenant_id).cloned(),
                Some(id) => directory
                    .channel(id)
                    .filter(|channel| channel.tenant_id == request.tenant_id)
                    .cloned(),
            }
        };
        if let Some(channel) = find() {
            return Ok(channel);
        }
        // Perhaps another node created it a moment ago.
        self.directory.refresh(&self.base).await?;
        find().ok_or(SendError::NoChannel)
    }
}

fn write(
    tx: &mut Tx<'_>,
    base: &Base,
    channel: &Channel,
    request: &SendRequest,
) -> Result<Written, StoreError> {
    let now = base.clock.now();
    let channel_id = channel.channel_id;
    let tenant_id = request.tenant_id;
    let request_hash = request.idempotency_key.as_ref().map(|_| {
        base.keyring
            .blind(tenant_id, BlindPurpose::Request, &[&request.fingerprint])
    });
    if let Some(key) = &request.idempotency_key
        && let Some(holder) = messages::find_by_idempotency_key(tx, tenant_id, key)?
    {
        return Ok(Written::KeyTaken(
            holder.id,
            holder.request_hash == request_hash,
        ));
    }
    let until = request.due_at.unwrap_or(now).plus(FILE_IS_KEPT);
    let sendable = check_sendable(tx, tenant_id, channel.kind, &request.content, until)?;
    if let Err(reason) = sendable {
        return Ok(Written::NoFile(reason));
    }
    let mut events = Vec::new();
    let contact_id = contact(tx, base, request, now, &mut events)?;
    let (conversation_id, window) =
        conversation(tx, base, request, channel_id, contact_id, now, &mut events)?;
    let queued = at_window(request, window, now)?;
    let waits = queued.waits_for.is_some();
    let template_key = request.template_key.clone().filter(|_| !queued.instead);
    let message = NewMessage {
        tenant_id,
        id: MessageId::new(&*base.ids),
        conversation_id,
        contact_id,
        channel_id,
        content: queued.content,
        way: Way::Out {
            purpose: request.purpose,
            template_key: template_key.clone(),
            idempotency_key: request.idempotency_key.clone(),
            request_hash,
            due_at: queued.due_at,
            waits_for: queued.waits_for,
            outside_window: queued.outside,
        },
        reply_to: request.reply_to,
        cause: None,
    };
    let kind = message.content.kind();
    let hint = Hint {
        tenant_id,
        conversation_id,
        channel_id,
        message_id: message.id,
        priority: i64::from(request.purpose.priority()),
    };
    messages::add_many(tx, &base.keyring, &[message], now)?;
    conversations::note_sent(tx, tenant_id, conversation_id, template_key.as_deref(), now)?;
    outbox::append(tx, &events, now)?;
    let change = Change::made(json!({ "contactId": contact_id.to_string(), "type": kind }));
    let object = Object::one("message", hint.message_id);
    request.trail.record(tx, &object, &change)?;
    let row = messages::get(tx, &base.keyring, tenant_id, hint.message_id)?;
    let row = row.ok_or_else(|| StoreError::corrupt("a message that was just written is gone"))?;
    Ok(Written::Queued((!waits).then_some(hint), Box::new(row)))
}

/// How a message enters the queue.
struct Queued {
    content: Content,
    /// A message template took the place of what the caller wrote.
    instead: bool,
    due_at: Timestamp,
    waits_for: Option<WaitsFor>,
    outside: Option<OutsideWindow>,
}

/// What the customer service window makes of a request. What is sent later is judged when its time has come.
fn at_window(request: &SendRequest, window: Window, now: Timestamp) -> Result<Queued, StoreError> {
    let later = request.due_at.filter(|due_at| *due_at > now);
    let due_at = later.unwrap_or(now);
    let outside = match &request.outside {
        Outside::Refuse => None,
        Outside::Wait => Some(OutsideWindow::Wait {
            until: due_at.plus(WINDOW_WAIT).micros(),
        }),
        Outside::Template(content) => Some(OutsideWindow::Template {
            content: Box::new(content.clone()),
        }),
    };
    let mut queued = Queued {
        content: request.content.clone(),
        instead: false,
        due_at,
        waits_for: later.map(|_| WaitsFor::Time),
        outside: None,
    };
    if later.is_none() {
        match gate(&request.content, window, outside.as_ref(), now) {
            Gate::Send => {}
            Gate::Instead(template) => {
                queued.content = template.clone();
                queued.instead = true;
            }
            Gate::Wait(until) => {
                queued.due_at = until;
                queued.waits_for = Some(WaitsFor::Window);
            }
            Gate::Expire | Gate::Refuse => {
                let never = window.expires_at.is_none();
                let why = if never { NEVER_OPENED } else { CLOSED };
                return Err(StoreError::Refused(why));
            }
        }
    }
    queued.outside = outside.filter(|_| needs_window(&request.content));
    Ok(queued)
}

fn contact(
    tx: &mut Tx<'_>,
    base: &Base,
    request: &SendRequest,
    now: Timestamp,
    events: &mut Vec<NewOutboxEvent>,
) -> Result<ContactId, StoreError> {
    let tenant_id = request.tenant_id;
    let known = contacts::find_many(tx, &base.keyring, &[(tenant_id, &request.to)])?
        .pop()
        .flatten();
    if let Some(known) = known {
        // The caller's word that two ids are one person's is no proof: contacts are merged by hand or by WhatsApp's word.
        contacts::learn(tx, &base.keyring, tenant_id, &known, &request.to, None, now)?;
        if known.blocked_at.is_some() {
            return Err(StoreError::Refused(BLOCKED));
        }
        let said = known.marketing.as_deref().and_then(Marketing::parse);
        if !may_send(request.purpose, said) {
            return Err(StoreError::Refused(OPTED_OUT));
        }
        return Ok(known.id);
    }
    let id = ContactId::new(&*base.ids);
    let contact = NewContact {
        tenant_id,
        id,
        identity: &request.to,
        profile_name: None,
    };
    contacts::create_many(tx, &base.keyring, &[contact], now)?;
    let event = DomainEvent::ContactCreated { contact_id: id };
    events.push(NewOutboxEvent {
        tenant_id,
        id: OutboxEventId::new(&*base.ids),
        event,
    });
    Ok(id)
}

fn conversation(
    tx: &mut Tx<'_>,
    base: &Base,
    request: &SendRequest,
    channel_id: ChannelId,
    contact_id: ContactId,
    now: Timestamp,
    events: &mut Vec<NewOutboxEvent>,
) -> Result<(ConversationId, Window), StoreError> {
    let tenant_id = request.tenant_id;
    let known = conversations::find_many(tx, &[(tenant_id, channel_id, contact_id)])?
        .pop()
        .flatten();
    if let Some(known) = known {
        return Ok((known.id, known.window()));
    }
    let id = ConversationId::new(&*base.ids);
    let memory = ConversationState::default();
    conversations::create_many(
        tx,
        &[Remembered {
            tenant_id,
            id,
            channel_id,
            contact_id,
            memory,
        }],
        now,
    )?;
    let event = DomainEvent::ConversationStarted {
        conversation_id: id,
        contact_id,
    };
    events.push(NewOutboxEvent {
        tenant_id,
        id: OutboxEventId::new(&*base.ids),
        event,
    });
    Ok((id, Window::default()))
}
