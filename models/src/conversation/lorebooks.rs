//! Lorebooks: what goes into the prompt when the conversation comes to it.

use crate::table::*;

/// The lorebook of a character, as its card or file had it.
pub static LOREBOOKS: Table = Table {
    schema: "chat",
    name: "lorebooks",
    purpose: "The lorebook of a character",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("character_id"),
        uuid("user_id"),
        jsonb("book").doc("with every field that it came with"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    primary_key: &["character_id"],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)],
    policies: Policies { select: "owner(user_id)", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
