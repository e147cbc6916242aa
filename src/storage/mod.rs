//! The dialect of Supabase Storage: buckets and files under `/storage/v1`.

mod bucket;
mod download;
mod error;
mod incoming;
mod info;
mod list;
mod object;
mod range;
mod relocate;
mod remove;
mod render;
mod request;
mod resumable;
mod sign;
mod ticket;
mod transform;
mod unfinished;
mod upkeep;
mod upload;
mod upload_note;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{delete, get, head, post};

use crate::app::App;
use crate::unused_members::name_unused;
use error::StorageError;

pub(crate) use incoming::drain;
pub(crate) use resumable::abilities as resumable_abilities;
pub use sign::{signed_upload_url, signed_url};
pub(crate) use unfinished::Unfinished;
pub(crate) use upkeep::run_sweep_loop;

/// Where resumable uploads begin.
pub(crate) const RESUMABLE: &str = "/storage/v1/upload/resumable";

/// Every route, relative to `/storage/v1`.
pub fn routes() -> Router<App> {
    let object = get(download::with_token).post(upload::create).put(upload::replace).delete(remove::one);
    let piece = head(resumable::state).patch(resumable::go_on).delete(resumable::give_up);
    let signed_piece =
        head(resumable::state_signed).patch(resumable::go_on_signed).delete(resumable::give_up_signed);
    Router::new()
        .route("/bucket", get(bucket::list).post(bucket::create))
        .route("/bucket/{bucket}", get(bucket::read).put(bucket::change).delete(bucket::delete))
        .route("/bucket/{bucket}/empty", post(bucket::empty))
        .route("/object/{bucket}", delete(remove::several))
        .route("/object/{bucket}/{*key}", object)
        .route("/object/authenticated/{bucket}/{*key}", get(download::with_token))
        .route("/object/public/{bucket}/{*key}", get(download::public))
        .route("/object/info/{bucket}/{*key}", get(info::with_token))
        .route("/object/info/authenticated/{bucket}/{*key}", get(info::with_token))
        .route("/object/info/public/{bucket}/{*key}", get(info::public))
        .route("/object/list/{bucket}", post(list::list))
        .route("/object/list-v2/{bucket}", post(list::list_v2))
        .route("/object/move", post(relocate::move_object))
        .route("/object/copy", post(relocate::copy_object))
        .route("/object/sign/{bucket}", post(sign::several))
        .route("/object/sign/{bucket}/{*key}", get(sign::download).post(sign::one))
        .route("/object/upload/sign/{bucket}/{*key}", post(sign::upload).put(sign::upload_with_token))
        .route("/render/image/authenticated/{bucket}/{*key}", get(render::with_token))
        .route("/render/image/public/{bucket}/{*key}", get(render::public))
        .route("/render/image/sign/{bucket}/{*key}", get(render::signed))
        .route("/upload/resumable", post(resumable::create))
        .route("/upload/resumable/{id}", piece)
        .route("/upload/resumable/sign", post(resumable::create_signed))
        .route("/upload/resumable/sign/{id}", signed_piece)
        .method_not_allowed_fallback(async || StorageError::invalid("Method not allowed"))
        .fallback(async || StorageError::new(404, "not_found", "NoSuchRoute", "Route not found"))
        // Files are counted as they arrive, JSON bodies have a limit of their own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(name_unused))
}
