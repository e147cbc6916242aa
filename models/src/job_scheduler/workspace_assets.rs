//! Temporary results of jobs, seven days.

use crate::table::*;

/// Temporary results of jobs, seven days.
pub static WORKSPACE_ASSETS: Table = Table {
    name: "workspace_assets",
    origin: &["seed 003", "seed 002"],
    purpose: "Temporary results of jobs, seven days",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("asset_type"),
        text("temp_storage_path"),
        int8("file_size_bytes"),
        text("mime_type"),
        numeric("duration_seconds").nullable(),
        uuid("job_id"),
        int4("asset_index").default("0"),
        int8("generation_seed"),
        text("original_prompt"),
        text("model_used"),
        jsonb("generation_settings").nullable().default("'{}'::jsonb"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("expires_at").nullable().default("(now() + '7 days'::interval)"),
        text("thumbnail_path").nullable(),
        int4("width").nullable(),
        int4("height").nullable(),
    ],
    unique: &[&["job_id", "asset_index"], &["user_id", "job_id", "asset_index"]],
    checks: &[check("workspace_assets_asset_type_check", "asset_type", "asset_type IN ('image', 'video')")],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    soft_references: &[references("job_id", "jobs", OnDelete::NoAction)],
    indexes: &[
        index("idx_workspace_expires", &["expires_at"]),
        index("idx_workspace_job", &["job_id", "asset_index"]),
        index("idx_workspace_user_created", &["user_id", "created_at desc"]),
    ],
    searched: &["original_prompt"],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    realtime: &["INSERT"],
    doc: "job_id has NO foreign key in the document although the front end embeds workspace_assets in jobs: offer it as a soft relationship. The row's expiry does not delete the file.",
    ..TABLE
};
