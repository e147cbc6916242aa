//! A conversation comes in from a chat file: all its messages land together.

use models::{Aggregate, Row, Value, schema};
use store::blob::BlobHash;
use store::{Caller, Transaction};

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Makes a conversation of the caller. The file is a durable blob already.
#[derive(Debug)]
pub struct ImportChat {
    /// The row, whole.
    pub conversation: Row,
    /// Its messages, in order.
    pub messages: Vec<Row>,
    /// Other versions of them.
    pub shelved: Vec<Row>,
    /// The file as it came.
    pub blob: BlobHash,
    /// Its bytes.
    pub size: u64,
}

impl Decision for ImportChat {
    /// The conversation as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let caller = Caller::new(transaction.claims);
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let conversations = schema().known("conversations");
        let conversation = transaction.insert(&caller, conversations, self.conversation)?;
        let messages = schema().known("messages");
        for message in self.messages {
            transaction.insert(&caller, messages, message)?;
        }
        let inactive = schema().known("chat.shelved_messages");
        for version in self.shelved {
            transaction.insert(&service, inactive, version)?;
        }
        let files = schema().known("cards.chats");
        let mut file = files.default_row();
        let mut set = |column: &str, value: Value| file[files.at(column)] = value;
        set("conversation_id", conversation[conversations.at("id")].clone());
        set("blob_hash", Value::Text(self.blob.hex()));
        set("size", Value::Int(i64::try_from(self.size).unwrap_or(i64::MAX)));
        transaction.insert(&service, files, file)?;
        Ok(conversation)
    }
}
