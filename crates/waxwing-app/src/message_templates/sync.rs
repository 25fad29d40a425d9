//! Reading all templates of an account from its provider.

use waxwing_core::ids::{ChannelId, MessageTemplateId, TenantId};
use waxwing_providers::messaging::template_api;
use waxwing_store::domain::channel_health;
use waxwing_store::domain::message_templates as store;

use super::absorb::{self, Absorbed};
use super::{ManageError, MessageTemplates, own_error};
use crate::directory::Channel;

/// Pages of one list at most: 6,000 templates, which is the most that an account may have, and some.
const PAGES_MAX: u32 = 150;

/// What a synchronisation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Templates that were not known here.
    pub created: u32,
    /// Templates of which something changed.
    pub updated: u32,
    /// Templates that are as they were.
    pub unchanged: u32,
    /// Templates that the provider has no more.
    pub deleted: u32,
    /// Templates that could not be read.
    pub unreadable: u32,
}

impl Synced {
    fn add(&mut self, page: Absorbed, unreadable: usize) {
        self.created += page.created;
        self.updated += page.updated;
        self.unchanged += page.unchanged;
        self.unreadable += u32::try_from(unreadable).unwrap_or(u32::MAX);
    }
}

impl MessageTemplates {
    /// One channel for each account of the tenant, or the one that is named.
    ///
    /// # Errors
    /// [`ManageError::NoChannel`]; what the database says.
    pub async fn accounts(
        &self,
        tenant: TenantId,
        channel: Option<ChannelId>,
    ) -> Result<Vec<ChannelId>, ManageError> {
        let first = self.channel(tenant, channel).await?;
        if channel.is_some() {
            return Ok(vec![first.channel_id]);
        }
        let directory = self.directory.current();
        let mut heads: Vec<ChannelId> = directory
            .channels()
            .filter(|channel| channel.tenant_id == tenant)
            .filter_map(|channel| directory.siblings(channel).first().copied())
            .collect();
        heads.sort_unstable();
        heads.dedup();
        Ok(heads)
    }

    /// Reads all templates of a channel's account.
    ///
    /// # Errors
    /// See [`ManageError`]; what was read until then stays.
    pub async fn sync(&self, tenant: TenantId, channel: ChannelId) -> Result<Synced, ManageError> {
        let channel = self.channel(tenant, Some(channel)).await?;
        self.sync_account(&channel).await
    }

    pub(super) async fn sync_account(&self, channel: &Channel) -> Result<Synced, ManageError> {
        let (tenant, id) = (channel.tenant_id, channel.channel_id);
        let channels = self.directory.current().siblings(channel);
        let outcome = self.read_all(channel, &channels).await;
        let error = outcome.as_ref().err().map(ToString::to_string);
        let now = self.base.clock.now();
        let noted = self.base.store.write(move |tx| {
            for sibling in &channels {
                channel_health::templates_synced(tx, tenant, *sibling, error.as_deref(), now)?;
            }
            Ok(())
        });
        noted.await?;
        if let Err(error) = &outcome {
            tracing::debug!(channel = %id, %error, "the message templates could not be read");
        }
        outcome
    }

    async fn read_all(
        &self,
        channel: &Channel,
        channels: &[ChannelId],
    ) -> Result<Synced, ManageError> {
        let api = template_api(channel.kind);
        let (tenant, id) = (channel.tenant_id, channel.channel_id);
        let since = self.base.clock.now();
        let mut synced = Synced::default();
        let mut next: Option<String> = None;
        let mut full = false;
        for _ in 0..PAGES_MAX {
            let request = api.build_list(&channel.account, &self.endpoints, next.as_deref())?;
            let page = api.interpret_list(&self.call(request).await)?;
            let (base, siblings) = (self.base.clone(), channels.to_vec());
            let fresh: Vec<_> = (0..page.templates.len())
                .map(|_| MessageTemplateId::new(&*self.base.ids))
                .collect();
            let templates = page.templates;
            let absorbed = self.base.store.write(move |tx| {
                absorb::listed(tx, &base, tenant, id, &siblings, &templates, since, &fresh)
            });
            let absorbed = absorbed.await?;
            synced.add(absorbed, page.unreadable);
            full |= absorbed.full;
            // A cursor that leads nowhere must not turn in circles.
            if page.next.is_none() || page.next == next {
                if synced.unreadable == 0 {
                    let (base, channels) = (self.base.clone(), channels.to_vec());
                    let gone = self
                        .base
                        .store
                        .write(move |tx| absorb::missing(tx, &base, tenant, &channels, since));
                    synced.deleted = gone.await?;
                }
                return if full {
                    Err(ManageError::Full)
                } else {
                    Ok(synced)
                };
            }
            next = page.next;
        }
        Err(own_error("the list of the provider has too many pages"))
    }

    /// Asks how one pending template stands, where that is a call of its own. `false` when it is not.
    pub(super) async fn poll(
        &self,
        channel: &Channel,
        template: MessageTemplateId,
    ) -> Result<bool, ManageError> {
        let api = template_api(channel.kind);
        let tenant = channel.tenant_id;
        let read = self
            .base
            .store
            .read(move |tx| store::get(tx, tenant, template));
        let Some(provider_id) = read.await?.and_then(|record| record.provider_id) else {
            return Ok(false);
        };
        let request = api.build_status(&channel.account, &self.endpoints, &provider_id)?;
        let Some(request) = request else {
            return Ok(false);
        };
        let stands = api.interpret_status(&self.call(request).await)?;
        let now = self.base.clock.now();
        self.change(tenant, template, move |record| {
            let status = record
                .standing
                .move_to(stands.status, stands.reason.clone());
            let category = stands
                .category
                .and_then(|category| record.standing.sort_into(category));
            record.template.category = record.standing.category;
            (status.into_iter().chain(category).collect(), now)
        })
        .await?;
        Ok(true)
    }
}
