//! Versioned outputs of graph nodes, per scene and type.

use crate::table::*;

/// Versioned outputs of graph nodes, per scene and type.
pub static ARTIFACTS: Table = Table {
    name: "artifacts",
    origin: &["seed 001"],
    purpose: "Versioned outputs of graph nodes, per scene and type",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name artifact_id"),
        uuid("scene_id"),
        text("type"),
        int4("version").doc("1,2,… per (scene_id,type), assigned by the server"),
        uuid("parent_id").nullable(),
        jsonb("payload"),
        text("created_by").nullable(),
        text("updated_by").nullable(),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["scene_id", "type", "version"]],
    foreign_keys: &[
        references("scene_id", "scenes", OnDelete::Cascade),
        references("parent_id", "artifacts", OnDelete::SetNull),
    ],
    policies: Policies {
        select: "owner_via(scene_id→scenes) | admin",
        insert: "owner_via(scene_id→scenes) | admin",
        update: "owner_via(scene_id→scenes) | admin",
        delete: "owner_via(scene_id→scenes) | admin",
    },
    ..TABLE
};
