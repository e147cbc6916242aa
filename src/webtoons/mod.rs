//! The dialect of the webtoon document under `/v1`: projects, stories, scenes and what is made of them. Thin: a handler
//! reads a request, asks a use case of `services::webtoon`, and words the answer; failures are `{detail}`.
//!
//! A file has the routes of one group; each group is merged into [`routes`].

mod call;
mod error;
mod projects;
mod shown;
mod stories;

use axum::Router;

use crate::app::App;

/// Every route, relative to `/v1`. OpenAI's dialect lies under the same path and answers what is unknown.
pub fn routes() -> Router<App> {
    Router::new().merge(projects::routes()).merge(stories::routes())
}
