//! A chat or roleplay session of one user.

use crate::table::*;

/// A chat or roleplay session of one user.
pub static CONVERSATIONS: Table = Table {
    name: "conversations",
    origin: &["seed 003", "seed 002", "beyond"],
    purpose: "A chat or roleplay session of one user",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        uuid("project_id").nullable(),
        text("title").default("'New Conversation'::text"),
        text("conversation_type").default("'general'::text"),
        text("status").default("'active'::text"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        uuid("character_id").nullable(),
        uuid("user_character_id").nullable(),
        text("memory_tier").nullable().default("'conversation'::text").doc("conversation|character|profile"),
        jsonb("memory_data").nullable().default("'{}'::jsonb"),
        text("current_location").nullable().doc("beyond"),
        text("last_scene_image").nullable().doc("beyond"),
    ],
    foreign_keys: &[
        references("project_id", "projects", OnDelete::SetNull).named("conversations_project_id_fkey"),
        references("user_character_id", "characters", OnDelete::NoAction)
            .named("conversations_user_character_id_fkey"),
        references("character_id", "characters", OnDelete::NoAction).named("conversations_character_id_fkey"),
    ],
    indexes: &[
        index("idx_conversations_user_character_id", &["user_character_id"]),
        index("idx_conversations_memory_tier", &["memory_tier"]),
    ],
    lookups: &["last_scene_image"],
    listed_by: &[&["user_id", "updated_at desc"]],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    triggers: &["updated_at is set when a message is inserted"],
    doc: "Two foreign keys to characters: an embed must name the column or the constraint. Admins have no access. Deleting a character that a conversation uses is refused (no action).",
    ..TABLE
};
