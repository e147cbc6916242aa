//! Generated clips of a storyboard scene.

use crate::table::*;

/// Generated clips of a storyboard scene.
pub static STORYBOARD_CLIPS: Table = Table {
    name: "storyboard_clips",
    origin: &["beyond"],
    purpose: "Generated clips of a storyboard scene",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("api_model_id").nullable(),
        int4("clip_order").default("0"),
        text("clip_type").nullable().default("'quick'::text"),
        timestamptz("created_at").nullable().default("now()"),
        numeric("duration_seconds").nullable(),
        text("end_frame_url").nullable(),
        text("enhanced_prompt").nullable(),
        text("extracted_frame_url").nullable(),
        numeric("extraction_percentage").nullable(),
        int4("extraction_timestamp_ms").nullable(),
        jsonb("generation_config").nullable().default("'{}'::jsonb"),
        jsonb("generation_metadata").nullable().default("'{}'::jsonb"),
        uuid("job_id").nullable(),
        text("model_used").nullable(),
        uuid("motion_preset_id").nullable(),
        uuid("parent_clip_id").nullable(),
        text("prompt"),
        uuid("prompt_template_id").nullable(),
        text("reference_image_source").nullable(),
        text("reference_image_url").nullable(),
        uuid("resolved_model_id").nullable(),
        uuid("scene_id"),
        text("status").nullable().default("'pending'::text"),
        text("thumbnail_url").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
        text("video_url").nullable(),
    ],
    checks: &[
        check(
            "storyboard_clips_clip_type_check",
            "clip_type",
            "clip_type IN ('quick', 'extended', 'controlled', 'long', 'keyframed')",
        ),
        check(
            "storyboard_clips_reference_image_source_check",
            "reference_image_source",
            "reference_image_source IN ('extracted_frame', 'uploaded', 'generated', 'character_portrait', 'library', 'workspace')",
        ),
    ],
    foreign_keys: &[
        references("api_model_id", "api_models", OnDelete::SetNull)
            .named("storyboard_clips_api_model_id_fkey"),
        references("job_id", "jobs", OnDelete::SetNull).named("storyboard_clips_job_id_fkey"),
        references("motion_preset_id", "motion_presets", OnDelete::SetNull)
            .named("storyboard_clips_motion_preset_id_fkey"),
        references("parent_clip_id", "storyboard_clips", OnDelete::SetNull)
            .named("storyboard_clips_parent_clip_id_fkey"),
        references("prompt_template_id", "prompt_templates", OnDelete::SetNull)
            .named("storyboard_clips_prompt_template_id_fkey"),
        references("resolved_model_id", "api_models", OnDelete::SetNull)
            .named("storyboard_clips_resolved_model_id_fkey"),
        references("scene_id", "storyboard_scenes", OnDelete::Cascade)
            .named("storyboard_clips_scene_id_fkey"),
    ],
    indexes: &[
        index("idx_storyboard_clips_parent", &["parent_clip_id"]).filter("parent_clip_id IS NOT NULL"),
        index("idx_storyboard_clips_type", &["clip_type"]),
    ],
    lookups: &["video_url"],
    policies: Policies {
        select: "owner_via(scene_id→storyboard_scenes.project_id→storyboard_projects.user_id)",
        insert: "owner_via(scene_id→storyboard_scenes.project_id→storyboard_projects.user_id)",
        update: "owner_via(scene_id→storyboard_scenes.project_id→storyboard_projects.user_id)",
        delete: "owner_via(scene_id→storyboard_scenes.project_id→storyboard_projects.user_id)",
    },
    triggers: &["set updated_at on update"],
    doc: "policies and some delete rules inferred",
    ..TABLE
};
