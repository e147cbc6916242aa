//! Hourly totals per provider and model.

use crate::table::*;

/// Hourly totals per provider and model.
pub static API_USAGE_AGGREGATES: Table = Table {
    name: "api_usage_aggregates",
    origin: &["beyond"],
    purpose: "Hourly totals per provider and model",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        numeric("avg_response_time_ms").nullable(),
        numeric("cost_credits_total").nullable().default("0"),
        numeric("cost_usd_total").nullable().default("0"),
        date("date_bucket"),
        int4("error_count").default("0"),
        int4("hour_bucket").nullable(),
        uuid("model_id").nullable(),
        numeric("p95_response_time_ms").nullable(),
        numeric("p99_response_time_ms").nullable(),
        uuid("provider_id"),
        int4("request_count").default("0"),
        int4("success_count").default("0"),
        int8("tokens_cached_total").nullable().default("0"),
        int8("tokens_input_total").nullable().default("0"),
        int8("tokens_output_total").nullable().default("0"),
    ],
    unique: &[&["provider_id", "model_id", "date_bucket", "hour_bucket"]],
    unique_nulls_not_distinct: true,
    checks: &[check(
        "api_usage_aggregates_hour_bucket_check",
        "hour_bucket",
        "hour_bucket IS NULL OR (hour_bucket >= 0 AND hour_bucket <= 23)",
    )],
    foreign_keys: &[
        references("model_id", "api_models", OnDelete::SetNull).named("api_usage_aggregates_model_id_fkey"),
        references("provider_id", "api_providers", OnDelete::Cascade)
            .named("api_usage_aggregates_provider_id_fkey"),
    ],
    indexes: &[
        index("idx_api_usage_aggregates_provider_date", &["provider_id", "date_bucket desc"]),
        index("idx_api_usage_aggregates_model_date", &["model_id", "date_bucket desc"])
            .filter("model_id IS NOT NULL"),
        index("idx_api_usage_aggregates_date_bucket", &["date_bucket desc", "hour_bucket"]),
    ],
    policies: Policies {
        select: "admin",
        insert: "admin | service",
        update: "admin | service",
        delete: "admin | service",
    },
    audited: false,
    ..TABLE
};
