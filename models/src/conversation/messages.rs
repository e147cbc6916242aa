//! Turns of a conversation.

use crate::table::*;

/// Turns of a conversation.
pub static MESSAGES: Table = Table {
    name: "messages",
    origin: &["seed 003", "seed 002"],
    purpose: "Turns of a conversation",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("conversation_id"),
        text("sender"),
        text("content"),
        text("message_type").default("'text'::text"),
        timestamptz("created_at").default("now()"),
    ],
    checks: &[check("messages_sender_check", "sender", "sender IN ('user', 'assistant')")],
    foreign_keys: &[references("conversation_id", "conversations", OnDelete::Cascade)
        .named("messages_conversation_id_fkey")],
    indexes: &[index("idx_messages_conversation", &["conversation_id", "created_at"]).doc("ours")],
    searched: &["content"],
    policies: Policies {
        select: "parent(conversation_id→conversations.user_id)",
        insert: "parent(conversation_id→conversations.user_id)",
        update: "never",
        delete: "never",
    },
    triggers: &["after insert: conversations.updated_at = now()"],
    doc: "No update or delete policy. message_type seen: text, roleplay_chat, scene_kickoff.",
    audited: false,
    ..TABLE
};
