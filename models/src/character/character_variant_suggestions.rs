//! Suggested variants from the story.

use crate::table::*;

/// Suggested variants from the story.
pub static CHARACTER_VARIANT_SUGGESTIONS: Table = Table {
    name: "character_variant_suggestions",
    origin: &["seed 001"],
    purpose: "Suggested variants from the story",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name suggestion_id"),
        uuid("story_id"),
        uuid("character_id"),
        text("variant_type").default("'outfit_change'::text"),
        jsonb("override_attributes").default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[
        references("story_id", "stories", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::Cascade),
    ],
    indexes: &[index("ix_variant_suggestions_story_character", &["story_id", "character_id"])],
    policies: Policies {
        select: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        insert: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        update: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        delete: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
    },
    ..TABLE
};
