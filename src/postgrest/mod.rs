//! `/rest/v1`: PostgREST's dialect over the declared tables.
//!
//! The folder is the pipeline: [`request`] → syntax → [`plan`] (with `relationships` and [`condition`]) → [`select`] or
//! [`mod@write`] → [`respond`], and [`error`] for everything else.

pub mod body;
pub mod condition;
pub mod error;
pub mod openapi;
pub mod plan;
mod policy_hint;
pub mod put;
pub mod redacted;
mod relationships;
pub mod request;
pub mod respond;
pub mod rpc;
pub mod select;
pub mod write;

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use models::{Claims, TableInfo, schema};
use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::caller::BadToken;
use error::PostgrestError;
use request::Request;

/// What all its addresses begin with.
const PREFIX: &str = "/rest/v1";

/// Whether an address is one of this dialect.
pub fn is_below(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The template of an address that [`is_below`], with the names of tables and functions that there are.
pub fn route(path: &str) -> Cow<'static, str> {
    /// Of the tables, by their ids.
    static OF_TABLES: LazyLock<Vec<String>> =
        LazyLock::new(|| schema().tables.iter().map(|table| format!("{PREFIX}/{}", table.name())).collect());
    let place = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    match place.strip_prefix("rpc/") {
        Some(name) => {
            let known = actors::rpc::FUNCTIONS.iter().map(|function| function.name);
            let name = known.into_iter().find(|known| *known == name).unwrap_or("{function}");
            format!("{PREFIX}/rpc/{name}").into()
        }
        None if place.is_empty() => format!("{PREFIX}/").into(),
        None => match known_table(place) {
            Some(table) => OF_TABLES[table.id].as_str().into(),
            None => format!("{PREFIX}/{{table}}").into(),
        },
    }
}

/// Answers a request whose address [`is_below`]; `asks` is who it is from.
pub async fn answer(app: App, request: axum::extract::Request, asks: Result<Claims, BadToken>) -> Response {
    let path = request.uri().path();
    let place = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let (name, is_function) = match place.split_once('/') {
        None if place.is_empty() => return root(&app, request.method()),
        None => (place, false),
        Some(("rpc", name)) if !name.is_empty() && !name.contains('/') => (name, true),
        Some(_) => return invalid_path().into_response(),
    };
    let Ok(name) = percent_decode_str(name).decode_utf8() else { return invalid_path().into_response() };
    let answer = if is_function {
        let name = name.to_string();
        Box::pin(function(app, request, asks, &name)).await
    } else {
        let known = known_table(&name).ok_or_else(|| name.to_string());
        table(app, request, asks, known).await
    };
    answer.unwrap_or_else(|refused| refused)
}

fn invalid_path() -> PostgrestError {
    PostgrestError::new(StatusCode::NOT_FOUND, "PGRST125", "Invalid path specified in request URL")
}

/// `GET /rest/v1/`
fn root(app: &App, method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => openapi::document(app),
        ref other => unsupported(other).into_response(),
    }
}

fn unsupported(method: &Method) -> PostgrestError {
    PostgrestError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "PGRST117",
        format!("Unsupported HTTP method: {method}"),
    )
}

fn known_table(name: &str) -> Option<&'static TableInfo> {
    schema().table(name).filter(|table| table.table.schema == "public" && table.table.name == name)
}

/// `/rest/v1/{table}`; of an unknown one the name is given.
async fn table(
    app: App,
    request: axum::extract::Request,
    asks: Result<Claims, BadToken>,
    table: Result<&'static TableInfo, String>,
) -> Result<Response, Response> {
    let request = Request::read(app, request, asks).await?;
    // What waits for the answer is moved a few times on its way: the steps of a write, boxed, do not go along with a read.
    let answer = match (table, &request.method) {
        (Err(name), _) => Err(PostgrestError::unknown_table(&name)),
        (Ok(table), &Method::GET | &Method::HEAD) => select::select(&request, table).await,
        (Ok(table), &Method::POST) => Box::pin(write::insert(&request, table)).await,
        (Ok(table), &Method::PUT) => Box::pin(put::put(&request, table)).await,
        (Ok(table), &Method::PATCH) => Box::pin(write::update(&request, table)).await,
        (Ok(table), &Method::DELETE) => Box::pin(write::delete(&request, table)).await,
        (Ok(_), other) => Err(unsupported(other)),
    };
    answer.map_err(IntoResponse::into_response)
}

/// `/rest/v1/rpc/{function}`
async fn function(
    app: App,
    request: axum::extract::Request,
    asks: Result<Claims, BadToken>,
    name: &str,
) -> Result<Response, Response> {
    let request = Request::read(app, request, asks).await?;
    rpc::call(&request, name).await.map_err(IntoResponse::into_response)
}
