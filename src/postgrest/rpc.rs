//! `/rest/v1/rpc/{function}`: the database functions.

use actors::rpc::{self, BindError, Call, Function};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use models::{Value, schema};
use serde_json::{Map, Value as Json};
use syntax::RequestQuery;

use super::body;
use super::error::PostgrestError;
use super::request::Request;
use super::respond::Answer;
use crate::long_work;

/// Calls a function.
pub async fn call(request: &Request, name: &str) -> Result<Response, PostgrestError> {
    let function = rpc::find(name);
    let arguments = match request.method {
        Method::POST => {
            let given = if request.body.is_empty() { Json::Object(Map::new()) } else { body::json(request)? };
            let Json::Object(given) = given else {
                return Err(PostgrestError::bad("PGRST102", "The arguments must be a JSON object"));
            };
            let names: Vec<String> = given.keys().cloned().collect();
            let function = function.ok_or_else(|| unknown(name, &names))?;
            (function, function.bind(given).map_err(|error| unbound(function, &names, error))?)
        }
        Method::GET | Method::HEAD => {
            let known = |key: &str| {
                function
                    .is_some_and(|function| function.arguments.iter().any(|argument| argument.name == key))
            };
            let parsed = RequestQuery::parse_call(&request.query, known)?;
            let names: Vec<String> = parsed.arguments.iter().map(|(name, _)| name.clone()).collect();
            let function = function.ok_or_else(|| unknown(name, &names))?;
            if !function.is_stable {
                let message = "cannot execute a function that writes in a read-only transaction";
                return Err(PostgrestError::new(StatusCode::METHOD_NOT_ALLOWED, "25006", message));
            }
            (
                function,
                function.bind_text(&parsed.arguments).map_err(|error| unbound(function, &names, error))?,
            )
        }
        _ => {
            let message = "Only GET, HEAD and POST call functions";
            return Err(PostgrestError::new(StatusCode::METHOD_NOT_ALLOWED, "PGRST101", message));
        }
    };
    answer(request, arguments).await
}

async fn answer(
    request: &Request,
    (function, arguments): (&'static Function, Vec<Value>),
) -> Result<Response, PostgrestError> {
    let result = if function.is_stable {
        let (store, claims) = (request.app.services.actors.store().clone(), request.claims.clone());
        let task = long_work::spawn(move || rpc::read(function, &store, &claims, arguments));
        let failed = |_| {
            PostgrestError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "XX000",
                "the function failed unexpectedly",
            )
        };
        let result = task.await.map_err(failed)?;
        result.map_err(|refusal| PostgrestError::from_refusal(refusal, &request.claims))?
    } else {
        request.decide(Call { function, arguments }).await?
    };
    if function.returns == "void" {
        return Ok(request.applied(Answer::empty(StatusCode::NO_CONTENT)).finish());
    }
    let answer = Answer::with(StatusCode::OK, &syntax::Format::Json, result.to_string());
    Ok(request.applied(answer).header(header::CONTENT_RANGE, "0-0/*").finish())
}

fn signature(name: &str, arguments: &[String]) -> String {
    if arguments.is_empty() {
        return format!("public.{name} without parameters");
    }
    let mut names = arguments.to_vec();
    names.sort_unstable();
    format!("public.{name}({})", names.join(", "))
}

fn unknown(name: &str, arguments: &[String]) -> PostgrestError {
    let message = format!("Could not find the function {} in the schema cache", signature(name, arguments));
    let hint = schema().table(name).map(|_| format!("{name} is a table: read it at /{name}"));
    let error = PostgrestError::new(StatusCode::NOT_FOUND, "PGRST202", message).hint(hint);
    error.details(format!("Searched for the function {}.", signature(name, arguments)))
}

fn unbound(function: &Function, arguments: &[String], error: BindError) -> PostgrestError {
    match error {
        BindError::Convert(error) => {
            PostgrestError::bad(error.sqlstate(), error.to_string()).hint(error.hint())
        }
        _ => {
            let takes: Vec<&str> = function.arguments.iter().map(|argument| argument.name).collect();
            unknown(function.name, arguments).hint(format!("{} takes ({})", function.name, takes.join(", ")))
        }
    }
}
