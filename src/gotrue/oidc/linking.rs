//! Further ways of signing in to an account: `GET user/identities/authorize`, `DELETE user/identities/{id}`, as
//! `linkIdentity` and `unlinkIdentity` of supabase-js ask for them.

use actors::user::link_identity::{LinkIdentity, Linked, UnlinkIdentity, Unlinked};
use actors::user::provider_identity::ProviderIdentity;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use models::Row;
use serde_json::{Value as Document, json};
use uuid::Uuid;

use super::begin::{Begun, begin};
use crate::app::App;
use crate::gotrue::account::{current, id, service};
use crate::gotrue::body::Parameters;
use crate::gotrue::error::AuthError;
use crate::gotrue::refused::Refused;

fn check_allowed(app: &App) -> Result<(), AuthError> {
    match app.config.manual_linking {
        true => Ok(()),
        false => Err(AuthError::new(404, "manual_linking_disabled", "Manual linking is disabled")),
    }
}

/// `GET user/identities/authorize?provider=…`: where the provider asks the person, who is signed in here.
pub(crate) async fn authorize(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let (_, user) = current(&headers, &app)?;
    check_allowed(&app)?;
    let Begun { url, .. } = begin(&app, &query, Some(id(&user))).await?;
    // A page asks for the address, and goes there itself.
    Ok(match query.get("skip_http_redirect") {
        Some("true") => Json(json!({"url": url.as_str()})).into_response(),
        _ => Redirect::to(url.as_str()).into_response(),
    })
}

/// Links the identity of a person whom the provider has sent back.
pub(super) async fn link(
    app: &App,
    headers: &HeaderMap,
    user_id: Uuid,
    identity: ProviderIdentity,
) -> Result<Row, Refused> {
    check_allowed(app)?;
    let already = |description: &str| Refused {
        error: "server_error",
        code: "identity_already_exists",
        description: description.into(),
    };
    let decided = app.services.actors.ask(&service(headers, app), LinkIdentity { user_id, identity }).await;
    match decided.map_err(AuthError::from)? {
        Linked::Account(user) => Ok(*user),
        Linked::Already => Err(already("Identity is already linked")),
        Linked::Others => Err(already("Identity is already linked to another user")),
        Linked::Gone => Err(Refused::new("user_not_found", "User from sub claim in JWT does not exist")),
    }
}

/// `DELETE user/identities/{id}`
pub(crate) async fn unlink(
    State(app): State<App>,
    Path(identity): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Document>, AuthError> {
    let (_, user) = current(&headers, &app)?;
    check_allowed(&app)?;
    let refused = |code: &'static str, message: &str| Err(AuthError::new(422, code, message));
    let Ok(identity_id) = Uuid::parse_str(&identity) else {
        return Err(AuthError::new(404, "validation_failed", "identity_id must be an UUID"));
    };
    let decision = UnlinkIdentity { user_id: id(&user), identity_id };
    match app.services.actors.ask(&service(&headers, &app), decision).await? {
        Unlinked::Done => Ok(Json(json!({}))),
        Unlinked::Single => {
            refused("single_identity_not_deletable", "User must have at least 1 identity after unlinking")
        }
        Unlinked::OwnAddress => refused(
            "email_conflict_identity_not_deletable",
            "The identity of an account's own address stays; change the address instead",
        ),
        Unlinked::Unknown => refused("identity_not_found", "Identity doesn't exist"),
    }
}
