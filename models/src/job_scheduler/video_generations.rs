//! A video pipeline run over a chapter's script.

use crate::table::*;
use crate::value::{VIDEO_GENERATION_STATUS, VIDEO_QUALITY_TIER};

/// A video pipeline run over a chapter's script.
pub static VIDEO_GENERATIONS: Table = Table {
    name: "video_generations",
    origin: &["seed 004"],
    purpose: "A video pipeline run over a chapter's script",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("chapter_id"),
        uuid("user_id"),
        uuid("script_id").nullable(),
        enumeration("generation_status", &VIDEO_GENERATION_STATUS).default("'pending'"),
        enumeration("quality_tier", &VIDEO_QUALITY_TIER).default("'free'"),
        text("video_url").nullable(),
        boolean("can_resume").default("false"),
        int4("retry_count").default("0"),
        text("error_message").nullable(),
        jsonb("task_meta").nullable().default("'{}'::jsonb"),
        jsonb("script_data").nullable().default("'{}'::jsonb"),
        jsonb("audio_files").nullable().default("'{}'::jsonb"),
        jsonb("image_data").nullable().default("'{}'::jsonb"),
        jsonb("video_data").nullable().default("'{}'::jsonb"),
        jsonb("merge_data").nullable().default("'{}'::jsonb"),
        jsonb("lipsync_data").nullable().default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[
        references("chapter_id", "chapters", OnDelete::Cascade).doc("inferred"),
        references("user_id", "profiles", OnDelete::Cascade).doc("inferred"),
        references("script_id", "scripts", OnDelete::SetNull).doc("inferred"),
    ],
    indexes: &[index("idx_video_generations_user_id", &["user_id"])],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    doc: "minimal",
    ..TABLE
};
