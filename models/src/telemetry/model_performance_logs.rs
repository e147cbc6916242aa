//! Daily generation counters per worker model.

use crate::table::*;

/// Daily generation counters per worker model.
pub static MODEL_PERFORMANCE_LOGS: Table = Table {
    name: "model_performance_logs",
    origin: &["seed 003", "seed 002"],
    purpose: "Daily generation counters per worker model",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("model_type").doc("varchar in the document"),
        date("date"),
        int4("total_generations").nullable().default("0"),
        int4("successful_generations").nullable().default("0"),
        int4("failed_generations").nullable().default("0"),
        int4("avg_generation_time_ms").nullable(),
        numeric("avg_quality_rating").nullable(),
        int4("total_processing_time_ms").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    unique: &[&["model_type", "date"]],
    checks: &[check(
        "model_performance_logs_model_type_check",
        "model_type",
        "model_type IN ('SDXL', 'WAN')",
    )],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    triggers: &["set updated_at on update"],
    ..TABLE
};
