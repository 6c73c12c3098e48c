//! The HTTP in front of the app.

use std::{fmt::Display, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use cache_runtime::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    app::{App, Job, Report, ResearchRequest, Session, Subscription},
    database::DbError,
    upstream::UpstreamError,
};

type Answer<T> = Result<T, Failure>;

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/sessions/{user_id}", get(session).put(update_session))
        .route("/subscriptions/{user_id}", get(subscription))
        .route("/users/{user_id}/research", post(research))
        .route("/users/{user_id}/cache", delete(forget_user))
        .route("/upstream/{*path}", get(upstream))
        .route("/jobs/top-spenders/{count}", get(job).post(start_job))
        .route("/cache", delete(clear))
        .route("/cache/stats", get(stats))
        .route("/work", get(work))
        .with_state(app)
}

async fn session(State(app): State<Arc<App>>, Path(user_id): Path<u64>) -> Answer<Json<Session>> {
    found(app.session(user_id).await?)
}

#[derive(Deserialize)]
struct Update {
    name: String,
}

async fn update_session(
    State(app): State<Arc<App>>,
    Path(user_id): Path<u64>,
    Json(update): Json<Update>,
) -> Answer<StatusCode> {
    let exists = app.update_session(user_id, update.name).await?;
    Ok(if exists { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

async fn subscription(State(app): State<Arc<App>>, Path(user_id): Path<u64>) -> Answer<Json<Subscription>> {
    found(app.subscription(user_id).await?)
}

async fn research(
    State(app): State<Arc<App>>,
    Path(user_id): Path<u64>,
    Json(request): Json<ResearchRequest>,
) -> Answer<Json<Report>> {
    Ok(Json(app.research(user_id, &request).await?))
}

#[derive(Deserialize)]
struct Freshness {
    #[serde(default = "a_minute")]
    ttl: u64,
}

fn a_minute() -> u64 {
    60
}

async fn upstream(State(app): State<Arc<App>>, uri: Uri, Query(freshness): Query<Freshness>) -> Answer<Json<Value>> {
    let path = uri.path().trim_start_matches("/upstream");
    Ok(Json(app.upstream(path, freshness.ttl).await?))
}

async fn start_job(State(app): State<Arc<App>>, Path(count): Path<u32>) -> Answer<(StatusCode, Json<Value>)> {
    let started = app.start_job(count).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "started": started }))))
}

async fn job(State(app): State<Arc<App>>, Path(count): Path<u32>) -> Answer<(StatusCode, Json<Job>)> {
    match app.job(count).await? {
        None => Err(Failure::new(StatusCode::NOT_FOUND, "no such job; start it with POST")),
        Some(job @ Job::Running) => Ok((StatusCode::ACCEPTED, Json(job))),
        Some(job @ Job::Done { .. }) => Ok((StatusCode::OK, Json(job))),
    }
}

async fn forget_user(State(app): State<Arc<App>>, Path(user_id): Path<u64>) -> Answer<Json<Value>> {
    Ok(Json(json!({ "research_results": app.forget_user(user_id).await? })))
}

async fn clear() -> Answer<StatusCode> {
    Cache::global().clear().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stats() -> impl IntoResponse {
    Json(Cache::global().stats().await)
}

async fn work(State(app): State<Arc<App>>) -> impl IntoResponse {
    Json(json!(app.work))
}

fn found<T: Serialize>(value: Option<T>) -> Answer<Json<T>> {
    value.map(Json).ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "no such user"))
}

/// An error as the client sees it.
struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, message: impl Display) -> Self {
        Self { status, message: message.to_string() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error)
    }
}

/// Only what was asked of the cache itself ends here: an annotated function answers without it.
impl From<cache_runtime::Error> for Failure {
    fn from(error: cache_runtime::Error) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}
