//! Storyboard video project.

use crate::table::*;

/// Storyboard video project.
pub static STORYBOARD_PROJECTS: Table = Table {
    name: "storyboard_projects",
    origin: &["beyond"],
    purpose: "Storyboard video project",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("ai_assistance_level").nullable(),
        jsonb("ai_story_plan").nullable(),
        text("aspect_ratio").nullable(),
        text("content_mode").nullable().default("'nsfw'::text"),
        text("content_tier").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("description").nullable(),
        numeric("final_video_duration_seconds").nullable(),
        text("final_video_url").nullable(),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        uuid("primary_character_id").nullable(),
        text("quality_preset").nullable(),
        jsonb("secondary_characters").nullable(),
        uuid("source_conversation_id").nullable(),
        text("status").nullable().default("'draft'::text"),
        jsonb("story_beats").nullable(),
        text("story_summary").nullable(),
        numeric("target_duration_seconds").nullable(),
        text("title").doc("has a default in the later schema, value not recorded"),
        timestamptz("updated_at").nullable().default("now()"),
        uuid("user_id"),
    ],
    checks: &[check(
        "storyboard_projects_content_mode_check",
        "content_mode",
        "content_mode IN ('sfw', 'nsfw')",
    )],
    foreign_keys: &[
        references("primary_character_id", "characters", OnDelete::SetNull)
            .named("storyboard_projects_primary_character_id_fkey"),
        references("source_conversation_id", "conversations", OnDelete::SetNull)
            .named("storyboard_projects_source_conversation_id_fkey"),
        references("user_id", "profiles", OnDelete::Cascade).named("storyboard_projects_user_id_fkey"),
    ],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    triggers: &["set updated_at on update"],
    doc: "policies and some delete rules inferred",
    ..TABLE
};
