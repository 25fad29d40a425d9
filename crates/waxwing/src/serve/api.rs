//! The settings of the HTTP surface.

use std::sync::Arc;

use waxwing_api::ApiSettings;
use waxwing_api::auth::AdminTokens;
use waxwing_api::rates::CallerRates;
use waxwing_api::state::SignupApp;
use waxwing_providers::messaging::Endpoints;

use crate::master_key::MasterKey;
use crate::settings::Settings;

/// What handlers have to know.
pub fn settings(
    settings: &Settings,
    master: &MasterKey,
    endpoints: &Arc<Endpoints>,
) -> ApiSettings {
    let app_secret = settings.meta.app_secret.clone();
    let app = settings.meta.signup.clone().zip(app_secret.clone());
    ApiSettings {
        admin: AdminTokens::new(
            settings.admin_token.as_ref(),
            Some(&master.text),
            settings.production,
        ),
        registration: settings.registration,
        rates: CallerRates::new(settings.api_rate),
        trusted_proxies: settings.trusted_proxies.clone(),
        platform_app_secret: app_secret.is_some(),
        message_templates: settings.message_templates,
        media: settings.media,
        endpoints: Arc::clone(endpoints),
        signup: app.map(|((app_id, config_id), app_secret)| SignupApp {
            app_id,
            config_id,
            app_secret,
        }),
    }
}
