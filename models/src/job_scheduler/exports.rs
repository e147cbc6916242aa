//! Export jobs (document model ExportJob).

use crate::table::*;

/// Export jobs (document model ExportJob).
pub static EXPORTS: Table = Table {
    name: "exports",
    origin: &["seed 001"],
    purpose: "Export jobs (document model ExportJob)",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name export_id"),
        uuid("scene_id").nullable(),
        uuid("episode_id").nullable(),
        text("status").default("'queued'::text"),
        text("output_url").nullable(),
        jsonb("metadata_").default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    checks: &[check(
        "exports_status_check",
        "status",
        "status IN ('queued', 'processing', 'completed', 'failed')",
    )
    .doc("the snapshot says succeeded for completed")],
    foreign_keys: &[
        references("scene_id", "scenes", OnDelete::SetNull),
        references("episode_id", "episodes", OnDelete::SetNull),
    ],
    indexes: &[index("ix_exports_scene_id", &["scene_id"]), index("ix_exports_episode_id", &["episode_id"])],
    policies: Policies {
        select: "owner_via(scene_id→scenes) | owner_via(episode_id→episodes.story_id→stories) | admin",
        insert: "owner_via(scene_id→scenes) | owner_via(episode_id→episodes.story_id→stories) | admin",
        update: "owner_via(scene_id→scenes) | owner_via(episode_id→episodes.story_id→stories) | admin",
        delete: "owner_via(scene_id→scenes) | owner_via(episode_id→episodes.story_id→stories) | admin",
    },
    ..TABLE
};
