//! `GET /metrics`, with the operator's key or an administrator's token; and without one where an address of its own is
//! set.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tower::service_fn;

use super::gather;
use crate::app::App;
use crate::connections::{self, Doors};
use crate::operate::{Details, details_for};

/// What OpenMetrics' text is called.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections to the address of its own.
const CONNECTIONS_MAX: usize = 32;

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let refused = |status: StatusCode, message: &str| {
        (status, axum::Json(json!({"code": status.as_str(), "message": message}))).into_response()
    };
    let needed = "this needs the service_role key, or the token of an administrator";
    match details_for(&app, &headers) {
        Details::Shown => page(app).await,
        Details::Unknown(reason) => {
            let mut answer = refused(StatusCode::UNAUTHORIZED, &format!("{reason}; {needed}"));
            let scheme = header::HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            answer
        }
        Details::Hidden => refused(StatusCode::FORBIDDEN, needed),
    }
}

async fn page(app: App) -> Response {
    match tokio::task::spawn_blocking(move || gather::page(&app)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers `/metrics` at an address of its own, to every caller, until `stop` resolves.
pub(crate) async fn apart(app: App, listener: TcpListener, stop: impl Future<Output = ()>) {
    let pause = Duration::from_secs(app.config.answer_pause_s_max);
    let doors =
        Doors { listener, connections_max: CONNECTIONS_MAX, pause_max: pause, tls: None, counted: None };
    let service = service_fn(move |request: Request| {
        let app = app.clone();
        async move {
            Ok::<_, Infallible>(match request.uri().path() {
                "/metrics" => page(app).await,
                _ => StatusCode::NOT_FOUND.into_response(),
            })
        }
    });
    connections::serve(doors, service, stop).await;
}
