//! A look of a character, for one story or global.

use crate::table::*;

/// A look of a character, for one story or global.
pub static CHARACTER_VARIANTS: Table = Table {
    name: "character_variants",
    origin: &["seed 001"],
    purpose: "A look of a character, for one story or global",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name variant_id"),
        uuid("character_id"),
        uuid("story_id").nullable().doc("NULL = global"),
        text("variant_type").default("'base'::text"),
        text("variant_name").nullable(),
        jsonb("traits").default("'{}'::jsonb"),
        jsonb("override_attributes").default("'{}'::jsonb"),
        uuid("reference_image_id").nullable(),
        jsonb("generated_image_ids").default("'[]'::jsonb").doc("list of images.id"),
        boolean("is_default").default("false"),
        boolean("is_active_for_story").default("false"),
        text("image_style_id").nullable().doc("webtoon snapshot"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[
        references("character_id", "characters", OnDelete::Cascade),
        references("story_id", "stories", OnDelete::Cascade),
        references("reference_image_id", "character_reference_images", OnDelete::SetNull),
    ],
    indexes: &[index("ix_character_variants_story_character", &["story_id", "character_id"])],
    policies: Policies {
        select: "owner_via(character_id→characters) | admin",
        insert: "owner_via(character_id→characters) | admin",
        update: "owner_via(character_id→characters) | admin",
        delete: "owner_via(character_id→characters) | admin",
    },
    ..TABLE
};
