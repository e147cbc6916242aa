//! Scene order inside an episode.

use crate::table::*;

/// Scene order inside an episode.
pub static EPISODE_SCENES: Table = Table {
    name: "episode_scenes",
    origin: &["seed 001"],
    purpose: "Scene order inside an episode",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name episode_scene_id"),
        uuid("episode_id"),
        uuid("scene_id"),
        int4("order_index"),
        timestamptz("created_at")
            .default("now()")
            .doc("added: the document promises timestamps on every model"),
    ],
    foreign_keys: &[
        references("episode_id", "episodes", OnDelete::Cascade),
        references("scene_id", "scenes", OnDelete::Cascade),
    ],
    indexes: &[
        index("ix_episode_scenes_episode_id", &["episode_id"]),
        index("ix_episode_scenes_scene_id", &["scene_id"]),
    ],
    policies: Policies {
        select: "owner_via(episode_id→episodes.story_id→stories) | admin",
        insert: "owner_via(episode_id→episodes.story_id→stories) | admin",
        update: "owner_via(episode_id→episodes.story_id→stories) | admin",
        delete: "owner_via(episode_id→episodes.story_id→stories) | admin",
    },
    ..TABLE
};
