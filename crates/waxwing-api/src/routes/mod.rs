//! All routes, and where each stands.
//!
//! A module of this directory gives its routes as an [`OpenApiRouter`]; nothing is routed without being described.
//! Those of a tenant are written relative to the tenant and are mounted three times (see [`crate::openapi`]).

pub mod accounts;
pub mod analytics;
pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod channels;
pub mod contacts;
pub mod conversations;
pub mod dead_letters;
pub mod docs;
pub mod events;
pub mod flows;
pub mod health;
pub mod keys;
pub mod media;
pub mod message_templates;
pub mod messages;
pub mod opt_ins;
pub mod privacy;
mod privacy_export;
pub mod retention;
pub mod settings;
pub mod templates;
pub mod tenants;
pub mod users;
pub mod webhooks;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::errors::ApiError;
use crate::state::ApiState;
use crate::{layers, openapi};

/// Gives the routes of a module with their description.
type Module = fn() -> OpenApiRouter<ApiState>;

/// Routes of a tenant, relative to `/api/tenants/{tenant}`.
const TENANT: &[Module] = &[
    settings::routes,
    analytics::routes,
    channels::routes,
    templates::routes,
    flows::routes,
    message_templates::routes,
    messages::routes,
    media::routes,
    contacts::routes,
    opt_ins::routes,
    privacy::routes,
    conversations::routes,
    dead_letters::routes,
    events::routes,
    users::routes,
    api_keys::routes,
    audit::routes,
];

/// Routes of the platform, relative to `/api`. They answer without the prefix, too.
const PLATFORM: &[Module] = &[
    auth::routes,
    accounts::routes,
    keys::routes,
    audit::platform_routes,
    retention::routes,
    tenants::routes,
    dead_letters::platform_routes,
];

/// Where the routes of a tenant stand among those of the platform.
const TENANT_PATH: &str = "/tenants/{tenant}";

/// Routes with whole paths.
const PLAIN: &[Module] = &[
    docs::routes,
    health::routes,
    webhooks::health_routes,
    media::serve::routes,
];

/// Routes that providers call, with whole paths. They authenticate and limit each request themselves.
const WEBHOOKS: &[Module] = &[webhooks::routes];

/// The routes of modules without their description. Each description is dropped before the next one is made: all of
/// them together would leave holes of four megabytes in the memory of every process.
fn served(modules: &[Module]) -> Router<ApiState> {
    modules.iter().fold(Router::new(), |all, module| {
        all.merge(Router::from(module()))
    })
}

/// The routes of modules with their description.
fn described(modules: &[Module]) -> OpenApiRouter<ApiState> {
    modules
        .iter()
        .fold(OpenApiRouter::new(), |all, module| all.merge(module()))
}

/// The whole surface.
pub fn router(state: ApiState) -> Router {
    let platform = || served(PLATFORM).nest(TENANT_PATH, served(TENANT));
    let api = served(PLAIN)
        .nest("/api", platform())
        .merge(platform())
        .nest("/api", served(TENANT))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method);
    let provider = layers::webhooks(served(WEBHOOKS));
    layers::outer(layers::api(api, &state).merge(provider)).with_state(state)
}

/// The OpenAPI document of the whole surface. Of the places of a route, it names one.
#[must_use]
pub fn document() -> OpenApi {
    let platform = described(PLATFORM).nest(TENANT_PATH, described(TENANT));
    let mut document = OpenApiRouter::with_openapi(openapi::base())
        .nest("/api", platform)
        .merge(described(PLAIN))
        .merge(described(WEBHOOKS))
        .into_openapi();
    openapi::complete(&mut document);
    document
}

async fn unknown_route() -> ApiError {
    ApiError::not_found("route").hint("The routes are listed at /docs.")
}

async fn wrong_method(method: Method) -> Response {
    // The router adds `Allow`.
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("This route does not take {method}."),
    )
    .into_response()
}
