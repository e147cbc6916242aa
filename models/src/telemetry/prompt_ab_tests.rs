//! A/B test summaries of prompt configurations.

use crate::table::*;

/// A/B test summaries of prompt configurations.
pub static PROMPT_AB_TESTS: Table = Table {
    name: "prompt_ab_tests",
    origin: &["seed 003", "seed 002"],
    purpose: "A/B test summaries of prompt configurations",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("test_name").doc("varchar in the document"),
        text("test_series").doc("varchar in the document"),
        jsonb("baseline_config"),
        jsonb("enhanced_config"),
        int4("total_participants").nullable().default("0"),
        numeric("baseline_avg_quality").nullable(),
        numeric("enhanced_avg_quality").nullable(),
        numeric("quality_improvement").nullable(),
        numeric("confidence_level").nullable(),
        boolean("is_complete").nullable().default("false"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("completed_at").nullable(),
    ],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    ..TABLE
};
