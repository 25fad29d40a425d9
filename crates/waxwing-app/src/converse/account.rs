//! News of message templates, numbers and accounts.

use std::sync::Arc;

use waxwing_core::account_news::{self, AccountNews, digits};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::event::{InboundItem, ItemBody, OtherItem, TemplateNews};
use waxwing_core::ids::{ChannelId, TenantId};
use waxwing_core::outbox::DomainEvent;
use waxwing_store::domain::channel_health::{self, HealthNews};
use waxwing_store::domain::channels;
use waxwing_store::{StoreError, Tx};

use super::apply::Writer;
use crate::directory::Channel;
use crate::message_templates;

/// What an item about an account says.
pub(super) enum AccountItem<'a> {
    Template(&'a TemplateNews),
    News(&'a OtherItem, AccountNews),
}

/// An item about an account, with the channels of one tenant that it is about.
pub(super) struct AccountHeard<'a> {
    pub(super) tenant_id: TenantId,
    pub(super) channels: Vec<ChannelId>,
    pub(super) item: AccountItem<'a>,
}

/// Whether an item is about an account and changes something.
pub(super) fn of_account(item: &InboundItem) -> Option<AccountItem<'_>> {
    match &item.body {
        ItemBody::Template(news) => Some(AccountItem::Template(news)),
        ItemBody::Other(other) => {
            account_news::read(other).map(|news| AccountItem::News(other, news))
        }
        _ => None,
    }
}

/// The channels by tenant, in the order of the tenants.
pub(super) fn by_tenant(channels: &[Arc<Channel>]) -> Vec<(TenantId, Vec<ChannelId>)> {
    let mut grouped: std::collections::BTreeMap<TenantId, Vec<ChannelId>> = Default::default();
    for channel in channels {
        grouped
            .entry(channel.tenant_id)
            .or_default()
            .push(channel.channel_id);
    }
    for list in grouped.values_mut() {
        list.sort_unstable();
    }
    grouped.into_iter().collect()
}

impl Writer<'_> {
    /// Takes in what was heard about accounts, in the order of arrival.
    pub(super) fn accounts(
        &mut self,
        tx: &mut Tx<'_>,
        heard: &[AccountHeard<'_>],
    ) -> Result<(), StoreError> {
        for heard in heard {
            match &heard.item {
                AccountItem::Template(news) => {
                    let (tenant, list) = (heard.tenant_id, &heard.channels);
                    if let Some(event) = message_templates::heard(tx, tenant, list, news, self.now)?
                    {
                        self.emit(tenant, event);
                    }
                }
                AccountItem::News(item, news) => {
                    for channel in self.meant(tx, heard, item)? {
                        self.number(tx, heard.tenant_id, channel, news)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The channels that news are about: the one whose number they name, else all of the account.
    fn meant(
        &self,
        tx: &mut Tx<'_>,
        heard: &AccountHeard<'_>,
        item: &OtherItem,
    ) -> Result<Vec<ChannelId>, StoreError> {
        let (Some(number), [_, _, ..]) = (account_news::number(item), heard.channels.as_slice())
        else {
            return Ok(heard.channels.clone());
        };
        let mut meant = Vec::new();
        for channel in &heard.channels {
            let shown = channel_health::display_phone(tx, heard.tenant_id, *channel)?;
            if shown.is_some_and(|shown| digits(&shown) == number) {
                meant.push(*channel);
            }
        }
        Ok(meant)
    }

    fn number(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        channel_id: ChannelId,
        news: &AccountNews,
    ) -> Result<(), StoreError> {
        match news {
            AccountNews::Number {
                quality,
                throughput,
                messaging_limit,
            } => {
                let health = HealthNews {
                    quality: quality.clone(),
                    throughput: *throughput,
                    messaging_limit: messaging_limit.clone(),
                };
                if channel_health::note(tx, tenant, channel_id, &health, self.now)? {
                    if let Some(rate) = throughput.and_then(|rate| u32::try_from(rate).ok()) {
                        self.faster(tx, tenant, channel_id, rate)?;
                    }
                    let event = DomainEvent::ChannelQualityChanged {
                        channel_id,
                        quality: health.quality,
                        throughput: health.throughput,
                        messaging_limit: health.messaging_limit,
                    };
                    self.emit(tenant, event);
                }
            }
            AccountNews::Alert(alert) => self.alert(tx, tenant, channel_id, Some(alert))?,
            AccountNews::Stop(reason) => {
                self.alert(tx, tenant, channel_id, Some(reason))?;
                if channels::set_status(tx, tenant, channel_id, Some(reason), self.now)? {
                    tracing::error!(channel = %channel_id, tenant = %tenant, reason, "the provider barred the account");
                    let error = ProviderError::own(ErrorClass::ChannelBroken, reason.as_str());
                    self.emit(tenant, DomainEvent::ChannelBroken { channel_id, error });
                }
            }
            AccountNews::Restored => {
                let barred = channel_health::get(tx, tenant, channel_id)?
                    .is_some_and(|health| health.alert.is_some());
                self.alert(tx, tenant, channel_id, None)?;
                if barred {
                    channels::set_status(tx, tenant, channel_id, None, self.now)?;
                }
            }
        }
        Ok(())
    }

    /// The channel may send faster than its provider's usual. What a person has set stays.
    fn faster(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        channel_id: ChannelId,
        rate: u32,
    ) -> Result<(), StoreError> {
        let keyring = &self.tools.base.keyring;
        channels::update(tx, keyring, tenant, channel_id, self.now, |draft| {
            draft.limits.messages_per_second.get_or_insert(rate);
        })
        .map(|_| ())
    }

    fn alert(
        &mut self,
        tx: &mut Tx<'_>,
        tenant: TenantId,
        channel_id: ChannelId,
        alert: Option<&str>,
    ) -> Result<(), StoreError> {
        if channel_health::alert(tx, tenant, channel_id, alert, self.now)? {
            let alert = alert.map(str::to_owned);
            self.emit(tenant, DomainEvent::ChannelAlert { channel_id, alert });
        }
        Ok(())
    }
}
