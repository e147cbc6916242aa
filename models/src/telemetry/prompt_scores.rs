//! Vision and human ratings of a job's result.

use crate::table::*;

/// Vision and human ratings of a job's result.
pub static PROMPT_SCORES: Table = Table {
    name: "prompt_scores",
    origin: &["beyond"],
    purpose: "Vision and human ratings of a job's result",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        numeric("action_match").nullable(),
        int4("admin_action_rating").nullable(),
        int4("admin_appearance_rating").nullable(),
        text("admin_comment").nullable(),
        int4("admin_quality_rating").nullable(),
        timestamptz("admin_rated_at").nullable(),
        uuid("admin_rated_by").nullable(),
        uuid("api_model_id").nullable(),
        numeric("appearance_match").nullable(),
        numeric("composite_score").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("enhanced_prompt").nullable(),
        text_array("feedback_tags").nullable(),
        boolean("image_deleted").nullable(),
        uuid("job_id"),
        text("original_prompt"),
        numeric("overall_quality").nullable(),
        boolean("preserve_image").nullable(),
        text("preserve_reason").nullable(),
        text("preserved_url").nullable(),
        text("scoring_version").nullable(),
        text("system_prompt_used").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
        int4("user_action_rating").nullable(),
        int4("user_appearance_rating").nullable(),
        uuid("user_id"),
        int4("user_quality_rating").nullable(),
        timestamptz("user_rated_at").nullable(),
        jsonb("vision_analysis").nullable(),
        uuid("workspace_asset_id").nullable(),
    ],
    unique: &[&["job_id"]],
    foreign_keys: &[
        references("admin_rated_by", "profiles", OnDelete::NoAction)
            .named("prompt_scores_admin_rated_by_fkey"),
        references("api_model_id", "api_models", OnDelete::NoAction).named("prompt_scores_api_model_id_fkey"),
        references("job_id", "jobs", OnDelete::Cascade).named("prompt_scores_job_id_fkey"),
        references("user_id", "profiles", OnDelete::Cascade).named("prompt_scores_user_id_fkey"),
        references("workspace_asset_id", "workspace_assets", OnDelete::SetNull)
            .named("prompt_scores_workspace_asset_id_fkey")
            .doc("ours: or the expiry sweep fails"),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "admin",
    },
    doc: "one score per job (upsert on job_id); only the insert policy is documented, the rest inferred",
    ..TABLE
};
