//! Speech bubbles of a scene.

use crate::table::*;

/// Speech bubbles of a scene.
pub static DIALOGUE_LAYERS: Table = Table {
    name: "dialogue_layers",
    origin: &["seed 001"],
    purpose: "Speech bubbles of a scene",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name dialogue_id"),
        uuid("scene_id"),
        jsonb("bubbles").default("'[]'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["scene_id"]],
    foreign_keys: &[references("scene_id", "scenes", OnDelete::Cascade)],
    policies: Policies {
        select: "owner_via(scene_id→scenes) | admin",
        insert: "owner_via(scene_id→scenes) | admin",
        update: "owner_via(scene_id→scenes) | admin",
        delete: "owner_via(scene_id→scenes) | admin",
    },
    ..TABLE
};
