//! The template of the route that a request took: few of them, whatever clients ask for.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use crate::{functions, postgrest};

/// Where the router notes which route it took; put into a request before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Arc<OnceLock<MatchedPath>>);

/// Notes the route. A layer around all routes.
pub(crate) async fn note(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(taken), Some(path)) = (extensions.get::<Taken>(), extensions.get::<MatchedPath>()) {
        let _ = taken.0.set(path.clone());
    }
    next.run(request).await
}

/// The template for a path; `none` where no route has it. What [`postgrest::is_below`] takes no route.
pub(crate) fn template(path: &str, taken: Option<&Taken>) -> Cow<'static, str> {
    let Some(taken) = taken else { return postgrest::route(path) };
    match taken.0.get().map(MatchedPath::as_str) {
        Some("/functions/v1/{name}") => {
            let asked = path.rsplit('/').next().unwrap_or_default();
            let name = functions::names().find(|name| *name == asked).unwrap_or("{name}");
            format!("/functions/v1/{name}").into()
        }
        Some(template) => template.to_string().into(),
        None => "none".into(),
    }
}
