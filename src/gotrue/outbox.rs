//! Links and codes: made, and kept in the outbox of the data folder in place of a mail server.

use std::io::Write;

use actors::user::one_time_token::MakeOneTimeToken;
use axum::http::HeaderMap;
use models::Row;
use percent::encode;
use serde_json::{Value as Document, json};

use crate::app::App;
use crate::gotrue::account::{hashed, id, service, time};
use crate::gotrue::error::AuthError;
use crate::keys;

/// Life of a link, in seconds.
const LIFE_S: i64 = 3600;
/// Largest outbox, in bytes; then it begins anew.
const OUTBOX_BYTES_MAX: u64 = 8 << 20;

/// A link with its code.
pub(crate) struct Link {
    pub action_link: String,
    pub code: String,
    pub token_hash: String,
    pub kind: &'static str,
    pub address: String,
    pub redirect_to: String,
}

/// What the code of an address is kept as.
pub(crate) fn code_hash(address: &str, code: &str) -> String {
    hashed(&format!("{address}\n{code}"))
}

/// Makes a link for an address of an account.
pub(crate) async fn make(
    app: &App,
    headers: &HeaderMap,
    user: &Row,
    kind: &'static str,
    address: &str,
    redirect_to: Option<&str>,
    challenge: Option<(String, String)>,
) -> Result<Link, AuthError> {
    let token_hash = keys::random();
    let code = format!("{:06}", rand::random_range(0..1_000_000_u32));
    let decision = MakeOneTimeToken {
        user_id: id(user),
        kind: kind.to_string(),
        token_hash: hashed(&token_hash),
        code_hash: code_hash(address, &code),
        relates_to: address.to_string(),
        challenge,
        life_s: LIFE_S,
    };
    app.services.actors.ask(&service(headers, app), decision).await?;
    let url = app.config.url();
    let redirect_to = redirect_to.unwrap_or(&url).to_string();
    let action_link =
        format!("{url}/auth/v1/verify?token={token_hash}&type={kind}&redirect_to={}", encode(&redirect_to));
    Ok(Link { action_link, code, token_hash, kind, address: address.to_string(), redirect_to })
}

/// Puts a link where the operator finds it.
pub(crate) async fn keep(app: &App, user: &Row, link: &Link) -> Result<(), AuthError> {
    let line = json!({
        "at": time(chrono::Utc::now().timestamp_micros()),
        "user_id": id(user),
        "email": link.address,
        "kind": link.kind,
        "action_link": link.action_link,
        "email_otp": link.code,
    });
    let path = app.config.data.join("outbox.jsonl");
    let write = move || append(&path, &line);
    tokio::task::spawn_blocking(write).await.map_err(AuthError::internal)?.map_err(AuthError::internal)
}

fn append(path: &std::path::Path, line: &Document) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > OUTBOX_BYTES_MAX) {
        // Links that nobody has read yet are still good.
        std::fs::rename(path, path.with_extension("1.jsonl"))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(format!("{line}\n").as_bytes())
}

mod percent {
    use std::fmt::Write;

    /// Percent-encodes all but unreserved characters.
    pub(super) fn encode(text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    }
}
