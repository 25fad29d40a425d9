//! What messages say and people call themselves: in the open, so that it can be searched, or sealed, where the tenant
//! wants that. Whoever reads does not notice which.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value as Any, json};
use uuid::Uuid;
use waxwing_core::content::Content;
use waxwing_core::ids::{ContactId, MessageId, TenantId};
use waxwing_core::window::OutsideWindow;

use super::crypto::{Keyring, Place};
use crate::{StoreError, Value};

/// What is sealed of a message.
#[derive(Serialize, Deserialize)]
struct Whole<T> {
    content: T,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outside_window: Option<OutsideWindow>,
}

/// The columns of a message that hold what it says.
pub(super) struct Stored<'a> {
    /// `body`: what is searched.
    pub(super) body: Option<&'a str>,
    /// `content`.
    pub(super) content: Value,
    /// `outside_window`.
    pub(super) outside_window: Value,
    /// `content_sealed`.
    pub(super) sealed: Option<Vec<u8>>,
}

fn place(row: &Uuid) -> Place<'_> {
    Place::new("messages", "content_sealed", row)
}

/// The columns for what a message says.
pub(super) fn store<'a>(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    content: &'a Content,
    outside_window: Option<&OutsideWindow>,
) -> Result<Stored<'a>, StoreError> {
    if !keyring.seals_content(tenant) {
        return Ok(Stored {
            body: content.text(),
            content: Value::json(content)?,
            outside_window: outside_window
                .map(Value::json)
                .transpose()?
                .unwrap_or(Value::Null),
            sealed: None,
        });
    }
    let no_json = |_| StoreError::corrupt("a content that is no JSON");
    let plain = serde_json::to_value(content).map_err(no_json)?;
    // Erasing looks for the file, and a message that may be sent in another form is known by its column.
    let mut open = json!({ "type": content.kind() });
    if let Some(file) = plain.get("mediaId") {
        open["mediaId"] = file.clone();
    }
    let whole = Whole {
        content: plain,
        outside_window: outside_window.cloned(),
    };
    let whole = serde_json::to_vec(&whole).map_err(no_json)?;
    let stub = outside_window.map(|_| OutsideWindow::Wait { until: 0 });
    Ok(Stored {
        body: None,
        content: Value::json(&open)?,
        outside_window: stub
            .as_ref()
            .map(Value::json)
            .transpose()?
            .unwrap_or(Value::Null),
        sealed: Some(keyring.seal(tenant, place(&id.uuid()), &whole)),
    })
}

/// What a sealed message says, and what becomes of it outside of the window.
fn open<T: for<'a> Deserialize<'a>>(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    sealed: &[u8],
) -> Result<Whole<T>, StoreError> {
    let text = keyring.open_text(tenant, place(&id.uuid()), sealed)?;
    serde_json::from_str(&text).map_err(|_| StoreError::corrupt("a sealed content of another form"))
}

/// What a sealed message says, as it would stand in the open.
pub(super) struct Shown {
    /// `body`.
    pub(super) body: Option<String>,
    /// `content`.
    pub(super) content: Any,
    /// `outside_window`.
    pub(super) outside_window: Option<OutsideWindow>,
}

/// Opens a sealed message, for showing it.
pub(super) fn show(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    sealed: &[u8],
) -> Result<Shown, StoreError> {
    let whole: Whole<Any> = open(keyring, tenant, id, sealed)?;
    let content = serde_json::from_value::<Content>(whole.content.clone()).ok();
    Ok(Shown {
        body: content.and_then(|content| content.text().map(str::to_owned)),
        content: whole.content,
        outside_window: whole.outside_window,
    })
}

/// What a message says and what becomes of it outside of the window, for sending it: from the columns in the open, or
/// from the sealed one.
pub(super) fn read(
    keyring: &Keyring,
    tenant: TenantId,
    id: MessageId,
    (content, outside_window): (&RawValue, Option<OutsideWindow>),
    sealed: Option<&[u8]>,
) -> Result<(Content, Option<OutsideWindow>), StoreError> {
    let Some(sealed) = sealed else {
        let content = serde_json::from_str(content.get());
        let other = |_| StoreError::corrupt("a content of another form");
        return Ok((content.map_err(other)?, outside_window));
    };
    let whole: Whole<Content> = open(keyring, tenant, id, sealed)?;
    Ok((whole.content, whole.outside_window))
}

/// The columns `profile_name` and `profile_name_sealed` for a name.
pub(super) fn store_name(
    keyring: &Keyring,
    tenant: TenantId,
    contact: ContactId,
    name: Option<&str>,
) -> (Option<String>, Option<Vec<u8>>) {
    match name {
        Some(name) if keyring.seals_content(tenant) => {
            let row = contact.uuid();
            let place = Place::new("contacts", "profile_name_sealed", &row);
            (None, Some(keyring.seal(tenant, place, name.as_bytes())))
        }
        name => (name.map(str::to_owned), None),
    }
}

/// The name of a contact, wherever it stands.
///
/// # Errors
/// When the stored value does not open.
pub fn read_name(
    keyring: &Keyring,
    tenant: TenantId,
    contact: ContactId,
    name: Option<String>,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(name);
    };
    let row = contact.uuid();
    let place = Place::new("contacts", "profile_name_sealed", &row);
    Ok(Some(keyring.open_text(tenant, place, sealed)?))
}

#[cfg(test)]
mod tests {
    use waxwing_core::ids::NodeId;
    use waxwing_core::settings::TenantSettings;
    use waxwing_core::time::Timestamp;

    use super::*;
    use crate::domain::messages;
    use crate::domain::queue::tests::{NOW, TENANT, queued, uuid};
    use crate::domain::queue::{self, Hint};
    use crate::domain::tenants;
    use crate::{Scope, Statement, params, store_test};

    static TEXTS: Statement = Statement::new(
        "TEXTS",
        "SELECT count(*) FROM messages WHERE tenant_id = $1 AND body IS NOT NULL",
        Scope::Tenant,
    );

    fn sealing() -> Keyring {
        let keyring = Keyring::for_tests(7);
        keyring.set_sealing([TENANT]);
        keyring
    }

    fn claims(hints: &[Hint]) -> Vec<(Hint, waxwing_core::ids::AttemptId)> {
        let attempt = |n: usize| waxwing_core::ids::AttemptId::from_uuid(uuid(2_000 + n as u128));
        hints
            .iter()
            .enumerate()
            .map(|(n, hint)| (*hint, attempt(n)))
            .collect()
    }

    store_test!(what_is_sealed_is_sent_and_shown_as_ever, |db| async move {
        let keyring = sealing();
        let write = db.store().write(move |tx| {
            let hints = queued(tx, &keyring, 2)?;
            assert_eq!(tx.query_one::<i64>(&TEXTS, &params![TENANT])?, 0);
            let node = NodeId::from_uuid(uuid(6));
            let claimed = queue::claim(tx, &keyring, &claims(&hints), node, NOW)?.claimed;
            assert_eq!(claimed.len(), 2);
            for sent in claimed {
                let shown = messages::get(tx, &keyring, TENANT, sent.message_id)?.unwrap();
                assert_eq!(sent.content.text(), shown.body.as_deref());
                assert!(shown.body.is_some() && shown.content_sealed.is_none());
            }
            // Switched off, what was sealed can be read all the same.
            keyring.set_sealing([]);
            let shown = messages::get(tx, &keyring, TENANT, hints[0].message_id)?.unwrap();
            assert!(shown.body.is_some());
            Ok(())
        });
        write.await.unwrap();
    });

    store_test!(what_does_not_open_holds_nobody_else_up, |db| async move {
        let keyring = sealing();
        let write = db.store().write(move |tx| {
            let hints = queued(tx, &keyring, 2)?;
            // The keys are gone, as those of an erased tenant are.
            let other = Keyring::for_tests(8);
            let node = NodeId::from_uuid(uuid(6));
            let done = queue::claim(tx, &other, &claims(&hints), node, NOW)?;
            assert!(done.claimed.is_empty());
            assert_eq!(done.held.len(), 2);
            let again = queue::claim(tx, &keyring, &claims(&hints), node, NOW)?;
            assert!(again.claimed.is_empty(), "they have failed");
            Ok(())
        });
        write.await.unwrap();
    });

    store_test!(a_tenant_chooses_and_all_nodes_hear_of_it, |db| async move {
        let write = db.store().write(|tx| {
            let now = Timestamp::from_seconds(1);
            tenants::create(tx, TENANT, "T", &TenantSettings::default(), now)?;
            let keyring = Keyring::for_tests(7);
            let chosen = |tx: &mut crate::Tx<'_>, wanted: bool| {
                tenants::update(tx, TENANT, now, |_, settings| {
                    settings.encrypt_content = wanted;
                })
            };
            let epoch = crate::domain::keys::epoch(tx)?;
            chosen(tx, true)?;
            assert!(crate::domain::keys::epoch(tx)? > epoch);
            crate::domain::keys::refresh(tx, &keyring)?;
            assert!(keyring.seals_content(TENANT));
            chosen(tx, false)?;
            crate::domain::keys::refresh(tx, &keyring)?;
            assert!(!keyring.seals_content(TENANT));
            // One that wants it from its first day.
            let wants = TenantSettings {
                encrypt_content: true,
                ..TenantSettings::default()
            };
            let other = TenantId::from_uuid(uuid(77));
            tenants::create(tx, other, "T", &wants, now)?;
            crate::domain::keys::refresh(tx, &keyring)?;
            assert!(keyring.seals_content(other));
            Ok(())
        });
        write.await.unwrap();
    });
}
