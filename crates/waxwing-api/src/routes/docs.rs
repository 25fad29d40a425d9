//! The OpenAPI document and a page that shows it.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    Bytes::from(
        super::document()
            .to_json()
            .expect("the document is plain data"),
    )
});

/// The routes of this module, with whole paths.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(openapi_document))
        .routes(routes!(docs_page))
        .routes(routes!(docs_script))
        .routes(routes!(docs_style))
}

/// The OpenAPI document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "docs",
    security(()),
    responses((status = 200, description = "This document.", content_type = "application/json", body = Object))
)]
async fn openapi_document() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        DOCUMENT.clone(),
    )
}

/// The page of the documentation
#[utoipa::path(
    get,
    path = "/docs",
    tag = "docs",
    security(()),
    responses((status = 200, description = "A page that shows this document.", content_type = "text/html", body = String))
)]
async fn docs_page() -> impl IntoResponse {
    let page = include_str!("docs/index.html");
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        page,
    )
}

/// The script of the documentation page
#[utoipa::path(
    get,
    path = "/docs/docs.js",
    tag = "docs",
    security(()),
    responses((status = 200, description = "The script of `/docs`.", content_type = "text/javascript", body = String))
)]
async fn docs_script() -> impl IntoResponse {
    let script = include_str!("docs/docs.js");
    (
        [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        script,
    )
}

/// The style of the documentation page
#[utoipa::path(
    get,
    path = "/docs/docs.css",
    tag = "docs",
    security(()),
    responses((status = 200, description = "The style of `/docs`.", content_type = "text/css", body = String))
)]
async fn docs_style() -> impl IntoResponse {
    let style = include_str!("docs/docs.css");
    (
        [
            (header::CONTENT_TYPE, "text/css; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        style,
    )
}
