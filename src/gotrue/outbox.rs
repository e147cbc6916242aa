//! Links and codes: made, and kept in the outbox of the data folder in place of a mail server.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use actors::user::one_time_token::{EMAIL_CHANGE_CURRENT, MakeOneTimeToken};
use axum::http::HeaderMap;
use models::Row;
use percent::encode;
use serde_json::{Value as Document, json};
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{column, hashed, id, service, time};
use crate::gotrue::error::AuthError;
use crate::keys;
use crate::mail::Letter;

/// Life of a link, in seconds.
const LIFE_S: i64 = 3600;
/// Life of a PKCE code, in seconds, as upstream has it: a page redeems it at once.
const CODE_LIFE_S: i64 = 300;
/// Largest outbox, in bytes; then it begins anew.
const OUTBOX_BYTES_MAX: u64 = 8 << 20;
/// The outbox in the data folder, and the one before it.
const NAMES: [&str; 2] = ["outbox.jsonl", "outbox.1.jsonl"];
/// One at a time writes to the outbox.
static WRITING: Mutex<()> = Mutex::new(());

/// A link with its code.
pub(crate) struct Link {
    /// The account, which knows when the link was made.
    pub user: Row,
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
        provider_tokens: None,
        life_s: LIFE_S,
    };
    let user = app.services.actors.ask(&service(headers, app), decision).await?;
    let user = user.ok_or_else(|| AuthError::new(404, "user_not_found", "User not found"))?;
    let url = app.config.url();
    let shown = if kind == EMAIL_CHANGE_CURRENT { "email_change" } else { kind };
    let redirect_to = redirect_to.unwrap_or(&url).to_string();
    let action_link =
        format!("{url}/auth/v1/verify?token={token_hash}&type={shown}&redirect_to={}", encode(&redirect_to));
    Ok(Link { user, action_link, code, token_hash, kind, address: address.to_string(), redirect_to })
}

/// Makes a PKCE code for the session of an account, with what a provider gave along.
pub(crate) async fn make_code(
    app: &App,
    headers: &HeaderMap,
    user: &Row,
    challenge: (String, String),
    provider_tokens: Option<Document>,
) -> Result<String, AuthError> {
    let code = keys::random();
    let decision = MakeOneTimeToken {
        user_id: id(user),
        kind: "pkce".into(),
        token_hash: hashed(&code),
        // It is redeemed as a link alone.
        code_hash: hashed(&keys::random()),
        relates_to: column(user, "email").as_str().unwrap_or_default().to_string(),
        challenge: Some(challenge),
        provider_tokens,
        life_s: CODE_LIFE_S,
    };
    app.services.actors.ask(&service(headers, app), decision).await?;
    Ok(code)
}

/// Sends a link by mail, or puts it where the operator finds it.
pub(crate) async fn keep(app: &App, user: &Row, link: &Link) -> Result<(), AuthError> {
    let line = json!({
        "at": time(chrono::Utc::now().timestamp_micros()),
        "user_id": id(user),
        "email": link.address,
        "kind": link.kind,
        "action_link": link.action_link,
        "email_otp": link.code,
    });
    if let Some(mailer) = &app.mailer {
        let letter = Letter {
            to: link.address.clone(),
            kind: link.kind,
            link: link.action_link.clone(),
            code: link.code.clone(),
            site: app.config.url(),
        };
        mailer.send(letter, line);
        return Ok(());
    }
    let data = app.config.data.clone();
    let write = move || append(&data, &line);
    tokio::task::spawn_blocking(write).await.map_err(AuthError::internal)?.map_err(AuthError::internal)
}

/// Takes the links of accounts that are gone out of the outbox, and what a crash left of links, which names no account.
pub(crate) fn forget_those_of(data: &Path, is_gone: impl Fn(Uuid) -> bool) -> io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    for name in NAMES {
        let path = data.join(name);
        let beside = path.with_extension("new");
        let mut links = match File::open(&path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut kept = BufWriter::new(for_its_owner().write(true).truncate(true).open(&beside)?);
        let (mut line, mut is_changed) = (Vec::new(), false);
        while links.read_until(b'\n', &mut line)? > 0 {
            for link in links_of(&line) {
                match link.account {
                    Some(account) if !is_gone(account) => {
                        kept.write_all(link.text)?;
                        kept.write_all(b"\n")?;
                    }
                    _ => is_changed = true,
                }
            }
            line.clear();
        }
        if is_changed {
            kept.into_inner()?.sync_all()?;
            std::fs::rename(&beside, &path)?;
        } else {
            std::fs::remove_file(&beside)?;
        }
    }
    Ok(())
}

/// The accounts of all links in the outbox.
pub(crate) fn accounts(data: &Path) -> Vec<Uuid> {
    let mut accounts = Vec::new();
    for file in NAMES.into_iter().filter_map(|name| File::open(data.join(name)).ok()) {
        let (mut links, mut line) = (BufReader::new(file), Vec::new());
        while links.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            accounts.extend(links_of(&line).filter_map(|link| link.account));
            line.clear();
        }
    }
    accounts
}

/// A link as a line of the outbox has it, or what a crash left of one.
struct Written<'l> {
    text: &'l [u8],
    /// Unknown where it is not whole.
    account: Option<Uuid>,
}

/// The links in a line: one, or several where the next was written behind one that a crash cut short. A link is an object
/// without others in it, so that `{"` begins the next one.
fn links_of(line: &[u8]) -> impl Iterator<Item = Written<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii();
        let next = rest.windows(2).skip(1).position(|pair| pair == b"{\"").map_or(rest.len(), |at| at + 1);
        let (text, after) = rest.split_at(next);
        rest = after;
        (!text.is_empty()).then(|| Written { text: text.trim_ascii(), account: account_of(text) })
    })
}

fn account_of(link: &[u8]) -> Option<Uuid> {
    let link: Document = serde_json::from_slice(link).ok()?;
    Uuid::parse_str(link["user_id"].as_str()?).ok()
}

fn for_its_owner() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Adds a line to the outbox of a data folder. Blocks.
pub(crate) fn append(data: &Path, line: &Document) -> io::Result<()> {
    let path = &data.join(NAMES[0]);
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > OUTBOX_BYTES_MAX) {
        // Links that are not used yet stay good.
        std::fs::rename(path, path.with_file_name(NAMES[1]))?;
    }
    let mut file = for_its_owner().read(true).append(true).open(path)?;
    // What a crash cut short is a line of its own.
    let gap = if ends_within_line(&mut file)? { "\n" } else { "" };
    file.write_all(format!("{gap}{line}\n").as_bytes())
}

fn ends_within_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn link(account: Uuid, code: &str) -> Document {
        json!({"at": "now", "user_id": account, "email": "a@example.com", "email_otp": code})
    }

    #[test]
    fn what_a_crash_cut_short_hides_and_keeps_no_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAMES[0]);
        let (gone, stays) = (Uuid::from_u128(1), Uuid::from_u128(2));
        append(folder.path(), &link(gone, "first")).expect("a line");
        append(folder.path(), &link(stays, "second")).expect("a line");
        let mut file = for_its_owner().append(true).open(&path).expect("the outbox");
        // Cut within a character of two bytes, once with the next link behind it, as earlier versions left it.
        file.write_all(b"{\"at\":\"now\",\"email\":\"caf\xc3").expect("a torn line");
        file.write_all(format!("{}\n", link(gone, "third")).as_bytes()).expect("a glued line");
        file.write_all(b"{\"email\":\"caf\xc3").expect("a torn line");
        file.write_all(format!("{}\n{{\"email\":\"caf", link(stays, "fourth")).as_bytes()).expect("two");
        append(folder.path(), &link(stays, "fifth")).expect("a line");
        assert_eq!(accounts(folder.path()), [gone, stays, gone, stays, stays]);
        forget_those_of(folder.path(), |account| account == gone).expect("it is read");
        let left = std::fs::read_to_string(&path).expect("it is text again");
        let codes: Vec<Document> = left
            .lines()
            .map(|line| serde_json::from_str::<Document>(line).expect("a link")["email_otp"].clone())
            .collect();
        assert_eq!(codes, ["second", "fourth", "fifth"]);
        assert_eq!(accounts(folder.path()), [stays, stays, stays]);
        // Nothing goes a second time, and nothing is left beside it.
        forget_those_of(folder.path(), |account| account == gone).expect("it is read");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), left);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
