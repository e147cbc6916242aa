//! The chat files that conversations came from.

use crate::table::*;

/// The file that a conversation was imported from. The message of its n-th line has the name-based id (version 5) of
/// `n` below the conversation's id, so that an export finds each message's line again.
pub static CHAT_FILES: Table = Table {
    schema: "cards",
    name: "chats",
    purpose: "The chat file that a conversation was imported from",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("conversation_id"),
        text("blob_hash").doc("BLAKE3 of the file as it came, hexadecimal"),
        int8("size").doc("bytes"),
        timestamptz("created_at").default("now()"),
    ],
    primary_key: &["conversation_id"],
    foreign_keys: &[references("conversation_id", "conversations", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    blob_columns: &["blob_hash"],
    audited: false,
    ..TABLE
};
