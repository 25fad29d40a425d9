//! Templates of a tenant.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use waxwing_core::audit::{Change, Object};
use waxwing_core::ids::TemplateId;
use waxwing_core::limits;
use waxwing_core::template::{Template, TemplateForm};
use waxwing_store::domain::templates::{self, Creation};

use crate::answer::{Done, Success, Warning};
use crate::auth::TenantScope;
use crate::errors::{ApiError, ApiResult, ErrorBody};
use crate::extract::{ApiJson, KeyParam};
use crate::page::{Page, PageQuery};
use crate::state::ApiState;

use self::form::{TemplateInput, TemplateView};

pub mod form;

const LIST: &str = "templates";

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_templates, create_template))
        .routes(routes!(get_template, put_template, delete_template))
}

/// A template.
#[derive(Debug, Serialize, ToSchema)]
pub struct TemplateAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    template: TemplateView,
    /// Templates that its buttons name and that do not exist yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// Templates.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateList {
    #[schema(value_type = bool)]
    ok: Success,
    templates: Vec<TemplateView>,
    /// The `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

fn unknown() -> ApiError {
    ApiError::not_found("template")
}

/// List templates
#[utoipa::path(
    get,
    path = "/templates",
    tag = "templates",
    params(PageQuery),
    responses((status = 200, description = "Templates in the order of their making.", body = TemplateList))
)]
async fn list_templates(
    State(state): State<ApiState>,
    scope: TenantScope,
    page: Page,
) -> ApiResult<Json<TemplateList>> {
    let after = page.after::<Uuid>(LIST)?.map(TemplateId::from_uuid);
    let (tenant, rows) = (scope.id(), page.rows());
    let mut records = state
        .store
        .read(move |tx| templates::list(tx, tenant, after, rows))
        .await?;
    let next_cursor = page.finish(LIST, &mut records, |record| record.id.uuid());
    let templates = records.into_iter().map(Into::into).collect();
    Ok(Json(TemplateList {
        ok: Success,
        templates,
        next_cursor,
    }))
}

/// Create a template
///
/// Without a key, one is made from the name. Buttons may name templates that do not exist yet; those are listed under
/// `warnings`.
#[utoipa::path(
    post,
    path = "/templates",
    tag = "templates",
    request_body = TemplateInput,
    responses(
        (status = 201, description = "The template.", body = TemplateAnswer),
        (status = 409, description = "Another template has this key.", body = ErrorBody),
    )
)]
async fn create_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<TemplateInput>,
) -> ApiResult<(StatusCode, Json<TemplateAnswer>)> {
    let generate = input.key.is_none();
    let template = input.check(None)?;
    let (tenant, id, now) = (scope.id(), TemplateId::new(&*state.ids), state.now());
    let made = state.store.write(move |tx| {
        let made = templates::create(tx, tenant, id, &template, generate, now)?;
        if let Creation::Created(record) = &made {
            let after = told(&record.template);
            scope
                .trail
                .record(tx, &object(&record.template.key), &Change::made(after))?;
        }
        Ok((made, templates::keys(tx, tenant)?))
    });
    let (made, keys) = made.await?;
    match made {
        Creation::Created(record) => {
            let warnings = missing(&record.template, |key| keys.contains(key));
            let answer = TemplateAnswer {
                ok: Success,
                template: (*record).into(),
                warnings,
            };
            Ok((StatusCode::CREATED, Json(answer)))
        }
        Creation::KeyTaken => Err(ApiError::conflict_field(
            "key",
            "is used by another template",
        )),
        Creation::Full => {
            let text = format!(
                "The tenant has {} templates, which is the most.",
                limits::TEMPLATES
            );
            Err(ApiError::conflict(text).hint("Delete templates that are not used any more."))
        }
        Creation::NoTenant => Err(ApiError::not_found("tenant")),
    }
}

/// Get a template
#[utoipa::path(
    get,
    path = "/templates/{key}",
    tag = "templates",
    params(("key" = String, Path, description = "The template's key.")),
    responses((status = 200, description = "The template.", body = TemplateAnswer))
)]
async fn get_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    KeyParam(key): KeyParam,
) -> ApiResult<Json<TemplateAnswer>> {
    let tenant = scope.id();
    let read = state.store.read(move |tx| {
        Ok((
            templates::get(tx, tenant, &key)?,
            templates::keys(tx, tenant)?,
        ))
    });
    let (record, keys) = read.await?;
    let record = record.ok_or_else(unknown)?;
    let warnings = missing(&record.template, |key| keys.contains(key));
    Ok(Json(TemplateAnswer {
        ok: Success,
        template: record.into(),
        warnings,
    }))
}

/// Replace a template
///
/// Its version rises by one. Conversations that are shown its buttons go on with the new one.
#[utoipa::path(
    put,
    path = "/templates/{key}",
    tag = "templates",
    params(("key" = String, Path, description = "The template's key.")),
    request_body = TemplateInput,
    responses((status = 200, description = "The template after the change.", body = TemplateAnswer))
)]
async fn put_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    KeyParam(key): KeyParam,
    ApiJson(input): ApiJson<TemplateInput>,
) -> ApiResult<Json<TemplateAnswer>> {
    if key.is_empty() {
        return Err(unknown());
    }
    let template = input.check(Some(&key))?;
    let (tenant, now) = (scope.id(), state.now());
    let put = state.store.write(move |tx| {
        let before = templates::get(tx, tenant, &template.key)?;
        let after = templates::put(tx, tenant, &template, now)?;
        if let (Some(before), Some(after)) = (&before, &after) {
            let change = Change::of(told(&before.template), told(&after.template));
            scope.trail.record(tx, &object(&template.key), &change)?;
        }
        Ok((after, templates::keys(tx, tenant)?))
    });
    let (record, keys) = put.await?;
    let record = record.ok_or_else(unknown)?;
    let warnings = missing(&record.template, |key| keys.contains(key));
    Ok(Json(TemplateAnswer {
        ok: Success,
        template: record.into(),
        warnings,
    }))
}

/// Delete a template
///
/// Rules and buttons that name it lead nowhere from then on.
#[utoipa::path(
    delete,
    path = "/templates/{key}",
    tag = "templates",
    params(("key" = String, Path, description = "The template's key.")),
    responses((status = 200, description = "It is gone.", body = Done))
)]
async fn delete_template(
    State(state): State<ApiState>,
    scope: TenantScope,
    KeyParam(key): KeyParam,
) -> ApiResult<Json<Done>> {
    let (tenant, now) = (scope.id(), state.now());
    let write = state.store.write(move |tx| {
        let before = templates::get(tx, tenant, &key)?;
        let gone = templates::delete(tx, tenant, &key, now)?;
        if let Some(before) = before.filter(|_| gone) {
            let change = Change::gone(told(&before.template));
            scope.trail.record(tx, &object(&key), &change)?;
        }
        Ok(gone)
    });
    if write.await? {
        Ok(Json(Done::default()))
    } else {
        Err(unknown())
    }
}

fn object(key: &str) -> Object {
    Object::one("template", key)
}

/// What the audit log tells of a template.
fn told(template: &Template) -> Value {
    serde_json::to_value(template).unwrap_or_default()
}

/// The buttons and rows that name templates which do not exist.
fn missing(template: &Template, exists: impl Fn(&str) -> bool) -> Vec<Warning> {
    let named: Vec<(String, Option<&str>)> = match &template.form {
        TemplateForm::Text { .. } => Vec::new(),
        TemplateForm::InteractiveButton { buttons, .. } => buttons
            .iter()
            .enumerate()
            .map(|(at, button)| {
                (
                    format!("buttons[{at}]"),
                    button.next.next_template_key.as_deref(),
                )
            })
            .collect(),
        TemplateForm::InteractiveList { sections, .. } => sections
            .iter()
            .enumerate()
            .flat_map(|(at, section)| {
                section
                    .rows
                    .iter()
                    .enumerate()
                    .map(move |(row, value)| (at, row, value))
            })
            .map(|(at, row, value)| {
                (
                    format!("sections[{at}].rows[{row}]"),
                    value.next.next_template_key.as_deref(),
                )
            })
            .collect(),
    };
    named
        .into_iter()
        .filter_map(|(path, key)| Some((path, key?)))
        .filter(|(_, key)| !exists(key))
        .map(|(path, key)| {
            Warning::new(
                format!("{path}.nextTemplateKey"),
                format!("there is no template `{key}` yet"),
            )
        })
        .collect()
}
