//! `POST verify`: a session for a link or code.

use actors::user::one_time_token::{Proof, RedeemOneTimeToken};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::Value as Document;

use crate::app::App;
use crate::gotrue::account::{hashed, service, start_session};
use crate::gotrue::body::Body;
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox::code_hash;

pub(crate) async fn verify(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let kinds: &[&str] = match body.needed("type")? {
        "email" => &["signup", "magiclink"],
        "signup" => &["signup"],
        "magiclink" => &["magiclink"],
        "recovery" => &["recovery"],
        "invite" => &["invite"],
        _ => return Err(AuthError::invalid("Verify requires a verification type")),
    };
    let proof = match body.text("token_hash")?.filter(|hash| !hash.is_empty()) {
        Some(hash) => Proof::Link(hashed(hash)),
        None => {
            let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
            let hash = code_hash(&address, body.needed("token")?);
            Proof::Code(address, hash)
        }
    };
    let kinds = kinds.iter().map(ToString::to_string).collect();
    let redeemed = app.actors.ask(&service(&headers, &app), RedeemOneTimeToken { proof, kinds }).await?;
    let Some(redeemed) = redeemed else {
        return Err(AuthError::new(403, "otp_expired", "Token has expired or is invalid"));
    };
    start_session(&app, &headers, &redeemed.user, "otp").await.map(Json)
}
