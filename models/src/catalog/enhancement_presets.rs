//! Quality enhancement presets.

use crate::table::*;

/// Quality enhancement presets.
pub static ENHANCEMENT_PRESETS: Table = Table {
    name: "enhancement_presets",
    origin: &["seed 003", "seed 002"],
    purpose: "Quality enhancement presets",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("preset_name").doc("varchar in the document"),
        text("preset_description").nullable(),
        boolean("enable_qwen"),
        boolean("enable_compel"),
        boolean("auto_enhancement"),
        jsonb("compel_weights").nullable(),
        jsonb("qwen_settings").nullable(),
        int4("usage_count").nullable().default("0"),
        numeric("avg_quality_with_preset").nullable(),
        boolean("is_recommended").nullable().default("false"),
        timestamptz("created_at").nullable().default("now()"),
        uuid("created_by").nullable(),
    ],
    foreign_keys: &[references("created_by", "auth.users", OnDelete::NoAction)],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    ..TABLE
};
