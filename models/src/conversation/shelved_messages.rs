//! Messages that are not on the active branch: other versions, and what followed them.

use crate::table::*;

/// A message off the branch that `messages` holds.
pub static SHELVED_MESSAGES: Table = Table {
    schema: "chat",
    name: "shelved_messages",
    purpose: "A message that is not on the conversation's present branch",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("id"),
        uuid("conversation_id"),
        uuid("parent_id").nullable().doc("the message that it follows; the first one follows none"),
        text("sender"),
        text("content"),
        text("message_type"),
        timestamptz("created_at"),
        timestamptz("shelved_at").default("now()"),
        jsonb("memory").nullable().doc("what memory_data knew from it"),
    ],
    foreign_keys: &[references("conversation_id", "conversations", OnDelete::Cascade)],
    indexes: &[index("shelved_messages_parent_idx", &["parent_id"])],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
