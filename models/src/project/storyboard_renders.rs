//! Final renders of a storyboard.

use crate::table::*;

/// Final renders of a storyboard.
pub static STORYBOARD_RENDERS: Table = Table {
    name: "storyboard_renders",
    origin: &["beyond"],
    purpose: "Final renders of a storyboard",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        timestamptz("completed_at").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("error_message").nullable(),
        int8("file_size_bytes").nullable(),
        boolean("include_transitions").nullable(),
        numeric("output_duration_seconds").nullable(),
        text("output_url").nullable(),
        int4("progress_percentage").nullable(),
        uuid("project_id"),
        text("render_quality").nullable(),
        timestamptz("started_at").nullable(),
        text("status").nullable().default("'queued'::text"),
        text("transition_style").nullable(),
    ],
    foreign_keys: &[references("project_id", "storyboard_projects", OnDelete::Cascade)
        .named("storyboard_renders_project_id_fkey")],
    policies: Policies {
        select: "owner_via(project_id→storyboard_projects.user_id)",
        insert: "owner_via(project_id→storyboard_projects.user_id)",
        update: "owner_via(project_id→storyboard_projects.user_id)",
        delete: "owner_via(project_id→storyboard_projects.user_id)",
    },
    doc: "policies inferred",
    ..TABLE
};
