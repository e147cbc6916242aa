//! A user's video/image project, or the container of webtoon stories.

use crate::table::*;

/// A user's video/image project, or the container of webtoon stories.
pub static PROJECTS: Table = Table {
    name: "projects",
    origin: &["seed 003", "seed 002", "seed 001"],
    purpose: "A user's video/image project, or the container of webtoon stories",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("title").nullable(),
        text("original_prompt")
            .nullable()
            .doc("NOT NULL in 003; a webtoon project has only a name: see check projects_kind"),
        text("enhanced_prompt").nullable(),
        text("media_type")
            .nullable()
            .doc("NOT NULL in 003; a webtoon project has only a name: see check projects_kind"),
        int4("duration").nullable().default("0"),
        int4("scene_count").nullable().default("1"),
        text("workflow_step").nullable().default("'configuration'::text"),
        uuid("character_id").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        text("preview_url").nullable(),
        text("reference_image_url").nullable(),
        text("name").nullable().doc("seed 001 Project.name, max 255"),
    ],
    checks: &[
        check("projects_media_type_check", "media_type", "media_type IN ('image', 'video')"),
        check(
            "projects_workflow_step_check",
            "workflow_step",
            "workflow_step IN ('configuration', 'character_selection', 'story_breakdown', 'storyboard_generation', 'video_generation', 'completed')",
        ),
        check(
            "projects_kind",
            "original_prompt",
            "name IS NOT NULL OR (original_prompt IS NOT NULL AND media_type IS NOT NULL)",
        )
        .doc("union of the two documents' required fields"),
    ],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade).named("projects_user_id_fkey"),
        references("character_id", "characters", OnDelete::NoAction).named("projects_character_id_fkey"),
    ],
    indexes: &[
        index("idx_projects_character_id", &["character_id"]),
        index("idx_projects_user_id", &["user_id"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    triggers: &["set updated_at on update"],
    doc: "Document id name in 001: project_id. The webtoon document has no owner: the caller becomes user_id. Show title, else name.",
    ..TABLE
};
