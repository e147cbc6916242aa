//! Links and codes: made, and kept in the outbox of the data folder in place of a mail server.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use actors::user::one_time_token::MakeOneTimeToken;
use axum::http::HeaderMap;
use models::Row;
use percent::encode;
use serde_json::{Value as Document, json};
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{hashed, id, service, time};
use crate::gotrue::error::AuthError;
use crate::keys;

/// Life of a link, in seconds.
const LIFE_S: i64 = 3600;
/// Largest outbox, in bytes; then it begins anew.
const OUTBOX_BYTES_MAX: u64 = 8 << 20;
/// The outbox in the data folder, and the one before it.
const NAMES: [&str; 2] = ["outbox.jsonl", "outbox.1.jsonl"];
/// One at a time writes to the outbox.
static WRITING: Mutex<()> = Mutex::new(());

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
    let path = app.config.data.join(NAMES[0]);
    let write = move || append(&path, &line);
    tokio::task::spawn_blocking(write).await.map_err(AuthError::internal)?.map_err(AuthError::internal)
}

/// Takes the links of accounts that are gone out of the outbox.
pub(crate) fn forget_those_of(data: &Path, is_gone: impl Fn(Uuid) -> bool) -> std::io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    for name in NAMES {
        let path = data.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let kept: String =
            text.split_inclusive('\n').filter(|line| !account_of(line).is_some_and(&is_gone)).collect();
        if kept.len() == text.len() {
            continue;
        }
        let beside = path.with_extension("new");
        let mut file = for_its_owner().write(true).truncate(true).open(&beside)?;
        file.write_all(kept.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
    }
    Ok(())
}

/// The accounts of all links in the outbox.
pub(crate) fn accounts(data: &Path) -> Vec<Uuid> {
    let texts = NAMES.into_iter().filter_map(|name| std::fs::read_to_string(data.join(name)).ok());
    texts.flat_map(|text| text.lines().filter_map(account_of).collect::<Vec<_>>()).collect()
}

fn account_of(line: &str) -> Option<Uuid> {
    let line: Document = serde_json::from_str(line).ok()?;
    Uuid::parse_str(line["user_id"].as_str()?).ok()
}

fn for_its_owner() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn append(path: &Path, line: &Document) -> std::io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > OUTBOX_BYTES_MAX) {
        // Links that are not used yet stay good.
        std::fs::rename(path, path.with_file_name(NAMES[1]))?;
    }
    for_its_owner().append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
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
