//! `/rest/v1`: PostgREST's dialect over the declared tables.
//!
//! The folder is the pipeline: [`request`] → syntax → [`plan`] (with [`relate`] and [`condition`]) → [`select`] or
//! [`write`] → [`respond`], and [`error`] for everything else.

pub mod body;
pub mod condition;
pub mod error;
pub mod openapi;
pub mod plan;
pub mod put;
pub mod relate;
pub mod request;
pub mod respond;
pub mod rpc;
pub mod select;
pub mod write;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use models::schema;
use store::query::Limits;

use crate::app::App;
use error::PostgrestError;
use request::Request;

/// Every route of `/rest/v1`, whole: a nested router would take each address apart once more.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/rest/v1", any(root))
        .route("/rest/v1/", any(root))
        .route("/rest/v1/{table}", any(table))
        .route("/rest/v1/rpc/{function}", any(function))
}

/// Limits of one request's reads.
pub fn limits(request: &Request) -> Limits {
    let config = &request.app.config;
    Limits {
        rows_max: config.rows_max,
        duration_max: Duration::from_secs(config.query_s_max),
        ..Limits::default()
    }
}

/// What is said of any other address below `/rest/v1`.
pub fn invalid_path() -> PostgrestError {
    PostgrestError::new(StatusCode::NOT_FOUND, "PGRST125", "Invalid path specified in request URL")
}

/// `GET /rest/v1/`
pub async fn root(State(app): State<App>, method: Method) -> Response {
    match method {
        Method::GET | Method::HEAD => openapi::document(&app),
        other => unsupported(&other).into_response(),
    }
}

fn unsupported(method: &Method) -> PostgrestError {
    PostgrestError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "PGRST117",
        format!("Unsupported HTTP method: {method}"),
    )
}

async fn table(
    State(app): State<App>,
    Path(name): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, Response> {
    let request = Request::read(app, request).await?;
    let table = schema().table(&name).filter(|table| table.table.schema == "public" && table.name() == name);
    let answer = match (table, &request.method) {
        (None, _) => Err(PostgrestError::unknown_table(&name)),
        (Some(table), &Method::GET | &Method::HEAD) => select::select(&request, table).await,
        (Some(table), &Method::POST) => write::insert(&request, table).await,
        (Some(table), &Method::PUT) => put::put(&request, table).await,
        (Some(table), &Method::PATCH) => write::update(&request, table).await,
        (Some(table), &Method::DELETE) => write::delete(&request, table).await,
        (Some(_), other) => Err(unsupported(other)),
    };
    answer.map_err(IntoResponse::into_response)
}

async fn function(
    State(app): State<App>,
    Path(name): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, Response> {
    let request = Request::read(app, request).await?;
    rpc::call(&request, &name).await.map_err(IntoResponse::into_response)
}
