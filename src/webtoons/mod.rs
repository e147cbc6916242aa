//! The dialect of the webtoon document under `/v1`: projects, stories, scenes and what is made of them. Thin: a handler
//! reads a request, asks a use case of `services::webtoon`, and words the answer; failures are `{detail}`.
//!
//! A file has the routes of one group; each group is merged into [`routes`].

mod artifacts;
mod bundles;
mod call;
mod casting;
mod characters;
mod config;
mod dialogue;
mod environments;
mod episodes;
mod error;
mod exports;
mod generate;
mod internal;
mod looks;
mod operations;
mod projects;
mod scenes;
mod shown;
mod stories;
mod style_presets;

use axum::Router;

pub(crate) use operations::OPERATIONS;

use crate::app::App;

/// Every route, relative to `/v1`. OpenAI's dialect lies under the same path and answers what is unknown.
pub fn routes() -> Router<App> {
    Router::new()
        .merge(projects::routes())
        .merge(stories::routes())
        .merge(scenes::routes())
        .merge(artifacts::routes())
        .merge(generate::routes())
        .merge(characters::routes())
        .merge(looks::routes())
        .merge(internal::routes())
        .merge(config::routes())
        .merge(casting::routes())
        .merge(environments::routes())
        .merge(style_presets::routes())
        .merge(dialogue::routes())
        .merge(episodes::routes())
        .merge(exports::routes())
        .merge(bundles::routes())
}
