//! Scenes of a storyboard.

use crate::table::*;

/// Scenes of a storyboard.
pub static STORYBOARD_SCENES: Table = Table {
    name: "storyboard_scenes",
    origin: &["beyond"],
    purpose: "Scenes of a storyboard",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        numeric("actual_duration_seconds").nullable(),
        jsonb("ai_suggestions").nullable(),
        jsonb("characters").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("description").nullable(),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        text("mood").nullable(),
        text("motion_style").nullable(),
        text("narrative_context").nullable(),
        uuid("project_id"),
        int4("scene_order"),
        text("setting").nullable(),
        text("status").nullable().default("'planned'::text"),
        jsonb("suggested_prompts").nullable(),
        numeric("target_duration_seconds").nullable(),
        text("title").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    foreign_keys: &[references("project_id", "storyboard_projects", OnDelete::Cascade)
        .named("storyboard_scenes_project_id_fkey")],
    policies: Policies {
        select: "owner_via(project_id→storyboard_projects.user_id)",
        insert: "owner_via(project_id→storyboard_projects.user_id)",
        update: "owner_via(project_id→storyboard_projects.user_id)",
        delete: "owner_via(project_id→storyboard_projects.user_id)",
    },
    triggers: &["set updated_at on update"],
    doc: "policies inferred",
    ..TABLE
};
