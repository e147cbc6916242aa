//! Anchor images of a character.

use crate::table::*;

/// Anchor images of a character.
pub static CHARACTER_ANCHORS: Table = Table {
    name: "character_anchors",
    origin: &["beyond"],
    purpose: "Anchor images of a character",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("anchor_type").nullable(),
        uuid("character_id"),
        timestamptz("created_at").default("now()"),
        text("image_url"),
        boolean("is_primary").default("false"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)
        .named("character_anchors_character_id_fkey")],
    indexes: &[
        index("idx_character_anchors_character_id", &["character_id"]),
        index("idx_character_anchors_primary", &["character_id", "is_primary"]).filter("is_primary = true"),
    ],
    policies: Policies {
        select: "owner_via(character_id→characters.user_id)",
        insert: "owner_via(character_id→characters.user_id)",
        update: "owner_via(character_id→characters.user_id)",
        delete: "owner_via(character_id→characters.user_id)",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};
