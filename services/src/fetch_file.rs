//! One file from an address to the disk: over lines that break, from where it was cut short, and checked by its hash.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::files::open_address::{AskError, ask_address};

/// Tries in all, and those in a row that bring nothing.
const TRIES_MAX: usize = 50;
const IDLE_TRIES_MAX: usize = 4;
/// How long is waited before the second try in a row; twice as long before each further one.
const WAIT: Duration = Duration::from_millis(500);
/// What is read at once to hash it.
const HASHED_AT_ONCE: usize = 1 << 20;

/// Where something is, and the token that opens it: it is sent to no other host, whatever redirects say.
#[derive(Clone)]
pub struct Address {
    /// Its URL.
    pub url: String,
    /// The token.
    pub token: Option<String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Address").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A file, as its source describes it.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Where it goes, below a folder.
    pub path: String,
    /// Where it is.
    pub address: Address,
    /// Its length, where that is known before.
    pub bytes: Option<u64>,
    /// About its length, where its source says it to no byte: for the room that it takes and how far it is.
    pub about_bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal digits, where that is known.
    pub sha256: Option<String>,
}

/// How files are fetched.
pub struct Fetching<'f> {
    /// Whether addresses of private networks may be asked.
    pub private_allowed: bool,
    /// Ends it.
    pub stop: &'f AtomicBool,
    /// Whether the disk takes so many more bytes.
    pub has_room: &'f (dyn Fn(u64) -> bool + Send + Sync),
    /// Hears how many bytes of a file are there, and how many there will be.
    pub progress: &'f mut (dyn FnMut(u64, Option<u64>) + Send),
}

/// What is known of a file that was cut short.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
struct Begun {
    url: String,
    /// The strong validator of what has arrived; without one, only a hash can tell that it is still the same file.
    etag: Option<String>,
    sha256: Option<String>,
}

impl Begun {
    /// Whether more can be put behind what has arrived.
    fn can_go_on(&self, file: &SourceFile) -> bool {
        let is_same = self.url == file.address.url && self.sha256 == file.sha256;
        is_same && (self.etag.is_some() || self.sha256.is_some())
    }
}

impl Address {
    /// Reads what is there, if it is no longer than that.
    pub async fn read(&self, bytes_max: usize, private_allowed: bool) -> Result<Vec<u8>, String> {
        let answer = ask_address(&self.url, private_allowed, self.token.as_deref(), &[]).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("the address answered {}", answer.status().as_u16()));
        }
        let (mut stream, mut text) = (answer.bytes_stream(), Vec::new());
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| "the connection broke off".to_string())?;
            if text.len() + piece.len() > bytes_max {
                return Err(format!("the answer is longer than {bytes_max} bytes"));
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }
}

/// Why a try ended.
enum Ended {
    /// It is all there.
    Whole,
    /// The line broke, or the server had no time; another try may bring more.
    Broken(String),
    /// Another try would end in the same way.
    Refused(String),
}

/// Brings a file to `path`. What has arrived of one that is cut short stays beside it, under names that end with `.partial`
/// and `.begun`, and the next call goes on from there.
pub async fn fetch_file(file: &SourceFile, path: &Path, how: &mut Fetching<'_>) -> Result<(), String> {
    let (partial, note) = (beside(path, "partial"), beside(path, "begun"));
    if path.exists() {
        // An earlier call may have known no hash, or another one.
        return check(file, path, &note).await;
    }
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).await.map_err(said)?;
    }
    let mut idle = 0;
    let mut last = String::new();
    for _ in 0..TRIES_MAX {
        let before = length(&partial).await;
        match one_try(file, &partial, &note, how).await {
            Ended::Whole => {
                check(file, &partial, &note).await?;
                fs::rename(&partial, path).await.map_err(said)?;
                let _ = fs::remove_file(&note).await;
                return Ok(());
            }
            Ended::Refused(reason) => return Err(reason),
            Ended::Broken(reason) => last = reason,
        }
        if how.stop.load(Ordering::Relaxed) {
            return Err("cancelled".into());
        }
        idle = if length(&partial).await > before { 0 } else { idle + 1 };
        if idle >= IDLE_TRIES_MAX {
            break;
        }
        tracing::debug!(url = file.address.url, last, "a fetch goes on");
        tokio::time::sleep(WAIT * (1 << idle)).await;
    }
    Err(last)
}

async fn one_try(file: &SourceFile, partial: &Path, note: &Path, how: &mut Fetching<'_>) -> Ended {
    let refused = |error: std::io::Error| Ended::Refused(format!("{}: {error}", partial.display()));
    let begun = fs::read(note).await.ok().and_then(|text| serde_json::from_slice::<Begun>(&text).ok());
    let begun = begun.filter(|begun| begun.can_go_on(file));
    let mut there = if begun.is_some() { length(partial).await } else { 0 };
    if there > 0 && file.bytes == Some(there) {
        return Ended::Whole;
    }
    let mut headers = vec![(header::ACCEPT_ENCODING, "identity".to_string())];
    if there > 0 {
        headers.push((header::RANGE, format!("bytes={there}-")));
        headers.extend(begun.and_then(|begun| begun.etag).map(|etag| (header::IF_RANGE, etag)));
    }
    let asked = ask_address(&file.address.url, how.private_allowed, file.address.token.as_deref(), &headers);
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(AskError::Lost(reason)) => return Ended::Broken(reason),
        Err(AskError::Refused(reason)) => return Ended::Refused(reason),
    };
    let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT && starts_at(&answer) == Some(there);
    match answer.status() {
        StatusCode::OK => there = 0,
        StatusCode::PARTIAL_CONTENT if goes_on => {}
        // It was whole before it was looked over: nothing comes behind it.
        StatusCode::RANGE_NOT_SATISFIABLE if there > 0 && length_said(&answer) == Some(there) => {
            return Ended::Whole;
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            // What is there is not the beginning of what the address has now.
            return match fs::remove_file(partial).await {
                Ok(()) => Ended::Broken("the address has something else now".into()),
                Err(error) => refused(error),
            };
        }
        status => {
            let reason = format!("the address answered {}", status.as_u16());
            let may_pass = status.is_server_error() || [408, 429].contains(&status.as_u16());
            return if may_pass { Ended::Broken(reason) } else { Ended::Refused(reason) };
        }
    }
    let total = answer.content_length().map(|rest| there + rest);
    if let (Some(total), Some(expected)) = (total, file.bytes)
        && total != expected
    {
        return Ended::Refused(format!("the address has {total} bytes, and {expected} were expected"));
    }
    if !(how.has_room)(total.unwrap_or(0).saturating_sub(there)) {
        return Ended::Refused(NO_ROOM.into());
    }
    let etag = answer.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_string);
    let begun = Begun { url: file.address.url.clone(), etag, sha256: file.sha256.clone() };
    if let Err(error) = fs::write(note, serde_json::to_vec(&begun).unwrap_or_default()).await {
        return refused(error);
    }
    let opened = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .append(goes_on)
        .truncate(!goes_on)
        .open(partial)
        .await;
    let mut out = match opened {
        Ok(out) => out,
        Err(error) => return refused(error),
    };
    let mut stream = answer.bytes_stream();
    let ended = loop {
        let Some(piece) = stream.next().await else {
            break match total {
                Some(total) if total != there => Ended::Broken("the connection broke off".into()),
                _ => Ended::Whole,
            };
        };
        if how.stop.load(Ordering::Relaxed) {
            break Ended::Refused("cancelled".into());
        }
        let Ok(piece) = piece else { break Ended::Broken("the connection broke off".into()) };
        if !(how.has_room)(piece.len() as u64) {
            break Ended::Refused(NO_ROOM.into());
        }
        if let Err(error) = out.write_all(&piece).await {
            break refused(error);
        }
        there += piece.len() as u64;
        (how.progress)(there, total.or(file.bytes).or(file.about_bytes));
    };
    // What has arrived stays, so that the next try goes on behind it.
    match out.sync_all().await {
        Ok(()) => ended,
        Err(error) => refused(error),
    }
}

const NO_ROOM: &str = "the disk has no room for it";

/// How long the file is that the address has nothing more of.
fn length_said(answer: &reqwest::Response) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes */")?.trim().parse().ok()
}

/// Where the piece begins that the address answers with.
fn starts_at(answer: &reqwest::Response) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Whether it is what was expected; what is not goes.
async fn check(file: &SourceFile, partial: &Path, note: &Path) -> Result<(), String> {
    let there = length(partial).await;
    let wrong = match (file.bytes, &file.sha256) {
        (Some(bytes), _) if bytes != there => {
            Some(format!("{there} bytes arrived, and {bytes} were expected"))
        }
        (_, Some(expected)) => {
            let path = partial.to_path_buf();
            let found = tokio::task::spawn_blocking(move || sha256_of(&path)).await;
            let found = found.map_err(|_| "hashing failed unexpectedly".to_string())?;
            let found = found.map_err(|error| format!("{}: {error}", partial.display()))?;
            let is_wrong = !found.eq_ignore_ascii_case(expected);
            is_wrong.then(|| format!("its sha256 is {found}, and {expected} was expected"))
        }
        _ => None,
    };
    let Some(reason) = wrong else { return Ok(()) };
    for path in [partial, note] {
        let _ = fs::remove_file(path).await;
    }
    Err(format!("{}: {reason}; what arrived was thrown away", file.path))
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let (mut file, mut hasher) = (std::fs::File::open(path)?, Sha256::new());
    let mut piece = vec![0; HASHED_AT_ONCE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(&piece[..read]),
        }
    }
}

async fn length(path: &Path) -> u64 {
    fs::metadata(path).await.map_or(0, |about| about.len())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}
