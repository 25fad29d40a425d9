//! What a tenant can set.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_core::audit::{Change, Object};
use waxwing_core::consent::{ConsentSettings, WORD_MAX, WORDS_MAX};
use waxwing_core::delivery::UnknownPolicy;
use waxwing_core::phone::{Phone, PhoneError};
use waxwing_core::settings::TenantSettings;
use waxwing_store::domain::tenants;

use crate::answer::Success;
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult};
use crate::extract::{ApiJson, nullable};
use crate::state::ApiState;

/// The longest answer to an opt-out or opt-in.
const REPLY_MAX: usize = 1_024;
/// The shortest and the longest session, in seconds: a minute and thirty days.
const SESSION_SECONDS: std::ops::RangeInclusive<u32> = 1..=2_592_000;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_settings, patch_settings))
}

/// What happens to a message whose outcome stays unknown.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcome {
    /// Replies and transactional messages are sent once more, marked as a possible duplicate.
    ResendOnce,
    /// Nothing is sent again; a person decides.
    Hold,
}

impl From<UnknownPolicy> for UnknownOutcome {
    fn from(policy: UnknownPolicy) -> Self {
        match policy {
            UnknownPolicy::ResendOnce => Self::ResendOnce,
            UnknownPolicy::Hold => Self::Hold,
        }
    }
}

impl From<UnknownOutcome> for UnknownPolicy {
    fn from(outcome: UnknownOutcome) -> Self {
        match outcome {
            UnknownOutcome::ResendOnce => Self::ResendOnce,
            UnknownOutcome::Hold => Self::Hold,
        }
    }
}

/// The settings of a tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    /// ISO 3166 code for phone numbers written without a country code.
    #[schema(example = "DE")]
    pub default_country: Option<String>,
    /// How long a session lives after the contact's last message.
    #[schema(example = 3600)]
    pub session_seconds: u32,
    /// What happens to messages whose outcome stays unknown.
    pub unknown_outcome: UnknownOutcome,
    /// Words that opt out of marketing; null for the built-in ones.
    pub opt_out_words: Option<Vec<String>>,
    /// Words that opt in; null for the built-in ones, which only take an opt-out back.
    pub opt_in_words: Option<Vec<String>>,
    /// What is answered to an opt-out; null for the built-in sentence, empty for nothing.
    pub opt_out_reply: Option<String>,
    /// What is answered to an opt-in.
    pub opt_in_reply: Option<String>,
    /// Whether what people write and call themselves is encrypted in the database from now on. Then `q` does not find it.
    pub encrypt_content: bool,
    /// Whether owners and managers get in with a second factor only.
    pub require_second_factor: bool,
}

impl From<TenantSettings> for SettingsView {
    fn from(settings: TenantSettings) -> Self {
        Self {
            default_country: settings.default_country,
            session_seconds: settings.session_seconds,
            unknown_outcome: settings.unknown_outcome.into(),
            opt_out_words: settings.consent.opt_out_words,
            opt_in_words: settings.consent.opt_in_words,
            opt_out_reply: settings.consent.opt_out_reply,
            opt_in_reply: settings.consent.opt_in_reply,
            encrypt_content: settings.encrypt_content,
            require_second_factor: settings.require_second_factor,
        }
    }
}

/// Settings to change; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchSettings {
    /// ISO 3166 code; null for none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z]{2}$")]
    default_country: Option<Option<String>>,
    /// 1 to 2592000.
    #[schema(minimum = 1, maximum = 2_592_000)]
    session_seconds: Option<u32>,
    /// What happens to messages whose outcome stays unknown.
    unknown_outcome: Option<UnknownOutcome>,
    /// Words that opt out of marketing, when a message is nothing else; null for the built-in ones.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    opt_out_words: Option<Option<Vec<String>>>,
    /// Words that opt in; null for the built-in ones, which only take an opt-out back.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    opt_in_words: Option<Option<Vec<String>>>,
    /// What is answered to an opt-out; null for the built-in sentence, empty for nothing.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    opt_out_reply: Option<Option<String>>,
    /// What is answered to an opt-in.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    opt_in_reply: Option<Option<String>>,
    /// Encrypts what people write and call themselves from now on. What is there stays as it is, and can be read either way.
    encrypt_content: Option<bool>,
    /// Refuses owners and managers who have no second factor, until they set one up.
    require_second_factor: Option<bool>,
}

impl PatchSettings {
    fn check_consent(&self, checks: &mut Checks) {
        for (field, words) in [
            ("optOutWords", &self.opt_out_words),
            ("optInWords", &self.opt_in_words),
        ] {
            let Some(Some(words)) = words else {
                continue;
            };
            let good = |word: &String| {
                (1..=WORD_MAX).contains(&word.chars().count()) && !word.trim().is_empty()
            };
            if words.len() > WORDS_MAX || !words.iter().all(good) {
                let text =
                    format!("must be at most {WORDS_MAX} words of 1 to {WORD_MAX} characters");
                checks.wrong(field, text);
            }
        }
        for (field, reply) in [
            ("optOutReply", &self.opt_out_reply),
            ("optInReply", &self.opt_in_reply),
        ] {
            if matches!(reply, Some(Some(reply)) if reply.chars().count() > REPLY_MAX) {
                checks.wrong(field, format!("is longer than {REPLY_MAX} characters"));
            }
        }
    }

    fn apply_consent(&self, consent: &mut ConsentSettings) {
        if let Some(words) = &self.opt_out_words {
            consent.opt_out_words.clone_from(words);
        }
        if let Some(words) = &self.opt_in_words {
            consent.opt_in_words.clone_from(words);
        }
        if let Some(reply) = &self.opt_out_reply {
            consent.opt_out_reply.clone_from(reply);
        }
        if let Some(reply) = &self.opt_in_reply {
            consent.opt_in_reply.clone_from(reply);
        }
    }
}

/// The settings of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingsAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    settings: SettingsView,
}

/// Get the settings
#[utoipa::path(
    get,
    path = "/settings",
    tag = "settings",
    responses((status = 200, description = "The settings.", body = SettingsAnswer))
)]
async fn get_settings(scope: TenantScope) -> Json<SettingsAnswer> {
    Json(SettingsAnswer {
        ok: Success,
        settings: scope.tenant.settings.into(),
    })
}

/// Change settings
#[utoipa::path(
    patch,
    path = "/settings",
    tag = "settings",
    request_body = PatchSettings,
    responses((status = 200, description = "The settings after the change.", body = SettingsAnswer))
)]
async fn patch_settings(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(mut input): ApiJson<PatchSettings>,
) -> ApiResult<Json<SettingsAnswer>> {
    let mut checks = Checks::new();
    if let Some(Some(country)) = &mut input.default_country {
        country.make_ascii_uppercase();
        if !is_country(country) {
            checks.wrong(
                "defaultCountry",
                "must be an ISO 3166 code of two letters, such as DE",
            );
        }
    }
    if input
        .session_seconds
        .is_some_and(|seconds| !SESSION_SECONDS.contains(&seconds))
    {
        let (least, most) = (SESSION_SECONDS.start(), SESSION_SECONDS.end());
        checks.wrong("sessionSeconds", format!("must be {least} to {most}"));
    }
    input.check_consent(&mut checks);
    checks.finish()?;
    let (tenant, now) = (scope.id(), state.now());
    let before = serde_json::to_value(&scope.tenant.settings).ok();
    let changed = state.store.write(move |tx| {
        let changed = tenants::update(tx, tenant, now, |_, settings| {
            if let Some(country) = &input.default_country {
                settings.default_country.clone_from(country);
            }
            if let Some(seconds) = input.session_seconds {
                settings.session_seconds = seconds;
            }
            if let Some(outcome) = input.unknown_outcome {
                settings.unknown_outcome = outcome.into();
            }
            if let Some(wanted) = input.encrypt_content {
                settings.encrypt_content = wanted;
            }
            if let Some(wanted) = input.require_second_factor {
                settings.require_second_factor = wanted;
            }
            input.apply_consent(&mut settings.consent);
        })?;
        if let Some(record) = &changed {
            let change = Change {
                before: before.clone(),
                after: serde_json::to_value(&record.settings).ok(),
            };
            scope.trail.record(tx, &Object::all("settings"), &change)?;
        }
        Ok(changed)
    });
    let record = changed
        .await?
        .ok_or_else(|| ApiError::not_found("tenant"))?;
    // Here at once, on other nodes within a second.
    state
        .keyring
        .set_sealing_of(tenant, record.settings.encrypt_content);
    Ok(Json(SettingsAnswer {
        ok: Success,
        settings: record.settings.into(),
    }))
}

/// Whether the normaliser of phone numbers knows the country.
fn is_country(code: &str) -> bool {
    let two_letters = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    two_letters && Phone::parse("0", Some(code)) != Err(PhoneError::NoCountry)
}

#[cfg(test)]
mod tests {
    #[test]
    fn countries_are_those_of_the_normaliser() {
        for code in ["DE", "BR", "IN", "US"] {
            assert!(super::is_country(code), "{code}");
        }
        for code in ["", "D", "DEU", "XX", "de", "12", "ÄÖ"] {
            assert!(!super::is_country(code), "{code}");
        }
    }
}
