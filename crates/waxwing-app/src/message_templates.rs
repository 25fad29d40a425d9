//! Message templates: made as drafts, checked, handed in, kept up to date with the provider, and checked again when one
//! is sent.

mod absorb;
mod job;
mod prepare;
mod samples;
mod submit;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waxwing_core::audit;
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::{ChannelId, MessageTemplateId, OutboxEventId, TenantId};
use waxwing_core::message_template::lint::{self, Finding};
use waxwing_core::message_template::{Change, MessageTemplate, Standing, TemplateStatus};
use waxwing_core::outbox::DomainEvent;
use waxwing_core::time::Timestamp;
use waxwing_providers::http::{HttpClient, HttpOutcome, HttpRequest};
use waxwing_providers::messaging::{
    BuildError, Endpoints, TemplateError, TemplateFailure, template_api,
};
use waxwing_store::domain::audit::Trail;
use waxwing_store::domain::message_templates::{self as store, Creation, MessageTemplateRecord};
use waxwing_store::domain::outbox::{self, NewOutboxEvent};
use waxwing_store::{StoreError, Tx};

use crate::Base;
use crate::directory::{Channel, DirectoryHandle};
use crate::media::Files;

pub use self::absorb::{Fault, fault_code, heard, revealed};
pub use self::job::{SyncOptions, run};
pub use self::prepare::{Given, Prepared};
pub use self::sync::Synced;

/// How long a provider may take to answer a call about templates.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Why something about a message template was not done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManageError {
    /// The tenant has no such channel that is switched on.
    #[error("there is no such channel")]
    NoChannel,
    /// The tenant has no such message template.
    #[error("there is no such message template")]
    NotFound,
    /// The account has one of this name and language.
    #[error("there is a message template of this name and language")]
    Taken(MessageTemplateId),
    /// The tenant has as many as it can have.
    #[error("there are too many message templates")]
    Full,
    /// Somebody else is handing it in at this moment.
    #[error("it is being handed in")]
    Busy,
    /// It does not stand where that can be done.
    #[error("a message template that is {} cannot be {what}", .status.as_str())]
    Standing {
        /// Where it stands.
        status: TemplateStatus,
        /// What was wanted.
        what: &'static str,
    },
    /// The linter found something; with warnings only, they can be accepted.
    #[error("the linter found something")]
    Lint(Vec<Finding>),
    /// The provider has no way to do it.
    #[error("{0}")]
    NotPossible(String),
    /// The provider refused it or did not answer.
    #[error("{}", .0.words())]
    Provider(Box<TemplateError>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BuildError> for ManageError {
    fn from(error: BuildError) -> Self {
        Self::NotPossible(error.to_string())
    }
}

impl From<TemplateError> for ManageError {
    fn from(error: TemplateError) -> Self {
        Self::Provider(Box::new(error))
    }
}

/// What a person changes about a message template.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What it shall say.
    pub template: MessageTemplate,
    /// Whether warnings of the linter stand in the way when it is handed in again.
    pub accept_warnings: bool,
}

/// The management of message templates. Cheap to clone.
#[derive(Clone)]
pub struct MessageTemplates {
    base: Base,
    directory: DirectoryHandle,
    client: HttpClient,
    endpoints: Arc<Endpoints>,
    files: Files,
}

impl MessageTemplates {
    /// The management through these tools.
    #[must_use]
    pub fn new(
        base: Base,
        directory: DirectoryHandle,
        client: HttpClient,
        endpoints: Arc<Endpoints>,
        files: Files,
    ) -> Self {
        Self {
            base,
            directory,
            client,
            endpoints,
            files,
        }
    }

    /// A channel of the tenant, its oldest one when none is named.
    async fn channel(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
    ) -> Result<Arc<Channel>, ManageError> {
        let find = || {
            let directory = self.directory.current();
            match channel {
                None => directory.default_channel(tenant).cloned(),
                Some(id) => directory
                    .channel(id)
                    .filter(|channel| channel.tenant_id == tenant)
                    .cloned(),
            }
        };
        if let Some(channel) = find() {
            return Ok(channel);
        }
        // Perhaps another node made it a moment ago.
        self.directory.refresh(&self.base).await?;
        find().ok_or(ManageError::NoChannel)
    }

    async fn call(&self, request: HttpRequest) -> HttpOutcome {
        self.client.call(request, CALL_DEADLINE).await
    }

    /// Stores a draft.
    ///
    /// # Errors
    /// [`ManageError::NoChannel`], [`ManageError::Taken`], [`ManageError::Full`].
    pub async fn create(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
        template: MessageTemplate,
        trail: Trail,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let channel = self.channel(tenant, channel).await?;
        let siblings = self.directory.current().siblings(&channel);
        let now = self.base.clock.now();
        let record = MessageTemplateRecord {
            id: MessageTemplateId::new(&*self.base.ids),
            channel_id: channel.channel_id,
            provider_id: None,
            standing: Standing::draft(template.category),
            template,
            submitted_at: None,
            told_at: None,
            synced_at: None,
            created_at: now,
            updated_at: now,
        };
        let made = record.clone();
        let outcome = self.base.store.write(move |tx| {
            let (name, language) = (&made.template.name, &made.template.language);
            let taken = store::find(tx, tenant, &siblings, None, Some(name), Some(language))?;
            if taken.is_some() {
                return Ok((taken, Creation::Taken));
            }
            let created = store::create(tx, tenant, &made)?;
            if created == Creation::Created {
                let change = audit::Change::made(json!({ "name": name, "language": language }));
                let object = audit::Object::one("message_template", made.id);
                trail.record(tx, &object, &change)?;
            }
            Ok((None, created))
        });
        match outcome.await? {
            (_, Creation::Created) => Ok(record),
            (taken, Creation::Taken) => Err(ManageError::Taken(taken.unwrap_or(record.id))),
            (_, Creation::Full) => Err(ManageError::Full),
        }
    }

    async fn get(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let found = self.base.store.read(move |tx| store::get(tx, tenant, id));
        found.await?.ok_or(ManageError::NotFound)
    }

    /// Changes a record and tells of it, in one transaction.
    async fn change(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        change: impl Fn(&mut MessageTemplateRecord) -> (Vec<Change>, Timestamp)
        + std::marker::Send
        + Sync
        + 'static,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let base = self.base.clone();
        let changed = self.base.store.write(move |tx| {
            let Some(mut record) = store::lock(tx, tenant, id)? else {
                return Ok(None);
            };
            let (changes, now) = change(&mut record);
            record.updated_at = now;
            store::save(tx, tenant, &record, now)?;
            tell(tx, &base, tenant, &record, &changes, now)?;
            Ok(Some(record))
        });
        changed.await?.ok_or(ManageError::NotFound)
    }

    /// Changes a message template: a draft here, one that was handed in at the provider, too.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn edit(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        edit: Edit,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let record = self.get(tenant, id).await?;
        let status = record.standing.status;
        let (old, new) = (&record.template, &edit.template);
        if status.can_be_submitted() && record.provider_id.is_none() {
            return self.redraft(tenant, &record, edit.template).await;
        }
        if old.name != new.name || old.language != new.language {
            return Err(ManageError::NotPossible(
                "name and language of a template that was submitted stay; make another one"
                    .to_owned(),
            ));
        }
        if !status.can_be_edited() {
            let what = "changed";
            return Err(ManageError::Standing { status, what });
        }
        let category = old.category != new.category;
        if category && status == TemplateStatus::Approved {
            return Err(ManageError::NotPossible(
                "the category of an approved template stays; make another one".to_owned(),
            ));
        }
        checked(new, edit.accept_warnings)?;
        let channel = self.channel(tenant, Some(record.channel_id)).await?;
        let api = template_api(channel.kind);
        let (account, endpoints) = (&channel.account, &*self.endpoints);
        let provider_id = record.provider_id.as_deref().unwrap_or_default();
        let new = &self.with_samples(&channel, new).await?;
        let request = api.build_edit(account, endpoints, provider_id, new, category)?;
        let Some(request) = request else {
            return Err(ManageError::NotPossible(
                "the provider cannot change a template; make another one".to_owned(),
            ));
        };
        api.interpret_done(&self.call(request).await)?;
        let now = self.base.clock.now();
        self.change(tenant, id, move |record| {
            record.template = edit.template.clone();
            let category = record.standing.sort_into(record.template.category);
            let status = record.standing.move_to(TemplateStatus::Pending, None);
            (status.into_iter().chain(category).collect(), now)
        })
        .await
    }

    async fn redraft(
        &self,
        tenant: TenantId,
        record: &MessageTemplateRecord,
        template: MessageTemplate,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let channel = self.channel(tenant, Some(record.channel_id)).await?;
        let siblings = self.directory.current().siblings(&channel);
        let (id, now) = (record.id, self.base.clock.now());
        let changed = self.base.store.write(move |tx| {
            let Some(mut record) = store::lock(tx, tenant, id)? else {
                return Ok(Err(ManageError::NotFound));
            };
            if !record.standing.status.can_be_submitted() || record.submitted_at.is_some() {
                return Ok(Err(ManageError::Busy));
            }
            let (name, language) = (&template.name, &template.language);
            let taken = store::find(tx, tenant, &siblings, None, Some(name), Some(language))?;
            if let Some(taken) = taken.filter(|taken| *taken != id) {
                return Ok(Err(ManageError::Taken(taken)));
            }
            record.template = template.clone();
            record.standing.category = template.category;
            record.updated_at = now;
            store::save(tx, tenant, &record, now)?;
            Ok(Ok(record))
        });
        changed.await?
    }

    /// Deletes a message template, at the provider first. Where the provider deletes all languages of a name at once,
    /// `all_languages` has to agree to that.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub async fn delete(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        all_languages: bool,
    ) -> Result<(), ManageError> {
        let record = self.get(tenant, id).await?;
        let mut ids = vec![id];
        let there = !matches!(
            record.standing.status,
            TemplateStatus::Draft | TemplateStatus::Deleted
        ) || record.provider_id.is_some();
        if there {
            let channel = self.channel(tenant, Some(record.channel_id)).await?;
            let api = template_api(channel.kind);
            if api.deletes_all_languages() {
                ids = self
                    .languages(tenant, &channel, &record.template.name)
                    .await?;
                if ids.len() > 1 && !all_languages {
                    return Err(ManageError::NotPossible(
                        "the provider deletes all languages of a name at once; agree with allLanguages=true"
                            .to_owned(),
                    ));
                }
            }
            let provider_id = record.provider_id.as_deref();
            let name = &record.template.name;
            let request = api.build_delete(&channel.account, &self.endpoints, provider_id, name)?;
            let Some(request) = request else {
                return Err(ManageError::NotPossible(
                    "the provider's API cannot delete templates; delete it in the provider's console and synchronise"
                        .to_owned(),
                ));
            };
            match api.interpret_done(&self.call(request).await) {
                Ok(()) => {}
                Err(error) if error.failure == TemplateFailure::Gone => {}
                Err(error) => return Err(error.into()),
            }
        }
        let gone = self.base.store.write(move |tx| {
            for id in &ids {
                store::delete(tx, tenant, *id)?;
            }
            Ok(())
        });
        Ok(gone.await?)
    }

    async fn languages(
        &self,
        tenant: TenantId,
        channel: &Channel,
        name: &str,
    ) -> Result<Vec<MessageTemplateId>, ManageError> {
        let siblings = self.directory.current().siblings(channel);
        let name = name.to_owned();
        let found = self
            .base
            .store
            .read(move |tx| store::by_name(tx, tenant, &siblings, &name));
        Ok(found.await?.into_iter().map(|record| record.id).collect())
    }
}

/// Refuses what the linter refuses.
fn checked(template: &MessageTemplate, accept_warnings: bool) -> Result<(), ManageError> {
    let findings = lint::lint(template);
    if lint::has_errors(&findings) || !(findings.is_empty() || accept_warnings) {
        return Err(ManageError::Lint(findings));
    }
    Ok(())
}

/// Writes the events of changes.
fn tell(
    tx: &mut Tx<'_>,
    base: &Base,
    tenant_id: TenantId,
    record: &MessageTemplateRecord,
    changes: &[Change],
    now: Timestamp,
) -> Result<(), StoreError> {
    let events: Vec<_> = changes
        .iter()
        .map(|change| NewOutboxEvent {
            tenant_id,
            id: OutboxEventId::new(&*base.ids),
            event: event(record, *change),
        })
        .collect();
    if events.is_empty() {
        return Ok(());
    }
    outbox::append(tx, &events, now)
}

/// The event of a change.
fn event(record: &MessageTemplateRecord, change: Change) -> DomainEvent {
    DomainEvent::of_template(
        record.id,
        record.channel_id,
        (&record.template.name, &record.template.language),
        change,
        record.standing.reason.as_deref(),
    )
}

/// An error without an answer of the provider.
fn own_error(message: impl Into<String>) -> ManageError {
    ManageError::Provider(Box::new(TemplateError {
        failure: TemplateFailure::Refused,
        error: Box::new(ProviderError::own(ErrorClass::Permanent, message)),
        subcode: None,
        title: None,
        text: None,
    }))
}
