//! Scored test generations.

use crate::table::*;

/// Scored test generations.
pub static MODEL_TEST_RESULTS: Table = Table {
    name: "model_test_results",
    origin: &["seed 003", "seed 002"],
    purpose: "Scored test generations",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id").nullable(),
        text("model_type").doc("varchar in the document"),
        text("model_version").nullable().doc("varchar in the document"),
        text("prompt_text"),
        boolean("success").default("true"),
        int4("overall_quality").nullable(),
        int4("technical_quality").nullable(),
        int4("content_quality").nullable(),
        int4("consistency").nullable(),
        text("test_series").doc("varchar in the document"),
        text("test_tier").doc("varchar in the document"),
        text("test_category").nullable().doc("varchar in the document"),
        jsonb("test_metadata").default("'{}'::jsonb"),
        uuid("job_id").nullable(),
        uuid("image_id").nullable(),
        uuid("video_id").nullable(),
        int4("generation_time_ms").nullable(),
        int4("file_size_bytes").nullable(),
        text("notes").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        text("enhancement_strategy").nullable().doc("varchar in the document"),
        text("original_prompt").nullable(),
        text("enhanced_prompt").nullable(),
        int4("enhancement_time_ms").nullable(),
        numeric("quality_improvement").nullable(),
        jsonb("compel_weights").nullable(),
        numeric("qwen_expansion_percentage").nullable(),
        numeric("baseline_quality").nullable(),
    ],
    checks: &[
        check(
            "model_test_results_consistency_check",
            "consistency",
            "consistency >= 0 AND consistency <= 10",
        ),
        check(
            "model_test_results_content_quality_check",
            "content_quality",
            "content_quality >= 0 AND content_quality <= 10",
        ),
        check("model_test_results_model_type_check", "model_type", "model_type IN ('SDXL', 'WAN', 'LORA')"),
        check(
            "model_test_results_overall_quality_check",
            "overall_quality",
            "overall_quality >= 0 AND overall_quality <= 10",
        ),
        check(
            "model_test_results_technical_quality_check",
            "technical_quality",
            "technical_quality >= 0 AND technical_quality <= 10",
        ),
        check(
            "model_test_results_test_tier_check",
            "test_tier",
            "test_tier IN ('artistic', 'explicit', 'unrestricted')",
        ),
    ],
    foreign_keys: &[
        references("job_id", "jobs", OnDelete::SetNull).named("model_test_results_job_id_fkey"),
        references("image_id", "images", OnDelete::NoAction).named("model_test_results_image_id_fkey"),
        references("video_id", "videos", OnDelete::NoAction).named("model_test_results_video_id_fkey"),
        references("user_id", "auth.users", OnDelete::Cascade),
    ],
    indexes: &[
        index("idx_model_test_results_created_at", &["created_at"]),
        index("idx_model_test_results_enhancement_strategy", &["enhancement_strategy"]),
        index("idx_model_test_results_image_id", &["image_id"]),
        index("idx_model_test_results_job_id", &["job_id"]),
        index("idx_model_test_results_quality_improvement", &["quality_improvement"]),
        index("idx_model_test_results_video_id", &["video_id"]),
    ],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    triggers: &["set updated_at on update"],
    realtime: &["*"],
    ..TABLE
};
