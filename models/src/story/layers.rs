//! Compositing layers of a scene.

use crate::table::*;

/// Compositing layers of a scene.
pub static LAYERS: Table = Table {
    name: "layers",
    origin: &["seed 001"],
    purpose: "Compositing layers of a scene",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name layer_id"),
        uuid("scene_id"),
        text("layer_type")
            .doc("background|character|effects (document) or dialogue|narration|sfx (snapshot)"),
        jsonb("objects").default("'[]'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[references("scene_id", "scenes", OnDelete::Cascade)],
    indexes: &[index("ix_layers_scene_id", &["scene_id"])],
    policies: Policies {
        select: "owner_via(scene_id→scenes) | admin",
        insert: "owner_via(scene_id→scenes) | admin",
        update: "owner_via(scene_id→scenes) | admin",
        delete: "owner_via(scene_id→scenes) | admin",
    },
    ..TABLE
};
