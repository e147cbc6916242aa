//! `projects`: what stories and their characters belong to.

use axum::routing::MethodFilter;
use serde::Deserialize;
use services::webtoon::projects;

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::shown::PROJECT;
use crate::app::App;

/// `/projects`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/projects", post(create).merge(get(list)))
        .route("/projects/{project_id}", route(MethodFilter::DELETE, remove))
}

#[derive(Deserialize)]
struct NewProject {
    name: String,
}

async fn create(call: Call) -> Outcome {
    let NewProject { name } = call.read()?;
    ok(PROJECT.one(&projects::create(&call.context, call.user, &name).await?))
}

async fn list(call: Call) -> Outcome {
    ok(PROJECT.all(&projects::list(&call.context, call.user).await?))
}

async fn remove(call: Call) -> Outcome {
    projects::delete(&call.context, call.id("project_id")?).await?;
    Ok(Answer::Empty)
}
