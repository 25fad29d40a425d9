//! The consent ledger: every wish about marketing, where it was said and in which words.
//!
//! The contact's present wish is a column, which the last gate asks; how it came to be is a chain of proven entries that
//! is never shortened ([`waxwing_store::domain::audit`]).

use serde_json::{Value, json};
use waxwing_core::audit::{Actor, Change, Deed, Object};
use waxwing_core::consent::{ConsentSource, Marketing};
use waxwing_core::ids::{AuditEntryId, ContactId, OutboxEventId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::audit::{Book, Trail};
use waxwing_store::domain::contacts;
use waxwing_store::domain::outbox::NewOutboxEvent;
use waxwing_store::{StoreError, Tx};

use crate::Base;

/// A wish, as it was said.
#[derive(Debug, Clone)]
pub struct Said {
    /// What the person wants.
    pub marketing: Marketing,
    /// Where it was said.
    pub source: ConsentSource,
    /// When.
    pub at: Timestamp,
    /// Who noted it; the contact themselves where nobody is named.
    pub by: Option<Deed>,
    /// What shows it: the word that was written, the message, the wording that was shown. No personal data.
    pub evidence: Value,
}

/// Notes a wish of a contact, unless something newer is known. The event that tells of it, or `None` when it is no news.
///
/// # Errors
/// What the database says.
pub fn note(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant: TenantId,
    contact: ContactId,
    said: &Said,
    now: Timestamp,
) -> Result<Option<NewOutboxEvent>, StoreError> {
    let before = contacts::marketing(tx, tenant, contact)?;
    if !contacts::set_marketing(tx, tenant, contact, said.marketing, said.at, now)? {
        return Ok(None);
    }
    let deed = said.by.clone().unwrap_or(Deed {
        tenant: Some(tenant),
        at: now,
        actor: Actor::Contact(contact),
        address: None,
        action: "consent",
    });
    let deed = Deed {
        action: match said.marketing {
            Marketing::OptedIn => "consent.opt_in",
            Marketing::OptedOut => "consent.opt_out",
        },
        ..deed
    };
    let id = AuditEntryId::new(&*base.ids);
    let change = Change::of(
        json!({ "marketing": before.map(Marketing::as_str) }),
        json!({
            "marketing": said.marketing.as_str(), "source": said.source.as_str(),
            "saidAt": said.at.rfc3339(), "evidence": said.evidence,
        }),
    );
    Trail::new(id, Book::Consent, deed, base.keyring.clone()).record(
        tx,
        &Object::one("contact", contact),
        &change,
    )?;
    Ok(Some(NewOutboxEvent {
        tenant_id: tenant,
        id: OutboxEventId::new(&*base.ids),
        event: DomainEvent::ContactMarketingChanged {
            contact_id: contact,
            marketing: said.marketing.as_str().to_owned(),
        },
    }))
}

/// A provider refused a marketing message because the person opted out there.
///
/// # Errors
/// What the database says.
pub(crate) fn refused_by_provider(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant: TenantId,
    message: waxwing_core::ids::MessageId,
    code: Option<&str>,
    now: Timestamp,
) -> Result<Option<NewOutboxEvent>, StoreError> {
    let Some(row) = waxwing_store::domain::messages::get(tx, &base.keyring, tenant, message)?
    else {
        return Ok(None);
    };
    let said = Said {
        marketing: Marketing::OptedOut,
        source: ConsentSource::Provider,
        at: now,
        by: None,
        evidence: json!({ "messageId": message.to_string(), "code": code }),
    };
    note(tx, base, tenant, row.contact_id, &said, now)
}
