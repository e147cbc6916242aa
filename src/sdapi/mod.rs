//! The dialect of A1111's web UI: pictures under `/sdapi/v1`, for an account's programs. What is a setting or a state of
//! the server there is one of the account here.

mod authenticate;
mod control_units;
mod draw;
mod drawing;
mod error;
mod extras;
mod lists;
mod options;
mod png_info;
mod progress;
mod sent_picture;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use error::SdError;

/// Every route, relative to `/sdapi/v1`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/txt2img", post(draw::from_text))
        .route("/img2img", post(draw::from_picture))
        .route("/png-info", post(png_info::read))
        .route("/progress", get(progress::read))
        .route("/interrupt", post(progress::interrupt))
        .route("/options", get(options::read).post(options::set))
        .route("/sd-models", get(lists::models))
        .route("/sd-vae", get(lists::vaes))
        .route("/loras", get(lists::loras))
        .route("/samplers", get(lists::samplers_list))
        .route("/schedulers", get(lists::schedulers))
        .route("/upscalers", get(lists::upscalers))
        .route("/extra-single-image", post(extras::single))
        .route("/latent-upscale-modes", get(lists::latent_modes))
        .method_not_allowed_fallback(async || SdError::new(405, "MethodNotAllowed", "Method not allowed"))
        .fallback(async || SdError::new(404, "NotFound", "Not Found"))
}
