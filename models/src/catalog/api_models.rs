//! Models with capabilities, prices and default tasks.

use crate::table::*;

/// Models with capabilities, prices and default tasks.
pub static API_MODELS: Table = Table {
    name: "api_models",
    origin: &["seed 002", "beyond"],
    purpose: "Models with capabilities, prices and default tasks",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        uuid("created_by").nullable(),
        uuid("provider_id"),
        text("model_key"),
        text("version").nullable().doc("Replicate needs a 32-64 hex digit version id"),
        text("display_name"),
        text("modality"),
        text("task").nullable().doc("NOT NULL in the first schema, replaced by tasks later; optional in the union"),
        text("model_family").nullable(),
        text("endpoint_path").nullable(),
        jsonb("input_defaults").default("'{}'::jsonb"),
        jsonb("capabilities").default("'{}'::jsonb"),
        jsonb("pricing").default("'{}'::jsonb"),
        text("output_format").nullable(),
        boolean("is_active").default("true"),
        boolean("is_default").default("false"),
        int4("priority").default("0"),
        text_array("tasks").default("'{}'::text[]").doc("beyond; values t2i,i2i,i2i_multi,t2v,i2v,extend,multi,upscale,roleplay,reasoning,enhancement,embedding,vision"),
        text_array("default_for_tasks").default("'{}'::text[]").doc("beyond"),
        numeric("avg_generation_time").nullable().doc("beyond"),
        numeric("cost_per_use").nullable().doc("beyond"),
    ],
    unique: &[&["provider_id", "model_key", "coalesce(version,'')"]],
    checks: &[
        check("api_models_modality_check", "modality", "modality IN ('image', 'video', 'chat', 'prompt', 'audio', 'embedding', 'roleplay')").later("modality IN ('image', 'video', 'chat')"),
        check("api_models_task_check", "task", "task IN ('generation', 'enhancement', 'moderation', 'style_transfer', 'upscale', 'roleplay', 'tts', 'stt', 'chat', 'embedding', 'reasoning', 'vision')"),
        check("api_models_defaults_subset_tasks", "default_for_tasks", "default_for_tasks <@ tasks").doc("beyond"),
    ],
    foreign_keys: &[
        references("created_by", "profiles", OnDelete::SetNull),
        references("provider_id", "api_providers", OnDelete::Cascade),
    ],
    indexes: &[
        index("idx_api_models_active", &["is_active"]),
        index("idx_api_models_modality_task", &["modality", "task"]),
        index("idx_api_models_provider", &["provider_id"]),
        index("idx_api_models_default_for_tasks", &["default_for_tasks"]).gin(),
        index("idx_api_models_tasks_gin", &["tasks"]).gin(),
        index("api_models_one_default_per_task", &["modality", "task"]).filter("is_default").unique(),
    ],
    policies: Policies {
        select: "admin | (authenticated & is_active)",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    triggers: &["set updated_at on update"],
    doc: "seed 002 counts 19 columns (without the four beyond ones)",
    ..TABLE
};
