//! What providers tell about templates, taken in: by webhook, by list, and by refusing a send.

use waxwing_core::content::is_content_sid;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::event::TemplateNews;
use waxwing_core::ids::{ChannelId, MessageTemplateId, TenantId};
use waxwing_core::message_template::{
    Change, RemoteTemplate, Standing, TemplateStatus, fold_language,
};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::channel_health;
use waxwing_store::domain::message_templates::{self as store, Creation, MessageTemplateRecord};
use waxwing_store::{StoreError, Tx};

use super::{event, tell};
use crate::Base;

/// A template of which a send has shown that it is not what it was thought to be.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Whose template.
    pub tenant_id: TenantId,
    /// The channels of its account.
    pub channels: Vec<ChannelId>,
    /// Its name, or its `ContentSid` where the send named that.
    pub name: String,
    /// Its language.
    pub language: String,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub reason: String,
}

/// The code of an error that says something about the template itself.
#[must_use]
pub fn fault_code(error: &ProviderError) -> Option<&str> {
    let code = error.code.as_deref()?;
    let about = error.class == ErrorClass::Template;
    (about && TemplateStatus::revealed_by(code).is_some()).then_some(code)
}

/// Takes in the news of a webhook; the events that they make. `channels` are the tenant's channels of the account.
///
/// A template that is not known, or whose text changed, is read with the next synchronisation, which comes soon.
///
/// # Errors
/// What the database says.
pub fn heard(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channels: &[ChannelId],
    news: &TemplateNews,
    now: Timestamp,
) -> Result<Option<DomainEvent>, StoreError> {
    let language = news.language.as_deref().map(fold_language);
    let found = store::find(
        tx,
        tenant,
        channels,
        Some(&news.template_id),
        news.name.as_deref(),
        language.as_deref(),
    )?;
    let record = match found {
        Some(id) => store::lock(tx, tenant, id)?,
        None => None,
    };
    let Some(mut record) = record else {
        read_soon(tx, tenant, channels)?;
        return Ok(None);
    };
    let is_old = news
        .at
        .zip(record.told_at)
        .is_some_and(|(at, told)| at < told);
    if is_old {
        return Ok(None);
    }
    let change = record.standing.hear(news);
    if change == Some(Change::Components) {
        read_soon(tx, tenant, channels)?;
    }
    record.told_at = news.at.or(record.told_at);
    if record.provider_id.is_none() {
        record.provider_id = Some(news.template_id.clone());
    }
    record.template.category = record.standing.category;
    store::save(tx, tenant, &record, now)?;
    Ok(change.map(|change| event(&record, change)))
}

fn read_soon(tx: &mut Tx<'_>, tenant: TenantId, channels: &[ChannelId]) -> Result<(), StoreError> {
    for channel in channels {
        channel_health::forget_sync(tx, tenant, *channel)?;
    }
    Ok(())
}

/// Corrects a template by what a refused send revealed; the event that it makes.
///
/// # Errors
/// What the database says.
pub fn revealed(
    tx: &mut Tx<'_>,
    fault: &Fault,
    now: Timestamp,
) -> Result<Option<DomainEvent>, StoreError> {
    let Some(status) = TemplateStatus::revealed_by(&fault.code) else {
        return Ok(None);
    };
    let tenant = fault.tenant_id;
    let language = fold_language(&fault.language);
    let found = store::find(
        tx,
        tenant,
        &fault.channels,
        is_content_sid(&fault.name).then_some(fault.name.as_str()),
        Some(&fault.name),
        Some(&language),
    )?;
    let record = match found {
        Some(id) => store::lock(tx, tenant, id)?,
        None => None,
    };
    let Some(mut record) = record else {
        return Ok(None);
    };
    // Only what was thought to be sendable is corrected: a rejected one does not exist for sends, either.
    if !record.standing.status.can_be_sent() {
        return Ok(None);
    }
    let change = record.standing.move_to(status, Some(fault.reason.clone()));
    store::save(tx, tenant, &record, now)?;
    read_soon(tx, tenant, &fault.channels)?;
    Ok(change.map(|change| event(&record, change)))
}

/// How a page of a list was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Absorbed {
    pub(super) created: u32,
    pub(super) updated: u32,
    pub(super) unchanged: u32,
    pub(super) full: bool,
}

#[expect(
    clippy::too_many_arguments,
    reason = "the pieces of one transaction, each from another source"
)]
/// Takes in a page of a list that was asked for at `since`. What changed here after that stays: the list may be older.
pub(super) fn listed(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant: TenantId,
    channel: ChannelId,
    channels: &[ChannelId],
    page: &[RemoteTemplate],
    since: Timestamp,
    ids: &[MessageTemplateId],
) -> Result<Absorbed, StoreError> {
    let now = base.clock.now();
    let mut absorbed = Absorbed::default();
    for (remote, fresh) in page.iter().zip(ids) {
        let found = store::find(
            tx,
            tenant,
            channels,
            remote.provider_id.as_deref(),
            Some(&remote.template.name),
            Some(&remote.template.language),
        )?;
        let known = match found {
            Some(id) => store::lock(tx, tenant, id)?,
            None => None,
        };
        let Some(record) = known else {
            let made = new_record(*fresh, channel, remote, now);
            match store::create(tx, tenant, &made)? {
                Creation::Created => absorbed.created += 1,
                Creation::Taken => absorbed.unchanged += 1,
                Creation::Full => absorbed.full = true,
            }
            continue;
        };
        if update(tx, base, tenant, record, remote, since, now)? {
            absorbed.updated += 1;
        } else {
            absorbed.unchanged += 1;
        }
    }
    Ok(absorbed)
}

fn new_record(
    id: MessageTemplateId,
    channel_id: ChannelId,
    remote: &RemoteTemplate,
    now: Timestamp,
) -> MessageTemplateRecord {
    let mut standing = Standing::draft(remote.template.category);
    standing.compare(remote);
    MessageTemplateRecord {
        id,
        channel_id,
        provider_id: remote.provider_id.clone(),
        template: remote.template.clone(),
        standing,
        submitted_at: None,
        told_at: None,
        synced_at: Some(now),
        created_at: now,
        updated_at: now,
    }
}

fn update(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant: TenantId,
    mut record: MessageTemplateRecord,
    remote: &RemoteTemplate,
    since: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let before = record.clone();
    if record.updated_at <= since {
        let changes = record.standing.compare(remote);
        let silent = remote.template.components.is_empty();
        if !silent && !record.template.says_the_same_as(&remote.template) {
            let ttl = record.template.ttl_seconds;
            record.template = remote.template.clone();
            record.template.ttl_seconds = remote.template.ttl_seconds.or(ttl);
        }
        record.template.category = record.standing.category;
        record.submitted_at = None;
        tell(tx, base, tenant, &record, &changes, now)?;
    }
    if remote.provider_id.is_some() {
        record.provider_id.clone_from(&remote.provider_id);
    }
    let changed = record != before;
    record.synced_at = Some(now);
    let at = if changed { now } else { record.updated_at };
    store::save(tx, tenant, &record, at)?;
    Ok(changed)
}

/// Marks as deleted what a whole list, asked for at `since`, did not have. How many there were.
pub(super) fn missing(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant: TenantId,
    channels: &[ChannelId],
    since: Timestamp,
) -> Result<u32, StoreError> {
    let now = base.clock.now();
    let mut gone = 0;
    for channel in channels {
        for id in store::of_channel(tx, tenant, *channel)? {
            let Some(mut record) = store::get(tx, tenant, id)? else {
                continue;
            };
            let seen = record.synced_at.is_some_and(|at| at >= since);
            let here_only = matches!(
                record.standing.status,
                TemplateStatus::Draft | TemplateStatus::Deleted
            );
            if seen || here_only || record.updated_at > since {
                continue;
            }
            let reason = Some("the provider does not list it any more".to_owned());
            let change = record.standing.move_to(TemplateStatus::Deleted, reason);
            store::save(tx, tenant, &record, now)?;
            tell(tx, base, tenant, &record, change.as_slice(), now)?;
            gone += 1;
        }
    }
    Ok(gone)
}
