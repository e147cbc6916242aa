//! Ordered composition of scenes.

use crate::table::*;

/// Ordered composition of scenes.
pub static EPISODES: Table = Table {
    name: "episodes",
    origin: &["seed 001"],
    purpose: "Ordered composition of scenes",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name episode_id"),
        uuid("story_id"),
        text("title"),
        text("default_image_style").default("'default'::text"),
        text("status").default("'draft'::text").doc("draft, published …"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[references("story_id", "stories", OnDelete::Cascade)],
    policies: Policies {
        select: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        insert: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        update: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
        delete: "owner_via(story_id→stories.project_id→projects.user_id) | admin",
    },
    ..TABLE
};
