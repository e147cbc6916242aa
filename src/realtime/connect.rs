//! `GET /realtime/v1/websocket`: who may open a socket, and how many.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestExt};
use models::Claims;
use serde::Deserialize;
use store::shares::{Held, Owner};
use syntax::phoenix::Version;

use super::admission::Token;
use super::limits::{FRAME_BYTES_MAX, SOCKETS_OF_ACCOUNT_MAX};
use super::refusal::refuse;
use super::session::Session;
use super::socket;
use crate::app::App;
use crate::budgets::client_of;
use crate::caller;
use crate::connections::Place;

/// What a socket reads at once, and gathers before it writes, in bytes. Most sockets are idle.
const READ_BYTES: usize = 4096;
const WRITE_BYTES: usize = 4096;

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    apikey: Option<String>,
    vsn: Option<String>,
}

/// On whose account something is that a caller asks for.
pub(super) fn owner_of(claims: &Claims, address: impl FnOnce() -> IpAddr) -> Owner {
    match (claims.is_service(), claims.user_id) {
        (true, _) => Owner::Service,
        (false, Some(user)) => Owner::Account(user),
        (false, None) => Owner::Address(address()),
    }
}

/// A place among all sockets, if the owner may have one more.
pub(super) fn place_for(app: &App, owner: Owner) -> Option<Held> {
    let places = &app.budgets.sockets;
    let held = places.try_hold(owner, 1)?;
    let is_account = matches!(owner, Owner::Account(_));
    (!is_account || places.used_by(owner) <= SOCKETS_OF_ACCOUNT_MAX).then_some(held)
}

/// Opens a socket.
pub(super) async fn connect(
    State(app): State<App>,
    place: Option<Extension<Place>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    mut request: Request,
) -> Response {
    let Query(Parameters { apikey, vsn }) = match parameters {
        Ok(parameters) => parameters,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let Some(version) = Version::parse(vsn.as_deref()) else {
        return refuse(StatusCode::BAD_REQUEST, "vsn: neither 1.0.0 nor 2.0.0");
    };
    let in_header = request.headers().get("apikey").and_then(|key| key.to_str().ok());
    let bearer = caller::bearer(request.headers()).ok().flatten();
    let key = apikey.or_else(|| in_header.or(bearer).map(str::to_owned));
    let token = match Token::read(&app, key.as_deref()) {
        Ok(token) => token,
        Err(error) => return refuse(StatusCode::UNAUTHORIZED, error.to_string()),
    };
    let owner = owner_of(&token.claims, || client_of(&request, &app.config));
    let upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection> = request.extract_parts().await;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => return error.into_response(),
    };
    let Some(held) = place_for(&app, owner) else {
        let message = "ConnectionRateLimitReached: too many sockets for one account or address";
        return refuse(StatusCode::TOO_MANY_REQUESTS, message);
    };
    let session = Session::new(app.clone(), version, token, owner, held);
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(async move |stream| {
            // The connection counts as one until the socket ends.
            let _place: Option<Arc<_>> = place.map(|Extension(place)| place.0);
            socket::run(stream, session).await;
        })
}
