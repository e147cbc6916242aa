//! A character comes in from a card: its row, the card's file and the pictures land together.

use cards::{AssetFile, CardError, CardFormat, ImportedCard};
use models::{Aggregate, Row, Value, schema};
use serde_json::Value as Json;
use store::blob::BlobHash;
use store::{Caller, Store, StoreError, Transaction};
use uuid::Uuid;

use super::card_columns;
use crate::aggregate::Decision;
use crate::content_rules::ContentRating;
use crate::file::{NewObject, put_object_rows};
use crate::job_scheduler::LIBRARY_BUCKET;
use crate::refusal::Refusal;

/// Makes a character of the caller. All bytes are durable blobs already.
#[derive(Debug)]
pub struct ImportCharacter {
    /// The row, whole.
    pub character: Row,
    /// The card's file as it came, and where the account's own copy goes.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
    /// `png`, `json`, `charx` or `byaf`.
    pub format: &'static str,
    /// The file itself first, then the pictures that came with it.
    pub objects: Vec<NewObject>,
    /// The card's lorebook with every field it came with.
    pub lorebook: Option<Json>,
    /// What the card wants said after the history; `characters` has no column for it.
    pub post_history_instructions: Option<String>,
    /// What was coerced, left out or is not obeyed, by field.
    pub warnings: Vec<String>,
}

/// Why a card makes no character.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The card is at fault.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Its files could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportCharacter {
    /// The character that a card describes, with the rating that it was given; makes the card's file and its picture
    /// durable. Blocks.
    pub fn of(
        store: &Store,
        user: Uuid,
        bytes: &[u8],
        imported: &ImportedCard,
        tier: ContentRating,
        is_public: bool,
    ) -> Result<ImportCharacter, ImportError> {
        let card = &imported.card;
        let book = card.lorebook()?;
        let mut warnings = imported.warnings.clone();
        warnings.extend(book.iter().flat_map(cards::Lorebook::warnings));
        let mut character = card_columns::character_of(card, &mut warnings)?;
        let (format, extension, mime_type) = match imported.format {
            CardFormat::Png => ("png", "png", "image/png"),
            CardFormat::Json => ("json", "json", "application/json"),
            CardFormat::Charx => ("charx", "charx", "application/zip"),
            CardFormat::Byaf => ("byaf", "byaf", "application/zip"),
        };
        let mut objects = vec![keep(store, user, bytes, extension, mime_type)?];
        let blob = objects[0].blob;
        // The card's own picture is the portrait.
        let image = match imported.format {
            CardFormat::Png => objects.first(),
            _ => {
                objects.extend(portrait(store, user, imported)?);
                objects.get(1)
            }
        };
        let image_url = image.map(|object| format!("{LIBRARY_BUCKET}/{}", object.name));
        let characters = schema().known("characters");
        let mut set = |column: &str, value: Value| character[characters.at(column)] = value;
        set("user_id", Value::Uuid(user));
        set("creator_id", Value::Uuid(user));
        set("content_rating", Value::text(tier.name()));
        set("is_public", Value::Bool(is_public));
        set("image_url", image_url.map_or(Value::Null, Value::Text));
        let after = card.text("post_history_instructions").trim();
        Ok(ImportCharacter {
            character,
            blob,
            size: bytes.len() as u64,
            format,
            objects,
            lorebook: book.map(|book| Json::Object(book.raw().clone())),
            post_history_instructions: (!after.is_empty()).then(|| after.to_string()),
            warnings,
        })
    }
}

/// Makes bytes durable and says where they go in the account's library.
fn keep(
    store: &Store,
    user: Uuid,
    bytes: &[u8],
    extension: &str,
    mime_type: &str,
) -> Result<NewObject, StoreError> {
    let name = |blob: &BlobHash| format!("{user}/cards/{}.{extension}", blob.hex());
    NewObject::write(store, LIBRARY_BUCKET, name, user, bytes, mime_type)
}

/// The picture of a character among the files that came with its card.
fn portrait(store: &Store, user: Uuid, imported: &ImportedCard) -> Result<Option<NewObject>, StoreError> {
    let mut icons: Vec<_> = imported.card.assets().into_iter().filter(|asset| asset.kind == "icon").collect();
    icons.sort_by_key(|icon| icon.name != "main");
    let file_of = |uri: &str| -> Option<&AssetFile> {
        let path = uri.strip_prefix("embeded://").or_else(|| uri.strip_prefix("embedded://"))?;
        imported.files.iter().find(|file| file.path == path)
    };
    for file in icons.iter().filter_map(|icon| file_of(&icon.uri)) {
        let (extension, mime_type) = match image::guess_format(&file.bytes) {
            Ok(image::ImageFormat::Png) => ("png", "image/png"),
            Ok(image::ImageFormat::Jpeg) => ("jpg", "image/jpeg"),
            Ok(image::ImageFormat::WebP) => ("webp", "image/webp"),
            Ok(image::ImageFormat::Gif) => ("gif", "image/gif"),
            _ => continue,
        };
        return keep(store, user, &file.bytes, extension, mime_type).map(Some);
    }
    Ok(None)
}

impl Decision for ImportCharacter {
    /// The character as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::Character
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let caller = Caller::new(transaction.claims);
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let name = self.objects.first().map(|object| object.name.clone()).unwrap_or_default();
        for object in self.objects {
            put_object_rows(transaction, &caller, object, true)?;
        }
        let characters = schema().known("characters");
        let character = transaction.insert(&caller, characters, self.character)?;
        let id = &character[characters.at("id")];

        let files = schema().known("cards.files");
        let mut file = files.default_row();
        let mut set = |column: &str, value: Value| file[files.at(column)] = value;
        set("character_id", id.clone());
        set("blob_hash", Value::Text(self.blob.hex()));
        set("size", Value::Int(i64::try_from(self.size).unwrap_or(i64::MAX)));
        set("format", Value::text(self.format));
        set("object_name", Value::Text(name));
        set("imported", Value::json(&card_columns::snapshot(&character)));
        set("post_history_instructions", self.post_history_instructions.map_or(Value::Null, Value::Text));
        transaction.insert(&service, files, file)?;

        if let Some(book) = self.lorebook {
            let books = schema().known("chat.lorebooks");
            let mut row = books.default_row();
            row[books.at("character_id")] = id.clone();
            row[books.at("user_id")] = character[characters.at("user_id")].clone();
            row[books.at("book")] = Value::json(&book);
            transaction.insert(&service, books, row)?;
        }
        Ok(character)
    }
}
