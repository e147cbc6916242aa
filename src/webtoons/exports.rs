//! `exports`: scenes and episodes as files that people read.

use axum::routing::MethodFilter;
use services::webtoon::exports::options::Options;
use services::webtoon::exports::{ask, share as shares};

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::shown::EXPORT;
use crate::app::App;

/// `/scenes/{scene_id}/export`, `/episodes/{episode_id}/export` and `/exports/{export_id}`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/scenes/{scene_id}/export", post(scene))
        .route("/episodes/{episode_id}/export", post(episode))
        .route("/exports/{export_id}", get(read))
        .route("/exports/{export_id}/finalize", post(finalize))
        .route("/exports/{export_id}/download", get(download))
        .route("/exports/{export_id}/generate-video", post(generate_video))
        .route("/exports/{export_id}/video", get(video))
        .route(
            "/exports/{export_id}/share",
            post(share).merge(get(link)).merge(route(MethodFilter::DELETE, revoke)),
        )
}

async fn scene(call: Call) -> Outcome {
    let options: Options = call.read()?;
    ok(EXPORT.one(&ask::scene(&call.context, call.id("scene_id")?, options).await?))
}

async fn episode(call: Call) -> Outcome {
    let options: Options = call.read()?;
    ok(EXPORT.one(&ask::episode(&call.context, call.id("episode_id")?, options).await?))
}

async fn read(call: Call) -> Outcome {
    ok(EXPORT.one(&ask::export(&call.context, call.id("export_id")?).await?))
}

async fn finalize(call: Call) -> Outcome {
    ok(EXPORT.one(&ask::finalize(&call.context, call.id("export_id")?).await?))
}

async fn download(call: Call) -> Outcome {
    ok(ask::download(&call.context, call.id("export_id")?).await?)
}

async fn generate_video(call: Call) -> Outcome {
    ok(EXPORT.one(&ask::generate_video(&call.context, call.id("export_id")?).await?))
}

async fn video(call: Call) -> Outcome {
    ok(ask::video(&call.context, call.id("export_id")?).await?)
}

async fn share(call: Call) -> Outcome {
    ok(shares::create(&call.context, call.id("export_id")?).await?)
}

async fn link(call: Call) -> Outcome {
    ok(shares::current(&call.context, call.id("export_id")?).await?)
}

async fn revoke(call: Call) -> Outcome {
    shares::revoke(&call.context, call.id("export_id")?).await?;
    Ok(Answer::Empty)
}
