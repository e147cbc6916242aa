//! System prompts for enhancement, chat, scenes and scoring.

use crate::table::*;

/// System prompts for enhancement, chat, scenes and scoring.
pub static PROMPT_TEMPLATES: Table = Table {
    name: "prompt_templates",
    origin: &["seed 003", "seed 002", "beyond"],
    purpose: "System prompts for enhancement, chat, scenes and scoring",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("enhancer_model").doc("varchar in the document"),
        text("use_case").doc("varchar in the document"),
        text("content_mode").default("'nsfw'::character varying").doc("varchar in the document"),
        text("template_name").doc("varchar in the document"),
        text("system_prompt"),
        int4("token_limit").nullable().default("512"),
        boolean("is_active").nullable().default("true"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        uuid("created_by").nullable(),
        int4("version").nullable().default("1"),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        text("job_type").nullable(),
        text("target_model").nullable(),
        text("description").nullable(),
        text("comment").nullable(),
        text("provider").nullable().doc("ordinal 16 is missing in 003; the later snapshot has provider"),
    ],
    unique: &[&["enhancer_model", "use_case", "content_mode", "template_name"]],
    checks: &[
        check("prompt_templates_job_type_check", "job_type", "job_type IN ('chat', 'image', 'video')"),
        check("prompt_templates_target_model_check", "target_model", "target_model IN ('sdxl', 'wan')")
            .later("dropped: target_model holds any model key")
            .dropped(),
    ],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    triggers: &["set updated_at on update"],
    doc: "seed 002: 18 columns, 17 named in 003. The target_model check forbids the model keys that the later enhancer looks up.",
    ..TABLE
};
