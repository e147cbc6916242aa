//! Generated videos of the legacy library.

use crate::table::*;

/// Generated videos of the legacy library.
pub static VIDEOS: Table = Table {
    name: "videos",
    origin: &["seed 003"],
    purpose: "Generated videos of the legacy library",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("project_id").nullable(),
        uuid("user_id"),
        text("thumbnail_url").nullable(),
        text("video_url").nullable(),
        text("status").nullable().default("'draft'::text"),
        int4("duration").nullable().default("5"),
        text("resolution").nullable().default("'720p'::text"),
        text("format").nullable().default("'mp4'::text"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("completed_at").nullable(),
        timestamptz("expires_at").nullable().default("(now() + '30 days'::interval)"),
        text("preview_url").nullable(),
        text("reference_image_url").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
        text("error_message").nullable(),
        text("signed_url").nullable(),
        timestamptz("signed_url_expires_at").nullable(),
        jsonb("metadata").nullable(),
        text("title").nullable(),
        text("enhancement_strategy").nullable().doc("varchar in the document"),
        text("original_prompt").nullable(),
        text("enhanced_prompt").nullable(),
        int4("enhancement_time_ms").nullable(),
        numeric("quality_rating").nullable(),
        numeric("quality_improvement").nullable(),
        jsonb("compel_weights").nullable(),
        numeric("qwen_expansion_percentage").nullable(),
    ],
    checks: &[check(
        "videos_status_check",
        "status",
        "status IN ('draft', 'queued', 'processing', 'generating', 'completed', 'failed', 'cancelled')",
    )],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade)
            .named("videos_user_id_fkey")
            .doc("ON DELETE is not stated in the document; inferred from the sibling user tables"),
        references("project_id", "projects", OnDelete::NoAction).named("videos_project_id_fkey"),
    ],
    indexes: &[
        index("idx_videos_created_at", &["created_at"]),
        index("idx_videos_enhancement_strategy", &["enhancement_strategy"]),
        index("idx_videos_project_id", &["project_id"]),
        index("idx_videos_quality_rating", &["quality_rating"]),
        index("idx_videos_user_created", &["user_id", "created_at desc"]),
        index("idx_videos_user_id", &["user_id"]),
        index("idx_videos_user_status_created", &["user_id", "status", "created_at desc"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    triggers: &["set updated_at on update"],
    doc: "Policies inferred from jobs.",
    ..TABLE
};
