//! Legacy workspace entries grouped by session.

use crate::table::*;

/// Legacy workspace entries grouped by session.
pub static WORKSPACE_ITEMS: Table = Table {
    name: "workspace_items",
    origin: &["seed 003"],
    purpose: "Legacy workspace entries grouped by session",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("session_id"),
        uuid("job_id").nullable(),
        uuid("user_id"),
        text("prompt"),
        text("enhanced_prompt").nullable(),
        text("content_type"),
        text("model_type").nullable(),
        text("quality").nullable(),
        text("storage_path").nullable(),
        text("bucket_name").nullable(),
        text("url").nullable(),
        text("thumbnail_url").nullable(),
        jsonb("generation_params").nullable().default("'{}'::jsonb"),
        int4("seed").nullable(),
        text("reference_image_url").nullable(),
        numeric("reference_strength").nullable(),
        text("status").nullable().default("'generated'::text"),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    checks: &[
        check("workspace_items_content_type_check", "content_type", "content_type IN ('image', 'video')"),
        check("workspace_items_quality_check", "quality", "quality IN ('fast', 'high')"),
        check(
            "workspace_items_status_check",
            "status",
            "status IN ('generating', 'generated', 'failed', 'saved')",
        ),
    ],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade)
            .named("workspace_items_user_id_fkey")
            .doc("ON DELETE is not stated in the document; inferred from the sibling user tables"),
        references("session_id", "workspace_sessions", OnDelete::Cascade)
            .named("workspace_items_session_id_fkey")
            .doc("ON DELETE is not stated in the document; inferred from the sibling user tables"),
        references("job_id", "jobs", OnDelete::SetNull)
            .named("workspace_items_job_id_fkey")
            .doc("ON DELETE is not stated in the document; inferred from the sibling user tables"),
    ],
    indexes: &[
        index("idx_workspace_items_job_id", &["job_id"]),
        index("idx_workspace_items_job_id_session", &["job_id", "session_id"]),
        index("idx_workspace_items_session_id", &["session_id"]),
        index("idx_workspace_items_status", &["status"]),
        index("idx_workspace_items_user_created", &["user_id", "created_at desc"]),
        index("idx_workspace_items_user_id", &["user_id"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    triggers: &["set updated_at on update"],
    doc: "seed is int4 here and int8 elsewhere. Policies inferred.",
    ..TABLE
};
