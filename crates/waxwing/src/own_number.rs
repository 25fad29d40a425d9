//! The default tenant and the numbers that the settings give it. Nothing else reads credentials from the settings.

use waxwing_app::Base;
use waxwing_core::ids::ChannelId;
use waxwing_core::settings::TenantSettings;
use waxwing_store::StoreError;
use waxwing_store::domain::channels::{self, NewChannel};
use waxwing_store::domain::keys;
use waxwing_store::domain::tenants::{self, DEFAULT_TENANT};

use crate::failure::Failure;
use crate::settings::Settings;

/// Makes the default tenant and its numbers, or brings them up to what the settings say. What the settings do not say
/// stays as it is.
///
/// # Errors
/// What the database says; when the number belongs to another tenant.
pub async fn ensure(settings: &Settings, base: &Base) -> Result<(), Failure> {
    let wanted = |mut tenant: TenantSettings| {
        if let Some(seconds) = settings.session_seconds {
            tenant.session_seconds = seconds;
        }
        if let Some(country) = &settings.default_country {
            tenant.default_country = Some(country.clone());
        }
        tenant
    };
    let numbers: Vec<NewChannel> = settings
        .channels
        .iter()
        .map(|number| NewChannel {
            id: ChannelId::new(&*base.ids),
            kind: number.kind,
            name: "WhatsApp".to_owned(),
            sender_id: number.sender_id.clone(),
            account_id: number.account_id.clone(),
            display_phone: None,
            credentials: number.credentials.clone(),
        })
        .collect();
    let (fresh, now, keyring) = (
        wanted(TenantSettings::default()),
        base.clock.now(),
        base.keyring.clone(),
    );
    let (session, country) = (settings.session_seconds, settings.default_country.clone());
    let ensured = base.store.write(move |tx| {
        let tenant = tenants::ensure_default(tx, &fresh, now)?;
        let differs = session.is_some_and(|seconds| seconds != tenant.settings.session_seconds)
            || country.is_some() && country != tenant.settings.default_country;
        if differs {
            tenants::update(tx, DEFAULT_TENANT, now, |_, settings| {
                if let Some(seconds) = session {
                    settings.session_seconds = seconds;
                }
                if country.is_some() {
                    settings.default_country.clone_from(&country);
                }
            })?;
        }
        keys::make(tx, &keyring, DEFAULT_TENANT, now)?;
        for number in &numbers {
            channels::ensure(tx, &keyring, DEFAULT_TENANT, number, now)?;
        }
        Ok(())
    });
    match ensured.await {
        Err(StoreError::Conflict { constraint }) if constraint.contains("channel_routes") => {
            Err(Failure::setting(
                "the settings name a number that belongs to another tenant: remove it from the settings, or switch the channel of that tenant off",
            ))
        }
        other => Ok(other?),
    }
}
