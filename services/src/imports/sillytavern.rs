//! SillyTavern's data: characters, chats, groups, worlds, personas and backgrounds of each user's folder.
//!
//! What cannot come in is named with the reason and ends nothing. A run that is cut short is taken up by the next one: each
//! thing is there whole or not at all, and its id comes from where it lies.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use models::{Claims, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::files::Files;
use super::items::{Importer, JSON_BYTES_MAX, book_of};
use super::layout::{FileKind, UserFolder, stem, users_of};
use super::report::UserReport;
use super::source::{FILE_BYTES_MAX, Source};
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::position;
use store::query::Query;

/// Paths that are left out of a report's own list.
const LISTED_MAX: usize = 200;
/// Characters of a group's name that are kept, which is the title of its chats.
const GROUP_CHARS_MAX: usize = 200;

/// To whom the users' folders come.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// By the folder's name.
    pub by_folder: HashMap<String, Uuid>,
    /// All others; with several folders only those that are named come in.
    pub otherwise: Option<Uuid>,
}

/// How far an import is.
#[derive(Clone, Debug)]
pub struct Step {
    /// Files that were looked at.
    pub done: usize,
    /// Files that there are.
    pub total: usize,
    /// The one that is looked at.
    pub path: String,
}

/// The account of an address.
pub async fn account_of(services: &Services, email: &str) -> Result<Uuid, ServiceError> {
    let context = Context::new(services.clone(), Claims::service());
    let query =
        Query::all(position("auth.users")).equal("email", Value::Text(email.trim().to_lowercase())).limit(1);
    let found = context.rows(query).await?.pop();
    let missing = || ServiceError::not_found(format!("there is no account {email}"));
    found.and_then(|row| uuid(&row["id"])).ok_or_else(missing)
}

/// Imports a source, or says what would come in. `progress` hears of each file.
pub async fn import(
    services: &Services,
    source: Source,
    accounts: &Accounts,
    is_dry: bool,
    progress: &mut (dyn FnMut(Step) + Send),
) -> Result<Json, ServiceError> {
    let (users, beside) = users_of(&source.paths);
    if users.is_empty() {
        let message =
            "nothing of SillyTavern is there: no folder characters, chats, worlds … and no settings.json";
        return Err(ServiceError::bad(message));
    }
    let total = users.iter().map(|user| user.files.len()).sum();
    let is_alone = users.len() == 1;
    let mut left_out: Vec<Json> =
        source.left_out.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect();
    left_out.extend(beside.iter().map(|(path, reason)| json!({"path": path, "reason": reason})));
    let surplus = left_out.len().saturating_sub(LISTED_MAX);
    left_out.truncate(LISTED_MAX);
    let (mut reports, mut done, source) = (Vec::new(), 0, Arc::new(Mutex::new(source)));
    for user in &users {
        let mut report = UserReport::of(user.root.trim_end_matches('/'));
        let account = accounts.by_folder.get(user.handle()).copied();
        match account.or(accounts.otherwise.filter(|_| is_alone)) {
            Some(account) => {
                report.account = Some(account.to_string());
                let importer = Importer {
                    context: Context::new(services.clone(), Claims::user(account)),
                    user: account,
                    is_dry,
                    report: &mut report,
                    files: Files::below(&source, &user.root),
                    characters: HashMap::new(),
                };
                let mut steps = Steps { done: &mut done, total, root: &user.root, progress: &mut *progress };
                of_user(importer, user, &mut steps).await?;
            }
            None => {
                done += user.files.len();
                report.skipped(&user.root, "no account is named for this folder");
            }
        }
        reports.push(report.json());
    }
    Ok(json!({
        "from": "sillytavern", "dry_run": is_dry, "users": reports, "left_out": left_out, "left_out_not_listed": surplus,
    }))
}

/// Counts files while they are looked at.
struct Steps<'s> {
    done: &'s mut usize,
    total: usize,
    root: &'s str,
    progress: &'s mut (dyn FnMut(Step) + Send),
}

impl Steps<'_> {
    fn at(&mut self, path: &str) {
        *self.done += 1;
        (self.progress)(Step { done: *self.done, total: self.total, path: format!("{}{path}", self.root) });
    }
}

/// One user's folder: settings and books first, then cards, and chats at last, since they name cards. Of books and of
/// pictures of personas only the paths are kept until their turn comes.
async fn of_user(
    mut importer: Importer<'_>,
    user: &UserFolder,
    steps: &mut Steps<'_>,
) -> Result<(), ServiceError> {
    let mut settings = Json::Null;
    let mut worlds: BTreeMap<String, String> = BTreeMap::new();
    let mut groups: HashMap<String, String> = HashMap::new();
    let mut avatars: BTreeSet<String> = BTreeSet::new();
    let group_chats: HashSet<&str> = user
        .files
        .iter()
        .filter(|(_, kind)| **kind == FileKind::GroupChat)
        .map(|(path, _)| stem(path))
        .collect();
    for (path, kind) in &user.files {
        match kind {
            FileKind::Other(reason) => {
                steps.at(path);
                importer.report.skipped(path, *reason);
                continue;
            }
            FileKind::Avatar => {
                steps.at(path);
                avatars.insert(path["User Avatars/".len()..].to_string());
                continue;
            }
            FileKind::Settings | FileKind::World | FileKind::Group => steps.at(path),
            _ => continue,
        }
        let bytes = match importer.files.read(path, JSON_BYTES_MAX).await? {
            Ok(bytes) => bytes,
            Err(reason) => {
                importer.report.skipped(path, reason);
                continue;
            }
        };
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let value: Json = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(error) => {
                importer.report.skipped(path, format!("no JSON: {error}"));
                continue;
            }
        };
        match kind {
            FileKind::Settings => settings = value,
            FileKind::World => match book_of(&bytes) {
                Ok(book) => {
                    book.warnings().into_iter().for_each(|warning| importer.report.note(path, warning));
                    worlds.insert(stem(path).to_string(), path.clone());
                }
                Err(error) => importer.report.skipped(path, error.to_string()),
            },
            _ => {
                let name = value["name"].as_str().unwrap_or("Group");
                let name: String = name.chars().take(GROUP_CHARS_MAX).collect();
                let named =
                    value["chats"].as_array().into_iter().flatten().chain([&value["chat_id"], &value["id"]]);
                let named = named.filter_map(Json::as_str).filter(|id| group_chats.contains(*id));
                groups.extend(named.map(|id| (id.to_string(), name.clone())));
                importer.report.note(
                    path,
                    format!("{name}: its chats come in as conversations with the names of who speaks"),
                );
            }
        }
    }
    personas(&mut importer, settings, avatars).await?;
    let mut used = BTreeSet::new();
    for pass in [Pass::Cards, Pass::Others] {
        for (path, kind) in &user.files {
            if !pass.takes(kind) {
                continue;
            }
            steps.at(path);
            let bytes = match importer.files.read(path, FILE_BYTES_MAX).await? {
                Ok(bytes) => bytes,
                Err(reason) => {
                    importer.report.skipped(path, reason);
                    continue;
                }
            };
            let outcome = match kind {
                FileKind::Card => {
                    let named = importer.card(path, stem(path), bytes, &worlds).await;
                    named.map(|name| used.extend(name.filter(|name| worlds.contains_key(name))))
                }
                FileKind::Chat(name) => {
                    let character = importer.characters.get(name).cloned();
                    if character.is_none() {
                        importer
                            .report
                            .note(path, format!("there is no card {name:?}, so the chat has no character"));
                    }
                    importer.chat(path, bytes, character, None).await
                }
                FileKind::GroupChat => {
                    let title = groups.get(stem(path)).cloned();
                    importer.chat(path, bytes, None, Some(title.unwrap_or_else(|| "Group chat".into()))).await
                }
                FileKind::Expression(name) => {
                    let character = importer.characters.get(name).cloned();
                    importer.picture("expressions", path, bytes, character.as_ref()).await
                }
                FileKind::Background => importer.picture("backgrounds", path, bytes, None).await,
                _ => importer.picture("pictures", path, bytes, None).await,
            };
            if let Err(error) = outcome {
                match error.kind() {
                    // What ends the whole import: a full disk, a server that stops, an account that ended.
                    Kind::Internal | Kind::Unavailable | Kind::Unauthorized => return Err(error),
                    _ => importer.report.skipped(path, error.to_string()),
                }
            }
            store::crash::point("imported_item");
        }
    }
    for name in worlds.keys().filter(|name| !used.contains(*name)) {
        let reason = "no card names this book; give it to a character with character-lorebook";
        importer.report.skipped(&format!("worlds/{name}.json"), reason);
    }
    Ok(())
}

/// In which turn a file is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Cards,
    Others,
}

impl Pass {
    fn takes(self, kind: &FileKind) -> bool {
        match kind {
            FileKind::Card => self == Pass::Cards,
            FileKind::Chat(_)
            | FileKind::GroupChat
            | FileKind::Expression(_)
            | FileKind::Background
            | FileKind::Image => self == Pass::Others,
            _ => false,
        }
    }
}

/// Personas of the settings, and avatars that are no persona's.
async fn personas(
    importer: &mut Importer<'_>,
    settings: Json,
    mut avatars: BTreeSet<String>,
) -> Result<(), ServiceError> {
    let user = &settings["power_user"];
    for (avatar, name) in user["personas"].as_object().into_iter().flatten() {
        let Some(name) = name.as_str().map(str::trim).filter(|name| !name.is_empty()) else {
            importer.report.skipped(&format!("User Avatars/{avatar}"), "a persona without a name");
            continue;
        };
        let described = &user["persona_descriptions"][avatar];
        let description = described.as_str().or(described["description"].as_str()).unwrap_or_default();
        let has_picture = avatars.remove(avatar);
        if !has_picture {
            importer
                .report
                .note(&format!("User Avatars/{avatar}"), "the picture of the persona is not there");
        }
        importer.persona(avatar, name, description, has_picture).await?;
    }
    for avatar in &avatars {
        importer.report.skipped(&format!("User Avatars/{avatar}"), "a picture that belongs to no persona");
    }
    Ok(())
}
