//! A character comes in from a card: its row, the card's file and the pictures land together.

use models::{Aggregate, Row, Value, schema};
use serde_json::Value as Json;
use store::blob::BlobHash;
use store::{Caller, Transaction};

use super::card_columns;
use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
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
    /// `png`, `json` or `charx`.
    pub format: &'static str,
    /// The file itself first, then the pictures that came with it.
    pub objects: Vec<NewObject>,
    /// The card's lorebook with every field it came with.
    pub lorebook: Option<Json>,
    /// What the card wants said after the history; `characters` has no column for it.
    pub post_history_instructions: Option<String>,
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
