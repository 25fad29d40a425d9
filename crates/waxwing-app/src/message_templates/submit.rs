//! Handing a draft in.

use std::time::Duration;

use waxwing_core::ids::{MessageTemplateId, TenantId};
use waxwing_core::message_template::TemplateStatus;
use waxwing_providers::messaging::{Created, TemplateApi, TemplateFailure, template_api};
use waxwing_store::domain::message_templates::{self as store, MessageTemplateRecord};

use super::{ManageError, MessageTemplates, checked};
use crate::directory::Channel;

/// Somebody who began to hand a template in and never came back is waited for this long.
const SUBMISSION_MAX: Duration = Duration::from_secs(60);

impl MessageTemplates {
    /// Hands a draft in. The linter looks at it first.
    ///
    /// # Errors
    /// See [`ManageError`]. When the answer was lost, a synchronisation tells what became of it.
    pub async fn submit(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        accept_warnings: bool,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let record = self.get(tenant, id).await?;
        checked(&record.template, accept_warnings)?;
        let channel = self.channel(tenant, Some(record.channel_id)).await?;
        let api = template_api(channel.kind);
        let record = self.begin(tenant, id).await?;
        let handed_in = self.hand_in(api, &channel, &record).await;
        let outcome = match handed_in {
            Ok(created) => self.settle(tenant, id, created).await,
            Err(error) => {
                self.give_up(tenant, id, &error).await?;
                Err(error)
            }
        };
        if let Err(ManageError::Provider(error)) = &outcome
            && matches!(
                error.failure,
                TemplateFailure::Exists | TemplateFailure::Unknown
            )
            && let Some(found) = self.found_there(tenant, id, &channel).await
        {
            return Ok(found);
        }
        outcome
    }

    /// Whether the provider has it after all: a lost answer, or a template that was made elsewhere.
    async fn found_there(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        channel: &Channel,
    ) -> Option<MessageTemplateRecord> {
        self.sync_account(channel).await.ok()?;
        let record = self.get(tenant, id).await.ok()?;
        (record.standing.status != TemplateStatus::Draft).then_some(record)
    }

    /// Marks that it is being handed in, so that nobody else does.
    async fn begin(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let now = self.base.clock.now();
        let begun = self.base.store.write(move |tx| {
            let Some(mut record) = store::lock(tx, tenant, id)? else {
                return Ok(Err(ManageError::NotFound));
            };
            let status = record.standing.status;
            if !status.can_be_submitted() {
                let what = "submitted";
                return Ok(Err(ManageError::Standing { status, what }));
            }
            let busy = record.submitted_at;
            if busy.is_some_and(|since| since.plus(SUBMISSION_MAX) > now) {
                return Ok(Err(ManageError::Busy));
            }
            record.submitted_at = Some(now);
            store::save(tx, tenant, &record, now)?;
            Ok(Ok(record))
        });
        begun.await?
    }

    async fn hand_in(
        &self,
        api: &dyn TemplateApi,
        channel: &Channel,
        record: &MessageTemplateRecord,
    ) -> Result<Created, ManageError> {
        let (account, endpoints) = (&channel.account, &*self.endpoints);
        let template = &record.template;
        // A resource that was made before, whose approval could not be asked for.
        let known = record
            .provider_id
            .clone()
            .filter(|_| record.standing.status == TemplateStatus::Draft);
        let mut created = match known {
            Some(provider_id) => Created {
                provider_id: Some(provider_id),
                status: TemplateStatus::Draft,
                category: None,
                reason: None,
            },
            None => {
                let template = self.with_samples(channel, template).await?;
                let request = api.build_create(account, endpoints, &template)?;
                api.interpret_create(&self.call(request).await)?
            }
        };
        let Some(provider_id) = created.provider_id.clone() else {
            return Ok(created);
        };
        if let Some(request) = api.build_approval(account, endpoints, &provider_id, template)? {
            self.remember(channel.tenant_id, record.id, &provider_id)
                .await?;
            let approval = api.interpret_approval(&self.call(request).await)?;
            created = Created {
                provider_id: Some(provider_id),
                ..approval
            };
        }
        Ok(created)
    }

    /// Keeps the provider's id between the two steps of a provider that has two.
    async fn remember(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        provider_id: &str,
    ) -> Result<(), ManageError> {
        let (now, provider_id) = (self.base.clock.now(), provider_id.to_owned());
        self.change(tenant, id, move |record| {
            record.provider_id = Some(provider_id.clone());
            (Vec::new(), now)
        })
        .await
        .map(|_| ())
    }

    async fn settle(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        created: Created,
    ) -> Result<MessageTemplateRecord, ManageError> {
        let now = self.base.clock.now();
        self.change(tenant, id, move |record| {
            record.provider_id.clone_from(&created.provider_id);
            record.submitted_at = None;
            // News by webhook may have come before the answer.
            let settled = !record.standing.status.can_be_submitted();
            let status = (!settled)
                .then(|| {
                    record
                        .standing
                        .move_to(created.status, created.reason.clone())
                })
                .flatten();
            let category = created
                .category
                .and_then(|category| record.standing.sort_into(category));
            record.template.category = record.standing.category;
            (status.into_iter().chain(category).collect(), now)
        })
        .await
    }

    async fn give_up(
        &self,
        tenant: TenantId,
        id: MessageTemplateId,
        error: &ManageError,
    ) -> Result<(), ManageError> {
        let (now, reason) = (self.base.clock.now(), error.to_string());
        self.change(tenant, id, move |record| {
            record.submitted_at = None;
            record.standing.reason = Some(reason.clone());
            (Vec::new(), now)
        })
        .await
        .map(|_| ())
    }
}
