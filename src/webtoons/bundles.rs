//! A project out as one file, and in again.

use serde::Deserialize;
use services::webtoon::bundle;

use super::call::{Call, Outcome, ok, post};
use crate::app::App;

/// `/projects/{project_id}/bundle` and `/projects/import`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/projects/{project_id}/bundle", post(write))
        .route("/projects/import", post(read))
}

async fn write(call: Call) -> Outcome {
    ok(bundle::write::write(&call.context, call.user, call.id("project_id")?).await?)
}

#[derive(Deserialize)]
struct Bundle {
    file: String,
}

async fn read(call: Call) -> Outcome {
    let Bundle { file } = call.read()?;
    ok(bundle::read::read(&call.context, call.user, &file).await?)
}
