//! One thing at a time: a card, a chat, a persona, a picture. Each lands whole, in one commit, under the account's rights,
//! with an id that its place in the source gives, so that a second import finds it there.

use std::collections::{BTreeMap, HashMap};

use actors::character::card_rating;
use actors::character::import_character::{ImportCharacter, ImportError};
use actors::file::NewObject;
use actors::job_scheduler::LIBRARY_BUCKET;
use actors::user::import_row::ImportRow;
use models::{Row, Value};
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use uuid::Uuid;

use super::files::Files;
use super::read_chat::{ChatRules, NotRead, conversation_of, read_chat};
use super::report::UserReport;
use super::source::FILE_BYTES_MAX;
use crate::age_gate;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::picture_kind::picture_kind;
use crate::rows::table;

/// What ids are made from.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d1c_6a1e_52f4_4c0b_8f3e_7a61_0c2b_d4e5);

/// Largest file of JSON that is read, in bytes: parsed, it may take many times of it.
pub(super) const JSON_BYTES_MAX: u64 = 32 << 20;

/// The book of a world's file.
pub(super) fn book_of(bytes: &[u8]) -> Result<cards::Lorebook, cards::CardError> {
    cards::Lorebook::from_json(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// What chats and pictures need of a character. The texts of all characters would not fit into memory.
fn gist_of(row: &Row) -> Row {
    let characters = table("characters");
    let mut gist = characters.default_row();
    for column in ["id", "content_rating", "age_range"] {
        gist[characters.at(column)] = row[characters.at(column)].clone();
    }
    gist
}

/// One account's import, while it runs.
pub(super) struct Importer<'i> {
    /// Acts under the account's rights.
    pub context: Context,
    /// The account.
    pub user: Uuid,
    /// Whether nothing is written.
    pub is_dry: bool,
    /// What becomes of it.
    pub report: &'i mut UserReport,
    /// The user's files.
    pub files: Files,
    /// What chats and pictures need of characters, by the stems of their cards.
    pub characters: HashMap<String, Row>,
}

impl Importer<'_> {
    /// The id of a thing, by what it is and where it lies.
    fn id(&self, kind: &str, path: &str) -> Uuid {
        Uuid::new_v5(&NAMESPACE, format!("{}\0{kind}\0{path}", self.user).as_bytes())
    }

    fn there(&self, name: &'static str, id: Uuid) -> Result<Option<Row>, ServiceError> {
        Ok(self.context.services.actors.store().reads().get(table(name), &[Value::Uuid(id)])?)
    }

    /// Notes that something is there, and whether its file changed meanwhile.
    fn found(
        &mut self,
        kind: &'static str,
        path: &str,
        file: Option<(&'static str, Uuid)>,
        bytes: &[u8],
    ) -> Result<(), ServiceError> {
        self.report.unchanged(kind);
        let Some((files, id)) = file else { return Ok(()) };
        let Some(row) = self.there(files, id)? else { return Ok(()) };
        let hash = BlobHash::of(bytes).hex();
        if row[table(files).at("blob_hash")].as_str() != Some(hash.as_str()) {
            self.report.note(path, "changed since it was imported; what the account has stays as it is");
        }
        Ok(())
    }

    /// A card. One that brings no book gets the one that it names of `worlds`, which are paths by their names; answers
    /// with that name.
    pub async fn card(
        &mut self,
        path: &str,
        stem: &str,
        bytes: Vec<u8>,
        worlds: &BTreeMap<String, String>,
    ) -> Result<Option<String>, ServiceError> {
        let id = self.id("card", path);
        let there = self.there("characters", id)?;
        let work = tokio::task::spawn_blocking(move || (cards::import(&bytes), bytes));
        let Ok((imported, bytes)) = work.await else {
            self.report.skipped(path, "reading the card failed unexpectedly");
            return Ok(None);
        };
        let imported = match imported {
            Ok(imported) => imported,
            Err(error) => {
                self.report.skipped(path, error.to_string());
                return Ok(None);
            }
        };
        let named = imported.card.get("extensions").and_then(|it| it["world"].as_str());
        let named = named.filter(|name| !name.is_empty()).map(str::to_string);
        if let Some(row) = there {
            self.characters.insert(stem.to_string(), gist_of(&row));
            self.found("characters", path, Some(("cards.files", id)), &bytes)?;
            return Ok(named);
        }
        let tier = card_rating::rate(&imported.card, None)?;
        age_gate::admit(tier, self.context.may_have_nsfw()?)?;
        let characters = table("characters");
        let warnings = if self.is_dry { imported.warnings.clone() } else { Vec::new() };
        warnings.into_iter().for_each(|warning| self.report.note(path, warning));
        let has_book = match imported.card.lorebook() {
            Ok(book) => book.is_some(),
            Err(error) => {
                self.report.skipped(path, error.to_string());
                return Ok(named);
            }
        };
        let book = match &named {
            Some(name) if has_book => {
                let reason = format!("names the world {name:?}, and brings a book of its own, which counts");
                self.report.note(path, reason);
                None
            }
            Some(name) => match worlds.get(name) {
                Some(_) if self.is_dry => None,
                Some(world) => match self.book(world).await? {
                    Ok(book) => Some(book),
                    Err(reason) => {
                        // Without its book it would count as imported the next time.
                        self.report.skipped(path, format!("its world {world} cannot be read: {reason}"));
                        return Ok(named);
                    }
                },
                None => {
                    self.report.note(path, format!("names the world {name:?}, which is not there"));
                    None
                }
            },
            None => None,
        };
        let row = match self.is_dry {
            true => {
                let mut row = characters.default_row();
                row[characters.at("id")] = Value::Uuid(id);
                row[characters.at("content_rating")] = Value::text(tier.name());
                row
            }
            false => {
                let (store, user) = (self.context.services.actors.store().clone(), self.user);
                let work = tokio::task::spawn_blocking(move || {
                    ImportCharacter::of(&store, user, &bytes, &imported, tier, false)
                });
                let failed = |_| ServiceError::new(Kind::Internal, "keeping a card failed unexpectedly");
                let mut decision = match work.await.map_err(failed)? {
                    Ok(decision) => decision,
                    Err(ImportError::Store(error)) => return Err(error.into()),
                    Err(ImportError::Card(error)) => {
                        self.report.skipped(path, error.to_string());
                        return Ok(named);
                    }
                };
                decision.character[characters.at("id")] = Value::Uuid(id);
                decision.warnings.iter().for_each(|warning| self.report.note(path, warning.clone()));
                decision.lorebook = decision.lorebook.or(book);
                self.context.ask(decision).await?
            }
        };
        self.characters.insert(stem.to_string(), gist_of(&row));
        self.report.imported("characters");
        Ok(named)
    }

    /// The book of a world, which was found sound before.
    async fn book(&self, world: &str) -> Result<Result<Json, String>, ServiceError> {
        let read = self.files.read(world, JSON_BYTES_MAX).await?;
        let book = read.and_then(|bytes| book_of(&bytes).map_err(|error| error.to_string()));
        Ok(book.map(|book| Json::Object(book.raw().clone())))
    }

    /// A chat; of a group, where it has no character.
    pub async fn chat(
        &mut self,
        path: &str,
        bytes: Vec<u8>,
        character: Option<Row>,
        title: Option<String>,
    ) -> Result<(), ServiceError> {
        let id = self.id("chat", path);
        if self.there("conversations", id)?.is_some() {
            return self.found("chats", path, Some(("cards.chats", id)), &bytes);
        }
        let rules = ChatRules {
            given: None,
            may_have_nsfw: self.context.may_have_nsfw()?,
            character: character.clone(),
        };
        let (store, is_dry) = (self.context.services.actors.store().clone(), self.is_dry);
        let work = tokio::task::spawn_blocking(move || {
            let keep = |bytes: &[u8]| match is_dry {
                true => Ok(BlobHash::of(bytes)),
                false => Ok(store.blobs().write(bytes)?),
            };
            read_chat(&bytes.into(), id, &rules, keep, &|| Ok(()))
        });
        let read = match work.await {
            Ok(Ok(read)) => read,
            Ok(Err(NotRead::File(error))) => {
                self.report.skipped(path, error.to_string());
                return Ok(());
            }
            Ok(Err(NotRead::Other(error))) => return Err(error),
            Err(_) => {
                self.report.skipped(path, "reading the chat failed unexpectedly");
                return Ok(());
            }
        };
        for bad in read.report["badLines"].as_array().into_iter().flatten() {
            let error = bad["error"].as_str().unwrap_or_default();
            self.report.note(path, format!("line {}: {error}; kept in the file", bad["line"]));
        }
        if !self.is_dry {
            let decision = conversation_of(read, id, self.user, title, character.as_ref(), Value::Null);
            self.context.ask(decision).await?;
        }
        self.report.imported("chats");
        Ok(())
    }

    /// A persona: who the person plays, with its picture where that is there.
    pub async fn persona(
        &mut self,
        avatar: &str,
        name: &str,
        description: &str,
        has_picture: bool,
    ) -> Result<(), ServiceError> {
        let path = format!("User Avatars/{avatar}");
        let id = self.id("persona", &path);
        if self.there("characters", id)?.is_some() {
            self.report.unchanged("personas");
            return Ok(());
        }
        let characters = table("characters");
        let mut row = characters.default_row();
        let mut set = |column: &str, value: Value| row[characters.at(column)] = value;
        let plain = |text: &str| text.replace('\0', "");
        set("id", Value::Uuid(id));
        set("user_id", Value::Uuid(self.user));
        set("creator_id", Value::Uuid(self.user));
        set("name", Value::Text(plain(name)));
        set("description", Value::Text(plain(description)));
        set("role", Value::text("user"));
        set("is_public", Value::Bool(false));
        let picture = match has_picture {
            true => Some(self.files.read(&path, FILE_BYTES_MAX).await?),
            false => None,
        };
        let mut files = Vec::new();
        if let Some(Err(reason)) = &picture {
            self.report.skipped(&path, reason.clone());
        }
        if let Some(Ok(bytes)) = picture {
            match picture_kind(&bytes) {
                Some(kind) if !self.is_dry => {
                    let file = self.file("personas", bytes, kind).await?;
                    set("image_url", Value::text(format!("{LIBRARY_BUCKET}/{}", file.name)));
                    files.push(file);
                }
                Some(_) => {}
                None => {
                    self.report.note(&path, "the picture is none that can be shown, so the persona has none")
                }
            }
        }
        self.row("personas", "characters", row, files).await
    }

    /// A picture for the library.
    pub async fn picture(
        &mut self,
        kind: &'static str,
        path: &str,
        bytes: Vec<u8>,
        character: Option<&Row>,
    ) -> Result<(), ServiceError> {
        let id = self.id("picture", path);
        if self.there("user_library", id)?.is_some() {
            self.report.unchanged(kind);
            return Ok(());
        }
        let Some(format) = picture_kind(&bytes) else {
            self.report.skipped(path, "not a picture that can be shown");
            return Ok(());
        };
        let library = table("user_library");
        let (mut row, size) = (library.default_row(), bytes.len());
        let files = match self.is_dry {
            true => Vec::new(),
            false => vec![self.file(kind, bytes, format).await?],
        };
        let mut set = |column: &str, value: Value| row[library.at(column)] = value;
        let name = path.rsplit('/').next().unwrap_or(path);
        set("id", Value::Uuid(id));
        set("user_id", Value::Uuid(self.user));
        set("asset_type", Value::text("image"));
        set("storage_path", Value::text(files.first().map_or("", |file| file.name.as_str())));
        set("file_size_bytes", Value::Int(i64::try_from(size).unwrap_or(i64::MAX)));
        set("mime_type", Value::text(format.0));
        set("original_prompt", Value::text(name));
        set("model_used", Value::text("imported"));
        set("custom_title", Value::text(name));
        set("tags", Value::TextArray(vec![Some(kind.to_string())]));
        if let Some(character) = character {
            set("character_id", character[table("characters").at("id")].clone());
        }
        set("generation_metadata", Value::json(&json!({"imported_from": path})));
        self.row(kind, "user_library", row, files).await
    }

    async fn file(
        &self,
        folder: &str,
        bytes: Vec<u8>,
        (mime_type, ending): (&'static str, &'static str),
    ) -> Result<NewObject, ServiceError> {
        let (store, user) = (self.context.services.actors.store().clone(), self.user);
        let folder = format!("{user}/imported/{folder}");
        let work = tokio::task::spawn_blocking(move || {
            let name = |blob: &BlobHash| format!("{folder}/{}.{ending}", blob.hex());
            NewObject::write(&store, LIBRARY_BUCKET, name, user, &bytes, mime_type)
        });
        let failed = |_| ServiceError::new(Kind::Internal, "keeping a picture failed unexpectedly");
        Ok(work.await.map_err(failed)??)
    }

    async fn row(
        &mut self,
        kind: &'static str,
        name: &'static str,
        row: Row,
        files: Vec<NewObject>,
    ) -> Result<(), ServiceError> {
        if !self.is_dry {
            self.context.ask(ImportRow { table: table(name).id, row, files }).await?;
        }
        self.report.imported(kind);
        Ok(())
    }
}
