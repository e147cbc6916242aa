//! The dialect of Supabase Auth (GoTrue): accounts and sessions under `/auth/v1`.

mod account;
mod admin;
mod after_answer;
mod body;
mod error;
mod first_administrator;
mod grant;
mod logout;
mod mail;
pub(crate) mod oidc;
pub(crate) mod outbox;
mod own_account;
mod password;
mod refused;
mod settings;
mod signup;
mod user;
mod verify;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post};

use crate::app::App;
use crate::unused_members::name_unused;
use error::AuthError;

/// Largest body, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Whether a request asks for the end of the account that asks.
pub(crate) fn is_deletion_of_oneself(method: &Method, path: &str) -> bool {
    method == Method::DELETE && path == "/auth/v1/user"
}

/// Every route, relative to `/auth/v1`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/signup", post(signup::signup))
        .route("/first-administrator", post(first_administrator::make))
        .route("/authorize", get(oidc::authorize))
        .route("/callback", get(oidc::callback))
        .route("/token", post(grant::token))
        .route("/user", get(user::read).put(user::change).delete(own_account::delete))
        .route("/user/identities/authorize", get(oidc::linking::authorize))
        .route("/user/identities/{id}", delete(oidc::linking::unlink))
        .route("/logout", post(logout::logout))
        .route("/settings", get(settings::settings))
        .route("/health", get(settings::health))
        .route("/.well-known/jwks.json", get(settings::jwks))
        .route("/admin/users", get(admin::list).post(admin::create))
        .route("/admin/users/{id}", get(admin::read).put(admin::change).delete(admin::delete))
        .route("/admin/generate_link", post(admin::generate_link))
        .route("/invite", post(admin::invite))
        .route("/recover", post(mail::recover))
        .route("/otp", post(mail::otp))
        .route("/magiclink", post(mail::magiclink))
        .route("/resend", post(mail::resend))
        .route("/reauthenticate", get(mail::reauthenticate))
        .route("/verify", get(verify::open).head(verify::look).post(verify::verify))
        .method_not_allowed_fallback(async || AuthError::new(405, "validation_failed", "Method not allowed"))
        .fallback(async || AuthError::new(404, "validation_failed", "404 page not found"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(name_unused))
        .layer(from_fn(error::in_version))
}
