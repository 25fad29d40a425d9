//! Whether this process works. For load balancers, supervisors and people; needs no credential and tells no secrets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use waxwing_store::Engine;

use crate::answer::{Done, Success};
use crate::layers;
use crate::state::ApiState;

/// How long the database may take to answer before it counts as down.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A part of the process that works on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerState {
    /// Its name.
    pub name: &'static str,
    /// Whether it runs.
    pub ok: bool,
}

/// How the workers of the process are. Given to the routes as an [`Extension`]; without it they know of none.
#[derive(Clone)]
pub struct Workers(pub Arc<dyn Fn() -> Vec<WorkerState> + Send + Sync>);

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((self.0)()).finish()
    }
}

/// Whether the Redis that the nodes share answers. Given to the routes as an [`Extension`] where there is one.
#[derive(Clone)]
pub struct Redis(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&(self.0)()).finish()
    }
}

/// How Redis is. Nothing that is needed is kept there: without it each node sends at its part of each rate.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedisCheck {
    ok: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// How the database is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseCheck {
    ok: bool,
    /// `sqlite` or `postgres`.
    engine: &'static str,
    /// How long it took to answer, in microseconds.
    micros: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// How the workers are.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkersCheck {
    ok: bool,
    /// Each of them.
    workers: Vec<WorkerState>,
}

/// The parts that were looked at.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthChecks {
    database: DatabaseCheck,
    workers: WorkersCheck,
    /// Absent without `REDIS_URL`. It does not decide about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<RedisCheck>,
}

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// Whether all needed parts work.
    ok: bool,
    /// The version of the program.
    version: &'static str,
    /// Each part.
    checks: HealthChecks,
}

/// The routes of this module, with whole paths.
pub fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(live))
        .route("/api/health", axum::routing::get(health))
}

/// These routes alone, for processes that serve nothing else.
pub fn router(state: ApiState) -> Router {
    layers::outer(layers::api(Router::from(routes()), &state)).with_state(state)
}

/// Health of the process
///
/// Also at `/api/health`.
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "All needed parts work.", body = HealthAnswer),
        (status = 503, description = "A needed part is down.", body = HealthAnswer),
    )
)]
async fn health(
    State(state): State<ApiState>,
    workers: Option<Extension<Workers>>,
    redis: Option<Extension<Redis>>,
) -> Response {
    let database = check_database(&state).await;
    let workers = workers.map_or_else(Vec::new, |Extension(workers)| (workers.0)());
    let workers = WorkersCheck {
        ok: workers.iter().all(|worker| worker.ok),
        workers,
    };
    let ok = database.ok && workers.ok;
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let answer = HealthAnswer {
        ok,
        version: env!("CARGO_PKG_VERSION"),
        checks: HealthChecks {
            database,
            workers,
            redis: redis.map(|Extension(redis)| check_redis((redis.0)())),
        },
    };
    (status, Json(answer)).into_response()
}

fn check_redis(ok: bool) -> RedisCheck {
    let problem = "Redis does not answer; each node sends at its part of each rate";
    RedisCheck {
        ok,
        problem: (!ok).then_some(problem),
    }
}

async fn check_database(state: &ApiState) -> DatabaseCheck {
    let started = state.now();
    let problem = match tokio::time::timeout(DATABASE_TIMEOUT, state.store.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            // The text may name hosts; it belongs into the log only.
            tracing::warn!(%error, "the database is not healthy");
            Some("the database cannot be used; the log says why")
        }
        Err(_) => Some("the database does not answer"),
    };
    let micros = state.now().since(started).as_micros();
    DatabaseCheck {
        ok: problem.is_none(),
        engine: match state.store.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        },
        micros: u64::try_from(micros).unwrap_or(u64::MAX),
        problem,
    }
}

/// Whether the process answers
///
/// Looks at nothing else.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    security(()),
    responses((status = 200, description = "It answers.", body = Done))
)]
async fn live() -> Json<Done> {
    Json(Done { ok: Success })
}
