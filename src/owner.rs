//! On whose account a request takes what all share.

use axum::extract::Request;
use axum::http::Method;
use models::Claims;
use store::shares::Owner;

use crate::app::App;
use crate::budgets::client_of;
use crate::caller::{BadToken, claims_from};
use crate::programs;

/// The account of a request, or that of its address where none asks; and who asks, so that a token is looked at once.
pub(crate) fn owner_of(app: &App, request: &Request) -> (Owner, Result<Claims, BadToken>) {
    let headers = request.headers();
    let is_programs = ["/v1/", "/sdapi/"].iter().any(|door| request.uri().path().starts_with(door));
    let user = if is_programs { programs::account_of(app, headers) } else { None };
    let address = || Owner::Address(client_of(request, &app.config));
    let asks = claims_from(headers, app);
    let owner = match (user, &asks) {
        (Some(user), _) => Owner::Account(user),
        (None, Ok(claims)) if claims.is_service() => Owner::Service,
        (None, Ok(claims)) => claims.user_id.map_or_else(address, Owner::Account),
        (None, Err(_)) => address(),
    };
    (owner, asks)
}

/// Whether a request changes nothing, so that its answer may be left out for want of room.
pub(crate) fn only_reads(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) || path.starts_with("/functions/v1/export-")
}
