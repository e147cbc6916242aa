//! Negative prompt presets by model, rating and generation mode.

use crate::table::*;

/// Negative prompt presets by model, rating and generation mode.
pub static NEGATIVE_PROMPTS: Table = Table {
    name: "negative_prompts",
    origin: &["seed 003", "seed 002"],
    purpose: "Negative prompt presets by model, rating and generation mode",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("model_type").default("'sdxl'::character varying").doc("varchar in the document"),
        text("content_mode").default("'nsfw'::character varying").doc("varchar in the document"),
        text("negative_prompt"),
        boolean("is_active").nullable().default("true"),
        int4("priority").nullable().default("1"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        uuid("created_by").nullable(),
        text("description").nullable(),
        text("generation_mode").nullable().default("'txt2img'::text").doc("seed 002 new column"),
    ],
    unique: &[&["model_type", "content_mode", "negative_prompt"]],
    checks: &[check(
        "negative_prompts_generation_mode_check",
        "generation_mode",
        "generation_mode IN ('txt2img', 'i2i')",
    )],
    indexes: &[index(
        "idx_negative_prompts_lookup",
        &["model_type", "content_mode", "generation_mode", "is_active", "priority"],
    )],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    triggers: &["set updated_at on update"],
    doc: "model_type values: sdxl, rv51, replicate-sdxl, chat. Unique key omits generation_mode, so one text cannot serve both modes of a pair. seed 002 says 12 rows and itemises 22.",
    ..TABLE
};
