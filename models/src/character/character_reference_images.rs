//! Reference pictures that keep a character consistent.

use crate::table::*;

/// Reference pictures that keep a character consistent.
pub static CHARACTER_REFERENCE_IMAGES: Table = Table {
    name: "character_reference_images",
    origin: &["seed 001"],
    purpose: "Reference pictures that keep a character consistent",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name reference_image_id"),
        uuid("character_id"),
        text("image_url"),
        text("ref_type").default("'face'::text").doc("face, full_body, profile_sheet, variant, imported"),
        boolean("approved").default("false"),
        boolean("is_primary").default("false"),
        jsonb("metadata_").default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)],
    indexes: &[index("ix_character_reference_images_character", &["character_id"])],
    policies: Policies {
        select: "owner_via(character_id→characters) | admin",
        insert: "owner_via(character_id→characters) | admin",
        update: "owner_via(character_id→characters) | admin",
        delete: "owner_via(character_id→characters) | admin",
    },
    ..TABLE
};
