//! `POST logout?scope=`: sessions end.

use actors::user::end_sessions::{EndSessions, Scope};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use crate::app::App;
use crate::gotrue::account::current;
use crate::gotrue::body::Parameters;
use crate::gotrue::error::AuthError;

/// Also for sessions that have ended: 204.
pub(crate) async fn logout(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<StatusCode, AuthError> {
    let claims = match current(&headers, &app) {
        Ok((claims, _)) => claims,
        // Nothing is left to be ended.
        Err(error) if error.code == "session_not_found" => return Ok(StatusCode::NO_CONTENT),
        Err(error) => return Err(error),
    };
    let scope = match query.get("scope") {
        None | Some("" | "global") => Scope::Global,
        Some("local") => Scope::Local,
        Some("others") => Scope::Others,
        Some(other) => {
            return Err(AuthError::invalid(format!("Unsupported logout scope {other:?}")));
        }
    };
    let user_id = claims.user_id.unwrap_or_default();
    app.services
        .actors
        .ask(&claims.elevated(), EndSessions { user_id, session_id: claims.session_id, scope })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
