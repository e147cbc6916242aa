//! The lorebook of a character: set, replaced or taken away.

use models::{Aggregate, Value, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Sets a character's lorebook. Whether the caller owns the character is for the asker to check.
#[derive(Debug)]
pub struct SetLorebook {
    /// Of whom.
    pub character_id: Uuid,
    /// Who sets it.
    pub user_id: Uuid,
    /// The book with all its fields; absent takes it away.
    pub book: Option<Json>,
}

impl Decision for SetLorebook {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let books = schema().known("chat.lorebooks");
        let old = transaction.reads().get(books, &[Value::Uuid(self.character_id)])?;
        let Some(book) = self.book else {
            if let Some(old) = old {
                transaction.delete(&service, books, &old)?;
            }
            return Ok(());
        };
        let mut row = old.clone().unwrap_or_else(|| books.default_row());
        row[books.at("character_id")] = Value::Uuid(self.character_id);
        row[books.at("user_id")] = Value::Uuid(self.user_id);
        row[books.at("book")] = Value::json(&book);
        match old {
            Some(old) => transaction.update(&service, books, &old, row)?,
            None => transaction.insert(&service, books, row)?,
        };
        Ok(())
    }
}
