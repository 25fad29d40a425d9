//! All routes, and where each stands.
//!
//! A module of this directory gives its routes as an [`OpenApiRouter`]; nothing is routed without being described.
//! Those of a tenant are written relative to the tenant and are mounted three times (see [`crate::openapi`]).

pub mod channels;
pub mod conversations;
pub mod dead_letters;
pub mod docs;
pub mod events;
pub mod flows;
pub mod health;
pub mod messages;
pub mod settings;
pub mod templates;
pub mod tenants;
pub mod webhooks;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::errors::ApiError;
use crate::state::ApiState;
use crate::{layers, openapi};

/// Routes of a tenant, relative to `/api/tenants/{tenant}`.
fn tenant() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(settings::routes())
        .merge(channels::routes())
        .merge(templates::routes())
        .merge(flows::routes())
        .merge(messages::routes())
        .merge(conversations::routes())
        .merge(dead_letters::routes())
        .merge(events::routes())
}

/// Routes of the platform, relative to `/api`. They answer without the prefix, too.
fn platform() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(tenants::routes())
        .merge(dead_letters::platform_routes())
        .nest("/tenants/{tenant}", tenant())
}

/// Routes with whole paths.
fn plain() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(docs::routes())
        .merge(health::routes())
}

/// Routes that providers call, with whole paths. They authenticate and limit each request themselves.
fn webhooks() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().merge(webhooks::routes())
}

/// The whole surface.
pub fn router(state: ApiState) -> Router {
    let (api, provider, _) = parts();
    layers::outer(layers::api(api, &state).merge(layers::webhooks(provider))).with_state(state)
}

/// The OpenAPI document of the whole surface.
#[must_use]
pub fn document() -> OpenApi {
    parts().2
}

fn parts() -> (Router<ApiState>, Router<ApiState>, OpenApi) {
    let described = OpenApiRouter::with_openapi(openapi::base())
        .nest("/api", platform())
        .merge(plain());
    let (api, mut document) = described.split_for_parts();
    let (provider, described) = webhooks().split_for_parts();
    document.merge(described);
    openapi::complete(&mut document);
    let api = api
        .merge(Router::from(platform()))
        .nest("/api", Router::from(tenant()))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method);
    (api, provider, document)
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
