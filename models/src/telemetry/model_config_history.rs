//! History of worker configurations.

use crate::table::*;

/// History of worker configurations.
pub static MODEL_CONFIG_HISTORY: Table = Table {
    name: "model_config_history",
    origin: &["seed 003", "seed 002"],
    purpose: "History of worker configurations",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("model_type").doc("varchar in the document"),
        text("config_name").doc("varchar in the document"),
        jsonb("config_data"),
        boolean("is_active").nullable().default("false"),
        uuid("created_by").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("notes").nullable(),
    ],
    // Chat models and providers have a history as well.
    checks: &[check("model_config_history_model_type_check", "model_type", "model_type IN ('SDXL', 'WAN')")
        .dropped()],
    foreign_keys: &[references("created_by", "profiles", OnDelete::NoAction)
        .named("model_config_history_created_by_fkey")],
    indexes: &[index("idx_model_config_history_created_by", &["created_by"])],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    ..TABLE
};
