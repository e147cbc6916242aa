//! Assets pinned to an episode.

use crate::table::*;

/// Assets pinned to an episode.
pub static EPISODE_ASSETS: Table = Table {
    name: "episode_assets",
    origin: &["seed 001"],
    purpose: "Assets pinned to an episode",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name episode_asset_id"),
        uuid("episode_id"),
        text("asset_type").doc("character|environment|style"),
        uuid("asset_id").doc("untyped reference, no foreign key"),
        timestamptz("created_at").default("now()").doc("added"),
    ],
    unique: &[&["episode_id", "asset_type", "asset_id"]],
    foreign_keys: &[references("episode_id", "episodes", OnDelete::Cascade)],
    indexes: &[index("ix_episode_assets_episode_id", &["episode_id"])],
    policies: Policies {
        select: "owner_via(episode_id→episodes.story_id→stories) | admin",
        insert: "owner_via(episode_id→episodes.story_id→stories) | admin",
        update: "owner_via(episode_id→episodes.story_id→stories) | admin",
        delete: "owner_via(episode_id→episodes.story_id→stories) | admin",
    },
    doc: "uniqueness is an API rule (400) in the snapshot; a constraint here",
    ..TABLE
};
