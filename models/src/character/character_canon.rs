//! Canonical outputs of a character.

use crate::table::*;

/// Canonical outputs of a character.
pub static CHARACTER_CANON: Table = Table {
    name: "character_canon",
    origin: &["beyond"],
    purpose: "Canonical outputs of a character",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("character_id"),
        timestamptz("created_at").default("now()"),
        boolean("is_pinned").default("false"),
        boolean("is_primary").nullable().default("false"),
        text("label").nullable(),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        text("output_type"),
        text("output_url"),
        text_array("tags").nullable().default("'{}'::text[]"),
    ],
    checks: &[check("character_canon_output_type_check", "output_type", "output_type IN ('image', 'video')")],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)
        .named("character_canon_character_id_fkey")],
    indexes: &[
        index("idx_character_canon_character_id", &["character_id"]),
        index("idx_character_canon_pinned", &["character_id", "is_pinned"]).filter("is_pinned = true"),
        index("idx_character_canon_tags", &["tags"]).gin(),
        index("idx_character_canon_primary", &["character_id", "is_primary"]).filter("is_primary = true"),
    ],
    policies: Policies {
        select: "owner_via(character_id→characters.user_id)",
        insert: "owner_via(character_id→characters.user_id)",
        update: "owner_via(character_id→characters.user_id)",
        delete: "owner_via(character_id→characters.user_id)",
    },
    ..TABLE
};
