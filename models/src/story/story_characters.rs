//! Links characters to stories.

use crate::table::*;

/// Links characters to stories.
pub static STORY_CHARACTERS: Table = Table {
    name: "story_characters",
    origin: &["seed 001"],
    purpose: "Links characters to stories",
    owner: Aggregate::Story,
    columns: &[
        uuid("story_id"),
        uuid("character_id"),
        timestamptz("created_at").default("now()"),
        text("narrative_description").nullable().doc("webtoon snapshot"),
    ],
    primary_key: &["story_id", "character_id"],
    foreign_keys: &[
        references("story_id", "stories", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::Cascade),
    ],
    policies: Policies {
        select: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        insert: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        update: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        delete: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
    },
    ..TABLE
};
