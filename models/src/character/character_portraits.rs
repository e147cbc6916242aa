//! Portrait pictures of a character (superseded by user_library rows with output_type portrait).

use crate::table::*;

/// Portrait pictures of a character (superseded by user_library rows with output_type portrait).
pub static CHARACTER_PORTRAITS: Table = Table {
    name: "character_portraits",
    origin: &["beyond"],
    purpose: "Portrait pictures of a character (superseded by user_library rows with output_type portrait)",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("character_id"),
        timestamptz("created_at").nullable().default("now()"),
        text("enhanced_prompt").nullable(),
        jsonb("generation_metadata").nullable().default("'{}'::jsonb"),
        text("image_url"),
        boolean("is_primary").nullable().default("false"),
        text("prompt").nullable(),
        int4("sort_order").nullable().default("0"),
        text_array("tags").nullable().default("'{}'::text[]"),
        text("thumbnail_url").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)
        .named("character_portraits_character_id_fkey")],
    indexes: &[
        index("idx_character_portraits_character_id", &["character_id"]),
        index("idx_character_portraits_sort_order", &["character_id", "sort_order"]),
        index("idx_character_portraits_primary", &["character_id"]).filter("is_primary = true").unique(),
    ],
    policies: Policies {
        select: "owner_via(character_id→characters)",
        insert: "owner_via(character_id→characters.user_id)",
        update: "owner_via(character_id→characters.user_id)",
        delete: "owner_via(character_id→characters.user_id)",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};
