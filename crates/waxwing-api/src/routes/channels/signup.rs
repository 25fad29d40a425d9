//! Embedded Signup: a business connects its number in a window of Meta's, and the browser brings what it got there.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_app::directory::account_of;
use waxwing_core::audit::{Change, Object};
use waxwing_core::channel::{ChannelKind, Credentials, credential};
use waxwing_core::errors::{ErrorClass, ProviderError};
use waxwing_core::ids::ChannelId;
use waxwing_core::limits;
use waxwing_core::secret::Secret;
use waxwing_providers::http::HttpRequest;
use waxwing_providers::messaging::meta::signup::{self, SignupNumber};
use waxwing_providers::messaging::{Account, BuildError};
use waxwing_store::domain::channels::{self, ChannelRecord, NewChannel};

use super::{ChannelAnswer, TEST_TIMEOUT, find, number_is_used, secret_warning, told, view};
use crate::answer::{Success, Warning};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, IdParam};
use crate::state::{ApiState, SignupApp};

/// Digits of the PIN that a number is registered with.
const PIN_DIGITS: usize = 6;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(signup_settings, sign_up))
        .routes(routes!(register_number))
}

/// What a page needs to open Meta's window.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignupSettings {
    #[schema(value_type = bool)]
    ok: Success,
    /// `appId` of the Facebook SDK.
    app_id: String,
    /// `config_id` of its login.
    config_id: String,
    /// `version` of the SDK.
    graph_version: String,
}

fn app(state: &ApiState) -> ApiResult<&SignupApp> {
    state.settings.signup.as_ref().ok_or_else(|| {
        ApiError::not_found("signup").hint(
            "The operator sets META_APP_ID, META_SIGNUP_CONFIG_ID and APP_SECRET to offer Embedded Signup.",
        )
    })
}

/// What opens Meta's window
///
/// For the Facebook SDK: `FB.login` with `config_id`, `response_type: "code"` and `override_default_response_type: true`.
#[utoipa::path(
    get, path = "/channels/signup", tag = "channels",
    responses((status = 200, description = "The app and its configuration.", body = SignupSettings))
)]
async fn signup_settings(
    State(state): State<ApiState>,
    _: TenantScope,
) -> ApiResult<Json<SignupSettings>> {
    let app = app(&state)?;
    Ok(Json(SignupSettings {
        ok: Success,
        app_id: app.app_id.clone(),
        config_id: app.config_id.clone(),
        graph_version: state.settings.endpoints.graph_version.clone(),
    }))
}

/// How the window ended, as facebook.com tells the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignupEvent {
    /// A new number: it is registered here.
    #[default]
    Finish,
    /// An account without a number of its own: the only one that it has is taken.
    FinishOnlyWaba,
    /// The number stays in the WhatsApp Business app, too: it is registered already.
    FinishWhatsappBusinessAppOnboarding,
    /// A number that is registered already.
    FinishGrantOnlyApiAccess,
}

/// What the browser got from Meta.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignUp {
    /// The code of the login. It lives thirty seconds and works once.
    #[schema(required, value_type = String, write_only)]
    code: Option<Secret>,
    /// `waba_id` of the window's message.
    #[schema(required, value_type = String)]
    waba_id: Option<String>,
    /// `phone_number_id` of the message; without it, the account's only number.
    phone_number_id: Option<String>,
    /// `event` of the message.
    #[serde(default)]
    event: SignupEvent,
    /// For a number that has a PIN already, its six digits; otherwise one is made and kept with the credentials.
    #[schema(value_type = Option<String>, write_only, pattern = "^[0-9]{6}$")]
    pin: Option<Secret>,
    /// A name for people; without it, the number's.
    name: Option<String>,
}

/// Connect a number by Embedded Signup
///
/// Exchanges the code for a token of the business, subscribes the app to its account, registers the number and makes the
/// channel. What Meta refuses after the channel is there stands in `warnings`, and `…/register` tries it again.
#[utoipa::path(
    post, path = "/channels/signup", tag = "channels", request_body = SignUp,
    responses(
        (status = 201, description = "The channel.", body = ChannelAnswer),
        (status = 404, description = "Embedded Signup is not set up on this server.", body = ErrorBody),
        (status = 409, description = "A channel has this number already.", body = ErrorBody),
        (status = 502, description = "Meta did not answer; open its window again, the code is used.", body = ErrorBody),
    )
)]
async fn sign_up(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<SignUp>,
) -> ApiResult<(StatusCode, Json<ChannelAnswer>)> {
    let app = app(&state)?;
    let mut checks = Checks::new();
    let waba = checks.required("wabaId", input.waba_id.clone());
    if input.waba_id.is_some() {
        checks.provider_id("wabaId", &waba);
    }
    if let Some(number) = &input.phone_number_id {
        checks.provider_id("phoneNumberId", number);
    }
    if let Some(name) = &input.name {
        checks.name("name", name);
    }
    check_pin(&mut checks, input.pin.as_ref());
    let code = input.code.unwrap_or_else(|| Secret::new(""));
    checks.credential("code", &code);
    checks.finish()?;

    let id = ChannelId::new(&*state.ids);
    let granted = grant(&state, app, &waba, &code).await;
    let granted = granted.and_then(|(account, numbers)| {
        let number = choose(numbers, input.phone_number_id.as_deref())?;
        Ok((account, number))
    });
    let (mut account, number) = match granted {
        Ok(granted) => granted,
        Err(error) => {
            // That somebody tried is told as well; a channel that is made tells of itself.
            let object = Object::one("channel", id);
            scope.record(&state, object, Change::untold()).await?;
            return Err(error);
        }
    };
    let pin = input.pin.unwrap_or_else(fresh_pin);
    account.sender_id.clone_from(&number.id);
    account.credentials.set(credential::REGISTRATION_PIN, pin);
    // Meta's words keep our limits as well.
    let fits = |name: &String| !name.trim().is_empty() && name.chars().count() <= limits::NAME;
    let display_phone = number.display_phone_number.filter(fits);
    let shown = number.verified_name.filter(fits);
    let new = NewChannel {
        id,
        kind: ChannelKind::Meta,
        name: input
            .name
            .or(shown)
            .or(display_phone.clone())
            .unwrap_or_else(|| "WhatsApp".to_owned()),
        sender_id: number.id,
        account_id: Some(waba),
        display_phone,
        credentials: account.credentials.clone(),
    };
    let (tenant, keyring, now) = (scope.id(), state.keyring.clone(), state.now());
    let trail = scope.trail.clone();
    let made = state.store.write(move |tx| {
        let made = channels::create(tx, &keyring, tenant, &new, now)?;
        let change = Change::made(told(&made));
        trail.record(tx, &Object::one("channel", id), &change)?;
        Ok(made)
    });
    made.await
        .map_err(|error| number_is_used("phoneNumberId", error))?;
    let registers = matches!(
        input.event,
        SignupEvent::Finish | SignupEvent::FinishOnlyWaba
    );
    let connected = connect(&state, &account, registers).await;
    let refused = note(&state, &scope, id, connected.as_ref().err()).await?;
    let channel = find(&state, tenant, id).await?;
    let mut warnings = secret_warning(&state, &channel);
    warnings.extend(refused.map(|problem| Warning::new("phoneNumberId", problem)));
    Ok((
        StatusCode::CREATED,
        Json(ChannelAnswer {
            ok: Success,
            channel: view(&state, channel),
            made: None,
            warnings,
        }),
    ))
}

/// The PIN of a number.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterNumber {
    /// Its six digits; without them the one that is kept.
    #[schema(value_type = Option<String>, write_only, pattern = "^[0-9]{6}$")]
    pin: Option<Secret>,
}

/// Register a number
///
/// Subscribes the app to the account and registers the number for the Cloud API once more, with a PIN that is kept with
/// the credentials. Meta allows ten tries in 72 hours. A channel that passes is no longer `broken`.
#[utoipa::path(
    post, path = "/channels/{id}/register", tag = "channels", request_body = RegisterNumber,
    params(("id" = String, Path, description = "The channel's id.")),
    responses(
        (status = 200, description = "The channel.", body = ChannelAnswer),
        (status = 502, description = "Meta did not answer.", body = ErrorBody),
    )
)]
async fn register_number(
    State(state): State<ApiState>,
    scope: TenantScope,
    IdParam(id): IdParam<ChannelId>,
    ApiJson(input): ApiJson<RegisterNumber>,
) -> ApiResult<Json<ChannelAnswer>> {
    let mut checks = Checks::new();
    check_pin(&mut checks, input.pin.as_ref());
    let channel = find(&state, scope.id(), id).await?;
    if channel.kind != ChannelKind::Meta {
        checks.wrong("id", "only numbers of Meta's Cloud API are registered");
    } else if channel.account_id.is_none() {
        checks.wrong("wabaId", "is not known: set it on the channel first");
    }
    checks.finish()?;
    let channel = keep_pin(&state, &scope, channel, input.pin).await?;
    let account = account_of(&channel);
    let connected = connect(&state, &account, true).await;
    note(&state, &scope, id, connected.as_ref().err()).await?;
    connected.map_err(|error| refused("pin", &error))?;
    let channel = find(&state, scope.id(), id).await?;
    let warnings = secret_warning(&state, &channel);
    Ok(Json(ChannelAnswer {
        ok: Success,
        channel: view(&state, channel),
        made: None,
        warnings,
    }))
}

/// Keeps the PIN before it is used: a number that was registered with a lost one is registered by nobody.
async fn keep_pin(
    state: &ApiState,
    scope: &TenantScope,
    channel: ChannelRecord,
    given: Option<Secret>,
) -> ApiResult<ChannelRecord> {
    let kept = channel.credentials.get(credential::REGISTRATION_PIN);
    let pin = given.or_else(|| kept.cloned()).unwrap_or_else(fresh_pin);
    let (id, tenant) = (channel.channel_id, scope.id());
    let (keyring, now) = (state.keyring.clone(), state.now());
    let trail = scope.trail.clone();
    let write = state.store.write(move |tx| {
        trail.record(tx, &Object::one("channel", id), &Change::untold())?;
        channels::update(tx, &keyring, tenant, id, now, |draft| {
            draft
                .credentials
                .set(credential::REGISTRATION_PIN, pin.clone());
        })
    });
    write.await?.ok_or_else(super::unknown_channel)
}

/// The token of the business, and the numbers of the account that it reaches: that the account is theirs is proven by
/// the token and by nothing that the browser says.
async fn grant(
    state: &ApiState,
    app: &SignupApp,
    waba: &str,
    code: &Secret,
) -> ApiResult<(Account, Vec<SignupNumber>)> {
    let endpoints = &state.settings.endpoints;
    let request = signup::build_exchange(endpoints, &app.app_id, &app.app_secret, code);
    let answer = state.http.call(built(request)?, TEST_TIMEOUT).await;
    let token = signup::interpret_exchange(&answer).map_err(|error| refused("code", &error))?;
    let account = Account {
        sender_id: String::new(),
        account_id: Some(waba.to_owned()),
        credentials: Credentials::new().with(credential::ACCESS_TOKEN, token),
    };
    let request = signup::build_numbers(&account, endpoints);
    let answer = state.http.call(built(request)?, TEST_TIMEOUT).await;
    let numbers = signup::interpret_numbers(&answer).map_err(|error| refused("wabaId", &error))?;
    Ok((account, numbers))
}

fn choose(mut numbers: Vec<SignupNumber>, wanted: Option<&str>) -> ApiResult<SignupNumber> {
    if let Some(wanted) = wanted {
        let found = numbers.into_iter().find(|number| number.id == wanted);
        return found.ok_or_else(|| {
            ApiError::invalid_field("phoneNumberId", "is no number of the account")
        });
    }
    match (numbers.pop(), numbers.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(ApiError::invalid_field("wabaId", "has no number yet")),
        (Some(_), false) => Err(ApiError::invalid_field(
            "phoneNumberId",
            "is missing: the account has several numbers",
        )),
    }
}

/// Subscribes the app to the account and registers the number, both of which may be done again.
async fn connect(
    state: &ApiState,
    account: &Account,
    registers: bool,
) -> Result<(), ProviderError> {
    let endpoints = &state.settings.endpoints;
    let unusable = |error: BuildError| ProviderError::own(ErrorClass::Permanent, error.to_string());
    let request = signup::build_subscribe(account, endpoints).map_err(unusable)?;
    signup::interpret_done(&state.http.call(request, TEST_TIMEOUT).await)?;
    let pin = account.credentials.get(credential::REGISTRATION_PIN);
    let Some(pin) = pin.filter(|_| registers) else {
        return Ok(());
    };
    let request = signup::build_register(account, endpoints, pin).map_err(unusable)?;
    signup::interpret_done(&state.http.call(request, TEST_TIMEOUT).await)
}

/// Notes on the channel how it went; the answer is what Meta refused.
async fn note(
    state: &ApiState,
    scope: &TenantScope,
    id: ChannelId,
    error: Option<&ProviderError>,
) -> ApiResult<Option<String>> {
    let problem = error.map(|error| format!("Meta did not register it: {}", error.message));
    let (tenant, now, reason) = (scope.id(), state.now(), problem.clone());
    let write = state
        .store
        .write(move |tx| channels::set_status(tx, tenant, id, reason.as_deref(), now));
    write.await?;
    state.channels_changed().await;
    Ok(problem)
}

fn built(request: Result<HttpRequest, BuildError>) -> ApiResult<HttpRequest> {
    request.map_err(|error| ApiError::invalid_field("wabaId", error.to_string()))
}

fn refused(field: &str, error: &ProviderError) -> ApiError {
    if error.class == ErrorClass::Retry {
        return ApiError::new(
            StatusCode::BAD_GATEWAY,
            format!("Meta did not do it: {}", error.message),
        )
        .hint("Try again; for a signup open Meta's window again, since the code works once.");
    }
    ApiError::invalid_field(field, format!("is refused by Meta: {}", error.message))
}

fn check_pin(checks: &mut Checks, pin: Option<&Secret>) {
    let is_pin = |pin: &Secret| {
        pin.expose().len() == PIN_DIGITS && pin.expose().bytes().all(|one| one.is_ascii_digit())
    };
    if pin.is_some_and(|pin| !is_pin(pin)) {
        checks.wrong("pin", "must be six digits");
    }
}

/// Six random digits.
fn fresh_pin() -> Secret {
    const MODULUS: u32 = 1_000_000;
    loop {
        let mut bytes = [0; 4];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system's random generator works");
        let number = u32::from_be_bytes(bytes);
        // Every PIN is as likely as any other.
        if number < u32::MAX - u32::MAX % MODULUS {
            return Secret::new(format!("{:06}", number % MODULUS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_six_digits() {
        for _ in 0..100 {
            let mut checks = Checks::new();
            check_pin(&mut checks, Some(&fresh_pin()));
            assert!(checks.is_clean());
        }
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            let mut checks = Checks::new();
            check_pin(&mut checks, Some(&Secret::new(bad)));
            assert!(!checks.is_clean(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_taken_only_when_it_is_clear_which() {
        let number = |id: &str| SignupNumber {
            id: id.to_owned(),
            display_phone_number: None,
            verified_name: None,
        };
        let two = || vec![number("1"), number("2")];
        assert_eq!(choose(two(), Some("2")).unwrap().id, "2");
        assert!(choose(two(), Some("3")).is_err() && choose(two(), None).is_err());
        assert_eq!(choose(vec![number("1")], None).unwrap().id, "1");
        assert!(choose(Vec::new(), None).is_err());
    }
}
