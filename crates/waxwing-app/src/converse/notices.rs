//! What WhatsApp tells about people besides their messages: new numbers and user ids, wishes about marketing.

use std::sync::Arc;

use serde_json::json;
use waxwing_core::consent::{ConsentSource, Marketing};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::event::{Preference, SystemNotice, UserIdUpdate};
use waxwing_core::identity::Identity;
use waxwing_core::ids::{ContactId, MergeId, MessageId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::contacts::merges::{self, Outcome, Reason};
use waxwing_store::domain::contacts::{self, NewIds};
use waxwing_store::{StoreError, Tx};

use super::apply::Writer;
use super::batch::Event;
use crate::consent::{self, Said};
use crate::directory::Channel;

/// A notice with its channel.
pub(super) struct Notice<'a> {
    pub(super) event: &'a Event,
    pub(super) channel: &'a Arc<Channel>,
    pub(super) kind: NoticeKind<'a>,
}

pub(super) enum NoticeKind<'a> {
    System(&'a SystemNotice),
    UserId(&'a UserIdUpdate),
    Preference(&'a Preference),
}

impl Writer<'_> {
    /// Brings contacts up to what WhatsApp tells. Each notice says how things are, so a second time changes nothing.
    pub(super) fn notices(
        &mut self,
        tx: &mut Tx<'_>,
        notices: &[Notice<'_>],
    ) -> Result<(), StoreError> {
        for notice in notices {
            let tenant = notice.channel.tenant_id;
            match notice.kind {
                NoticeKind::System(system) => {
                    let ids = NewIds {
                        phone: system.new_phone.clone(),
                        former_phone: system.sender.phone.clone(),
                        user_id: system.new_user_id.clone(),
                    };
                    self.new_ids(tx, tenant, &system.sender, &ids, &system.subtype)?;
                }
                NoticeKind::UserId(update) => {
                    let known_as = Identity {
                        phone: update.phone.clone(),
                        user_id: update.previous.clone(),
                        ..Identity::default()
                    };
                    let ids = NewIds {
                        user_id: update.current.clone(),
                        ..NewIds::default()
                    };
                    self.new_ids(tx, tenant, &known_as, &ids, "user_id_update")?;
                }
                NoticeKind::Preference(preference) => {
                    let received = notice.event.received_at;
                    let at = preference.at.unwrap_or(received).min(received);
                    self.preference(tx, tenant, preference, at)?;
                }
            }
        }
        Ok(())
    }

    fn new_ids(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        known_as: &Identity,
        ids: &NewIds,
        change: &str,
    ) -> Result<(), StoreError> {
        if ids.phone.is_none() && ids.user_id.is_none() {
            self.outcome.stored_only += 1;
            return Ok(());
        }
        let keyring = &self.tools.base.keyring;
        let known = contacts::find_many(tx, keyring, &[(tenant, known_as)])?;
        // A person that never wrote here is of no interest until they do.
        let Some(contact) = known.into_iter().flatten().next() else {
            self.outcome.stored_only += 1;
            return Ok(());
        };
        let other = contacts::change_ids(tx, keyring, tenant, contact.id, ids, self.now)?;
        if let Some(other) = other {
            self.merge(tx, tenant, contact.id, other, Reason::Provider)?;
        }
        self.outcome.applied += 1;
        let event = DomainEvent::ContactIdsChanged {
            contact_id: contact.id,
            change: change.to_owned(),
        };
        self.emit(tenant, event);
        Ok(())
    }

    fn preference(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        preference: &Preference,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let marketing = match preference.value.as_str() {
            "stop" => Marketing::OptedOut,
            "resume" | "signup" => Marketing::OptedIn,
            _ => {
                self.outcome.stored_only += 1;
                return Ok(());
            }
        };
        let keyring = &self.tools.base.keyring;
        let known = contacts::find_many(tx, keyring, &[(tenant, &preference.sender)])?;
        let Some(contact) = known.into_iter().flatten().next() else {
            self.outcome.stored_only += 1;
            return Ok(());
        };
        let said = Said {
            marketing,
            source: ConsentSource::Whatsapp,
            at,
            by: None,
            evidence: json!({ "preference": preference.value }),
        };
        self.consent(tx, tenant, contact.id, &said)
    }

    /// Notes a wish about marketing, and tells of it when it is news.
    pub(super) fn consent(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        contact: ContactId,
        said: &Said,
    ) -> Result<(), StoreError> {
        let noted = consent::note(tx, &self.tools.base, tenant, contact, said, self.now)?;
        match noted {
            Some(event) => {
                self.outcome.applied += 1;
                self.emit(tenant, event.event);
            }
            None => self.outcome.duplicates += 1,
        }
        Ok(())
    }

    /// A send that failed after all may show that the person opted out at the provider.
    pub(super) fn opted_out(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        message: MessageId,
        error: &ProviderError,
    ) -> Result<(), StoreError> {
        if error.class != ErrorClass::OptedOut {
            return Ok(());
        }
        let code = error.code.as_deref();
        let base = &self.tools.base;
        let noted = consent::refused_by_provider(tx, base, tenant, message, code, self.now)?;
        if let Some(event) = noted {
            self.emit(tenant, event.event);
        }
        Ok(())
    }

    /// Makes two contacts one, unless that is for a person to decide.
    pub(super) fn merge(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        winner: ContactId,
        loser: ContactId,
        reason: Reason,
    ) -> Result<(), StoreError> {
        let base = &self.tools.base;
        let id = MergeId::new(&*base.ids);
        let outcome = merges::merge(
            tx,
            &base.keyring,
            tenant,
            id,
            winner,
            loser,
            reason,
            self.now,
        )?;
        if outcome == Outcome::Merged {
            let event = DomainEvent::ContactMerged {
                contact_id: winner,
                merged_id: loser,
                reason: reason.as_str().to_owned(),
            };
            self.emit(tenant, event);
        }
        Ok(())
    }
}
