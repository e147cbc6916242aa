//! SillyTavern's data: characters, chats, groups, worlds, personas and backgrounds of each user's folder.
//!
//! What cannot come in is named with the reason and ends nothing. A run that is cut short is taken up by the next one: each
//! thing is there whole or not at all, and its id comes from where it lies.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use models::{Claims, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::items::Importer;
use super::layout::{FileKind, UserFolder, stem, users_of};
use super::report::UserReport;
use super::source::Source;
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::position;
use store::query::Query;

/// Paths that are left out of a report's own list.
const LISTED_MAX: usize = 200;

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
    let (mut reports, mut done, mut source) = (Vec::new(), 0, source);
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
                    characters: HashMap::new(),
                };
                let mut steps = Steps { done: &mut done, total, root: &user.root, progress: &mut *progress };
                source = of_user(importer, user, source, &mut steps).await?;
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

/// Reads a file on a thread that may block.
async fn read(mut source: Source, path: String) -> Result<(Source, Result<Vec<u8>, String>), ServiceError> {
    let work = tokio::task::spawn_blocking(move || {
        let bytes = source.read(&path);
        (source, bytes)
    });
    work.await.map_err(|_| ServiceError::new(Kind::Internal, "reading the source failed unexpectedly"))
}

/// One user's folder: settings and books first, then cards, and chats at last, since they name cards.
async fn of_user(
    mut importer: Importer<'_>,
    user: &UserFolder,
    mut source: Source,
    steps: &mut Steps<'_>,
) -> Result<Source, ServiceError> {
    let mut settings = Json::Null;
    let mut worlds: BTreeMap<String, Json> = BTreeMap::new();
    let mut groups: HashMap<String, String> = HashMap::new();
    let mut avatars: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (path, kind) in &user.files {
        match kind {
            FileKind::Other(reason) => {
                steps.at(path);
                importer.report.skipped(path, *reason);
                continue;
            }
            FileKind::Settings | FileKind::World | FileKind::Group | FileKind::Avatar => steps.at(path),
            _ => continue,
        }
        let (back, bytes) = read(source, format!("{}{path}", user.root)).await?;
        source = back;
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(reason) => {
                importer.report.skipped(path, reason);
                continue;
            }
        };
        if *kind == FileKind::Avatar {
            avatars.insert(path["User Avatars/".len()..].to_string(), bytes);
            continue;
        }
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
            FileKind::World => match cards::Lorebook::from_json(text) {
                Ok(book) => {
                    book.warnings().into_iter().for_each(|warning| importer.report.note(path, warning));
                    worlds.insert(stem(path).to_string(), Json::Object(book.raw().clone()));
                }
                Err(error) => importer.report.skipped(path, error.to_string()),
            },
            _ => {
                let name = value["name"].as_str().unwrap_or("Group").to_string();
                let named =
                    value["chats"].as_array().into_iter().flatten().chain([&value["chat_id"], &value["id"]]);
                groups.extend(named.filter_map(Json::as_str).map(|id| (id.to_string(), name.clone())));
                importer.report.note(
                    path,
                    format!("{name}: its chats come in as conversations with the names of who speaks"),
                );
            }
        }
    }
    personas(&mut importer, &settings, avatars).await?;
    let mut used = BTreeSet::new();
    for pass in [Pass::Cards, Pass::Others] {
        for (path, kind) in &user.files {
            if !pass.takes(kind) {
                continue;
            }
            steps.at(path);
            let (back, bytes) = read(source, format!("{}{path}", user.root)).await?;
            source = back;
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(reason) => {
                    importer.report.skipped(path, reason);
                    continue;
                }
            };
            let outcome = match kind {
                FileKind::Card => {
                    let named = importer.card(path, stem(path), bytes, &worlds).await;
                    named.map(|name| used.extend(name))
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
    Ok(source)
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
    settings: &Json,
    mut avatars: BTreeMap<String, Vec<u8>>,
) -> Result<(), ServiceError> {
    let user = &settings["power_user"];
    for (avatar, name) in user["personas"].as_object().into_iter().flatten() {
        let Some(name) = name.as_str().map(str::trim).filter(|name| !name.is_empty()) else {
            importer.report.skipped(&format!("User Avatars/{avatar}"), "a persona without a name");
            continue;
        };
        let described = &user["persona_descriptions"][avatar];
        let description = described.as_str().or(described["description"].as_str()).unwrap_or_default();
        let picture = avatars.remove(avatar);
        if picture.is_none() {
            importer
                .report
                .note(&format!("User Avatars/{avatar}"), "the picture of the persona is not there");
        }
        importer.persona(avatar, name, description, picture).await?;
    }
    for avatar in avatars.keys() {
        importer.report.skipped(&format!("User Avatars/{avatar}"), "a picture that belongs to no persona");
    }
    Ok(())
}
