//! The rules of a tenant: one set, replaced as a whole.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_core::audit::{Change, Object};
use waxwing_core::flow::{Action, FlowSet, MatchKind, Matcher, Rule};
use waxwing_core::ids::FlowId;
use waxwing_core::time::Timestamp;
use waxwing_store::domain::flows::{self, FlowRecord};
use waxwing_store::domain::templates;

use crate::answer::{Success, Warning};
use crate::auth::TenantScope;
use crate::check::Checks;
use crate::errors::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::ApiState;

/// The routes of this module, relative to a tenant.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_flows, put_flows))
}

/// How the values of a rule are compared with the text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchType {
    /// The value occurs in the text.
    Contains,
    /// The text is the value.
    Equals,
    /// The text matches the regular expression (linear time, no look-around).
    Regex,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionType {
    /// Answers with a template and may set the state.
    SendTemplate,
}

/// When a rule applies. Case and surrounding blanks do not count.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchForm {
    /// How values are compared with the text.
    #[serde(rename = "type")]
    #[schema(required, value_type = MatchType)]
    kind: Option<MatchType>,
    /// Any of these.
    #[schema(required, value_type = Vec<String>, min_items = 1, max_items = 50)]
    values: Option<Vec<String>>,
    /// Only while the conversation is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    state: Option<String>,
}

/// What a rule does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionForm {
    /// What is done.
    #[serde(rename = "type")]
    #[schema(required, value_type = ActionType)]
    kind: Option<ActionType>,
    /// The template to answer with.
    #[schema(required, value_type = String, pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    template_key: Option<String>,
    /// The state to set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    set_state: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleForm {
    /// Its name, unique in the set.
    #[schema(required, value_type = String, pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    id: Option<String>,
    /// When it applies.
    #[serde(rename = "match")]
    #[schema(required, value_type = MatchForm)]
    matcher: Option<MatchForm>,
    /// What it does.
    #[schema(required, value_type = ActionForm)]
    action: Option<ActionForm>,
}

/// The rules of a tenant, in order; the first that matches decides. What `GET` adds may stand here and is ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowsInput {
    /// The rules.
    #[schema(required, value_type = Vec<RuleForm>, max_items = 500)]
    flows: Option<Vec<RuleForm>>,
    /// The template that answers when nothing matches.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    fallback_template_key: Option<String>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<IgnoredAny>,
    #[serde(default, rename = "version")]
    #[schema(ignore)]
    _version: Option<IgnoredAny>,
    #[serde(default, rename = "createdAt")]
    #[schema(ignore)]
    _created_at: Option<IgnoredAny>,
}

/// The rules in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowsAnswer {
    #[schema(value_type = bool)]
    ok: Success,
    /// The id of this version; null when no rules were ever put.
    #[schema(value_type = Option<String>)]
    id: Option<FlowId>,
    /// Counts the changes of the set, from 1; 0 when no rules were ever put.
    version: i64,
    /// The rules.
    flows: Vec<RuleForm>,
    /// The template that answers when nothing matches.
    fallback_template_key: Option<String>,
    /// When this version was put.
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// Templates that are named here and do not exist yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

impl FlowsAnswer {
    fn new(record: Option<FlowRecord>, warnings: Vec<Warning>) -> Self {
        let (id, version, set, created_at) = match record {
            Some(record) => (
                Some(record.id),
                record.version,
                record.set,
                Some(record.created_at),
            ),
            None => (None, 0, FlowSet::default(), None),
        };
        Self {
            ok: Success,
            id,
            version,
            flows: set.flows.into_iter().map(Into::into).collect(),
            fallback_template_key: set.fallback_template_key,
            created_at,
            warnings,
        }
    }
}

impl From<Rule> for RuleForm {
    fn from(rule: Rule) -> Self {
        let kind = match rule.matcher.kind {
            MatchKind::Contains => MatchType::Contains,
            MatchKind::Equals => MatchType::Equals,
            MatchKind::Regex => MatchType::Regex,
        };
        let Action::SendTemplate {
            template_key,
            set_state,
        } = rule.action;
        Self {
            id: Some(rule.id),
            matcher: Some(MatchForm {
                kind: Some(kind),
                values: Some(rule.matcher.values),
                state: rule.matcher.state,
            }),
            action: Some(ActionForm {
                kind: Some(ActionType::SendTemplate),
                template_key: Some(template_key),
                set_state,
            }),
        }
    }
}

impl FlowsInput {
    fn check(self) -> ApiResult<FlowSet> {
        let mut checks = Checks::new();
        let rules = checks.required("flows", self.flows);
        let rules = rules
            .into_iter()
            .enumerate()
            .filter_map(|(at, rule)| rule.build(&mut checks, &format!("flows[{at}]")));
        let set = FlowSet {
            flows: rules.collect(),
            fallback_template_key: self.fallback_template_key,
        };
        // The core counts rules by their place, which is right only while none had to be left out.
        if checks.is_clean() {
            checks.extend(set.violations());
        }
        checks.finish()?;
        Ok(set)
    }
}

impl RuleForm {
    fn build(self, checks: &mut Checks, path: &str) -> Option<Rule> {
        let mut missing = |field: &str| checks.wrong(format!("{path}.{field}"), "is missing");
        if self.id.is_none() {
            missing("id");
        }
        let (kind, values, state) = match self.matcher {
            Some(form) => (form.kind, form.values, form.state),
            None => (None, None, None),
        };
        if kind.is_none() {
            missing("match.type");
        }
        if values.is_none() {
            missing("match.values");
        }
        let (action, template_key, set_state) = match self.action {
            Some(form) => (form.kind, form.template_key, form.set_state),
            None => (None, None, None),
        };
        if action.is_none() {
            missing("action.type");
        }
        if template_key.is_none() {
            missing("action.templateKey");
        }
        let kind = match kind? {
            MatchType::Contains => MatchKind::Contains,
            MatchType::Equals => MatchKind::Equals,
            MatchType::Regex => MatchKind::Regex,
        };
        let ActionType::SendTemplate = action?;
        Some(Rule {
            id: self.id?,
            matcher: Matcher {
                kind,
                values: values?,
                state,
            },
            action: Action::SendTemplate {
                template_key: template_key?,
                set_state,
            },
        })
    }
}

fn missing(set: &FlowSet, exists: impl Fn(&str) -> bool) -> Vec<Warning> {
    set.template_keys()
        .into_iter()
        .filter(|(_, key)| !exists(key))
        .map(|(field, key)| Warning::new(field, format!("there is no template `{key}` yet")))
        .collect()
}

/// Get the rules
#[utoipa::path(
    get,
    path = "/flows",
    tag = "flows",
    responses((status = 200, description = "The rules in force.", body = FlowsAnswer))
)]
async fn get_flows(
    State(state): State<ApiState>,
    scope: TenantScope,
) -> ApiResult<Json<FlowsAnswer>> {
    let tenant = scope.id();
    let read = state
        .store
        .read(move |tx| Ok((flows::current(tx, tenant)?, templates::keys(tx, tenant)?)));
    let (record, keys) = read.await?;
    let warnings = record.as_ref().map_or_else(Vec::new, |record| {
        missing(&record.set, |key| keys.contains(key))
    });
    Ok(Json(FlowsAnswer::new(record, warnings)))
}

/// Replace the rules
///
/// The whole set becomes a new version, which is in force at once. Rules may name templates that do not exist yet;
/// those are listed under `warnings`.
#[utoipa::path(
    post,
    path = "/flows",
    tag = "flows",
    request_body = FlowsInput,
    responses((status = 201, description = "The rules, now in force.", body = FlowsAnswer))
)]
async fn put_flows(
    State(state): State<ApiState>,
    scope: TenantScope,
    ApiJson(input): ApiJson<FlowsInput>,
) -> ApiResult<(StatusCode, Json<FlowsAnswer>)> {
    let set = input.check()?;
    let (tenant, id, now) = (scope.id(), FlowId::new(&*state.ids), state.now());
    let put = state.store.write(move |tx| {
        let told = |record: &FlowRecord| serde_json::to_value(&record.set).ok();
        let before = flows::current(tx, tenant)?.as_ref().and_then(told);
        let after = flows::put(tx, tenant, id, &set, now)?;
        if let Some(record) = &after {
            let change = Change {
                before,
                after: told(record),
            };
            scope.trail.record(tx, &Object::all("flows"), &change)?;
        }
        Ok((after, templates::keys(tx, tenant)?))
    });
    let (record, keys) = put.await?;
    let record = record.ok_or_else(|| ApiError::not_found("tenant"))?;
    let warnings = missing(&record.set, |key| keys.contains(key));
    Ok((
        StatusCode::CREATED,
        Json(FlowsAnswer::new(Some(record), warnings)),
    ))
}
