//! Narrative container with style default and generation progress.

use crate::table::*;

/// Narrative container with style default and generation progress.
pub static STORIES: Table = Table {
    name: "stories",
    origin: &["seed 001"],
    purpose: "Narrative container with style default and generation progress",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name story_id"),
        uuid("project_id"),
        text("title").doc("max 255"),
        text("default_image_style").default("'default'::text"),
        text("generation_status").default("'idle'::text"),
        text("generation_error").nullable(),
        jsonb("progress").nullable().doc("{current_node, message, step, total_steps}"),
        timestamptz("progress_updated_at").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        text("created_by").nullable().doc("request id"),
        text("updated_by").nullable().doc("request id"),
    ],
    checks: &[check(
        "stories_generation_status_check",
        "generation_status",
        "generation_status IN ('idle', 'queued', 'processing', 'completed', 'failed')",
    )
    .seed("generation_status IN ('idle', 'processing', 'completed', 'failed')")
    .doc("queued added; the snapshot writes running and succeeded for processing and completed")],
    foreign_keys: &[references("project_id", "projects", OnDelete::Cascade)],
    indexes: &[index("idx_stories_project_id", &["project_id"])],
    policies: Policies {
        select: "owner_via(project_id→projects.user_id) | admin",
        insert: "owner_via(project_id→projects.user_id) | admin",
        update: "owner_via(project_id→projects.user_id) | admin",
        delete: "owner_via(project_id→projects.user_id) | admin",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};
