//! A phone in the hand of a user, for tests and terminals.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::config::Referral;
use crate::hub::Hub;
use crate::inbound::{Act, Inbound};
use crate::provider::{CallEvent, CallNews};
use crate::shown::{ShownButton, ShownMessage, ShownRow};
use crate::state::{Number, Reach, UserState, lock, read};

/// Why a phone could not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneError {
    /// No message in the thread shows a button or row with this id.
    NotShown,
    /// No message of the business came in time.
    Timeout,
    /// The content is not a JSON object with a `type`, or media is larger than the memory given to it.
    BadContent,
}

impl fmt::Display for PhoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotShown => "no message in the thread shows this id",
            Self::Timeout => "no message came in time",
            Self::BadContent => "the content cannot be sent",
        })
    }
}

impl std::error::Error for PhoneError {}

/// The phone of one user in the chat with one business number. Clones have a reading position of their own.
pub struct Phone {
    hub: Arc<Hub>,
    number: Arc<Number>,
    user: Arc<UserState>,
    /// Last message of the business that [`Phone::await_reply`] gave out.
    seen: Mutex<u64>,
}

impl Clone for Phone {
    fn clone(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            number: Arc::clone(&self.number),
            user: Arc::clone(&self.user),
            seen: Mutex::new(*lock(&self.seen)),
        }
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone")
            .field("phone_number_id", &self.number.id())
            .finish_non_exhaustive()
    }
}

impl Phone {
    pub(crate) fn new(hub: Arc<Hub>, number: Arc<Number>, user: Arc<UserState>) -> Self {
        let seen = user.since(0).1.last().map_or(0, |m| m.seq);
        Self {
            hub,
            number,
            user,
            seen: Mutex::new(seen),
        }
    }

    fn receive(&self, inbound: Inbound) -> String {
        self.hub.receive(&self.number, &self.user, inbound)
    }

    /// Writes a text; gives the message id.
    pub fn say(&self, text: &str) -> String {
        self.receive(Inbound::new(Act::Text(text.to_owned())))
    }

    /// Writes a text in answer to a message.
    pub fn reply(&self, message_id: &str, text: &str) -> String {
        self.receive(Inbound::new(Act::Text(text.to_owned())).to(message_id))
    }

    /// Writes a text after a tap on an advertisement.
    pub fn say_from_ad(&self, text: &str, referral: Referral) -> String {
        self.receive(Inbound {
            referral: Some(referral),
            ..Inbound::new(Act::Text(text.to_owned()))
        })
    }

    /// Sends a place.
    pub fn send_location(
        &self,
        latitude: f64,
        longitude: f64,
        name: Option<&str>,
        address: Option<&str>,
    ) -> String {
        self.receive(Inbound::new(Act::Location {
            latitude,
            longitude,
            name: name.map(str::to_owned),
            address: address.map(str::to_owned),
        }))
    }

    /// Taps a button of the newest message that shows it.
    ///
    /// # Errors
    /// [`PhoneError::NotShown`] when no message shows it.
    pub fn tap(&self, button_id: &str) -> Result<String, PhoneError> {
        let found = self.find(|m| m.button(button_id).cloned());
        let (message, button) = found.ok_or(PhoneError::NotShown)?;
        Ok(self.press(&message, &button))
    }

    /// Taps a button of a certain message, which may be an old one.
    ///
    /// # Errors
    /// [`PhoneError::NotShown`] when that message does not show it.
    pub fn tap_on(&self, message_id: &str, button_id: &str) -> Result<String, PhoneError> {
        let found = self.find(|m| m.button(button_id).filter(|_| m.id == message_id).cloned());
        let (message, button) = found.ok_or(PhoneError::NotShown)?;
        Ok(self.press(&message, &button))
    }

    /// Sends a tap on a reply button that nobody showed, as a forged or long outdated one would look.
    pub fn tap_forged(&self, button_id: &str, title: &str) -> String {
        self.receive(Inbound::new(Act::Tap {
            id: button_id.to_owned(),
            title: title.to_owned(),
            template: false,
        }))
    }

    fn press(&self, message: &str, button: &ShownButton) -> String {
        let act = Act::Tap {
            id: button.id.clone(),
            title: button.title.clone(),
            template: button.kind == "quick_reply",
        };
        self.receive(Inbound::new(act).to(message))
    }

    /// Picks a row of the newest list that shows it.
    ///
    /// # Errors
    /// [`PhoneError::NotShown`] when no list shows it.
    pub fn pick(&self, row_id: &str) -> Result<String, PhoneError> {
        let (message, row) = self
            .find(|m| m.row(row_id).cloned())
            .ok_or(PhoneError::NotShown)?;
        Ok(self.choose(&message, &row))
    }

    /// Picks a row of a certain list.
    ///
    /// # Errors
    /// [`PhoneError::NotShown`] when that message does not show it.
    pub fn pick_on(&self, message_id: &str, row_id: &str) -> Result<String, PhoneError> {
        let found = self.find(|m| m.row(row_id).filter(|_| m.id == message_id).cloned());
        let (message, row) = found.ok_or(PhoneError::NotShown)?;
        Ok(self.choose(&message, &row))
    }

    fn choose(&self, message: &str, row: &ShownRow) -> String {
        let act = Act::Pick {
            id: row.id.clone(),
            title: row.title.clone(),
            description: row.description.clone(),
        };
        self.receive(Inbound::new(act).to(message))
    }

    fn find<T>(&self, wanted: impl Fn(&ShownMessage) -> Option<T>) -> Option<(String, T)> {
        let inner = lock(&self.user.inner);
        inner
            .thread
            .iter()
            .rev()
            .filter(|m| m.from_business)
            .find_map(|m| Some((m.id.clone(), wanted(m)?)))
    }

    /// Sends a message of any kind, in the provider's own words. With Meta: an object with `type` and the content of that
    /// type; its other properties (`context`, `referral`, `errors`, even `id` and `from`) replace the ones that the emulator
    /// would set.
    ///
    /// # Errors
    /// [`PhoneError::BadContent`] for anything but an object with a `type`.
    pub fn send_raw(&self, message: Value) -> Result<String, PhoneError> {
        let Value::Object(extra) = message else {
            return Err(PhoneError::BadContent);
        };
        let kind = extra
            .get("type")
            .and_then(Value::as_str)
            .ok_or(PhoneError::BadContent)?
            .to_owned();
        let own_id = extra.get("id").and_then(Value::as_str).map(str::to_owned);
        let text = extra
            .get(&kind)
            .and_then(|c| c.get("body").or_else(|| c.get("caption")))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        let id = self.receive(Inbound::new(Act::Raw {
            kind,
            fields: extra,
            text,
        }));
        Ok(own_id.unwrap_or(id))
    }

    /// Sends media of a kind (`image`, `audio`, …); the business can fetch it for as long as the emulator keeps it.
    ///
    /// # Errors
    /// [`PhoneError::BadContent`] when it is larger than the memory given to media.
    pub fn send_media(
        &self,
        kind: &str,
        mime: &str,
        bytes: Bytes,
        caption: Option<&str>,
    ) -> Result<String, PhoneError> {
        self.send_files(kind, &[(mime, bytes)], caption)
    }

    /// The same with several files in one message, each with its type. Only Twilio has room for more than one; elsewhere
    /// the others are lost.
    ///
    /// # Errors
    /// [`PhoneError::BadContent`] without a file, or when they are larger than the memory given to media.
    pub fn send_files(
        &self,
        kind: &str,
        files: &[(&str, Bytes)],
        caption: Option<&str>,
    ) -> Result<String, PhoneError> {
        let mut kept = Vec::with_capacity(files.len());
        for (mime, bytes) in files {
            let id = self.number.wire().media_id(&self.hub);
            if !lock(&self.hub.media).put(&id, mime, bytes.clone()) {
                return Err(PhoneError::BadContent);
            }
            kept.push((id, (*mime).to_owned()));
        }
        let mut kept = kept.into_iter();
        let (id, mime) = kept.next().ok_or(PhoneError::BadContent)?;
        Ok(self.receive(Inbound::new(Act::Media {
            kind: kind.to_owned(),
            id,
            mime,
            caption: caption.map(str::to_owned),
            more: kept.collect(),
        })))
    }

    /// Reacts to a message; an empty emoji takes the reaction back.
    pub fn react(&self, message_id: &str, emoji: &str) -> String {
        self.receive(Inbound::new(Act::Reaction {
            message: message_id.to_owned(),
            emoji: emoji.to_owned(),
        }))
    }

    /// Waits for the next message of the business that this phone has not given out yet.
    ///
    /// # Errors
    /// [`PhoneError::Timeout`].
    pub async fn await_reply(&self, timeout: Duration) -> Result<ShownMessage, PhoneError> {
        let mut changes = self.user.watch();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(message) = self.next_unseen() {
                    return message;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait)
            .await
            .map_err(|_| PhoneError::Timeout)
    }

    fn next_unseen(&self) -> Option<ShownMessage> {
        let mut seen = lock(&self.seen);
        let inner = lock(&self.user.inner);
        let message = inner
            .thread
            .iter()
            .find(|m| m.from_business && m.seq > *seen)
            .cloned()?;
        *seen = message.seq;
        Some(message)
    }

    /// Waits until the thread fulfils a condition, for example a tick; tells whether it did in time.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&[ShownMessage]) -> bool,
        timeout: Duration,
    ) -> bool {
        let mut changes = self.user.watch();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if condition(&self.thread()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }

    /// All bubbles, oldest first.
    #[must_use]
    pub fn thread(&self) -> Vec<ShownMessage> {
        self.user.since(0).1
    }

    /// Moves the user to another number, as digits, optionally with a new business-scoped id.
    pub fn change_number(&self, new: &str, user_id: Option<&str>) {
        self.hub
            .change_phone(&self.number, &self.user, new, user_id);
    }

    /// Stops or resumes marketing messages.
    pub fn marketing(&self, stop: bool) {
        self.hub
            .marketing_preference(&self.number, &self.user, stop);
    }

    /// Tells the business what happened to a call, under the call's id; false when the provider has no calls. A call of
    /// the user opens the customer service window.
    #[must_use]
    pub fn call(&self, id: &str, by_user: bool, event: CallEvent) -> bool {
        let news = CallNews { id, by_user, event };
        self.hub.call(&self.number, &self.user, &news)
    }

    /// Takes the phone on or off line, or off WhatsApp. What waited is delivered when it comes back.
    pub fn set_reach(&self, reach: Reach) {
        lock(&self.user.inner).reach = reach;
        if reach == Reach::Online {
            self.hub.release(&self.user);
        }
    }

    /// Closes the customer service window now.
    pub fn close_window(&self) {
        lock(&self.user.inner).window_until = 0;
    }

    /// Identifiers and name as they are now.
    #[must_use]
    pub fn user(&self) -> crate::User {
        read(&self.user.user).clone()
    }
}
