//! One row per provider call.

use crate::table::*;

/// One row per provider call.
pub static API_USAGE_LOGS: Table = Table {
    name: "api_usage_logs",
    origin: &["beyond"],
    purpose: "One row per provider call",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        numeric("cost_credits").nullable(),
        numeric("cost_usd").nullable(),
        timestamptz("created_at").default("now()"),
        text("endpoint_path").nullable(),
        text("error_message").nullable(),
        uuid("model_id").nullable(),
        uuid("provider_id"),
        jsonb("provider_metadata").nullable().default("'{}'::jsonb"),
        jsonb("request_payload").nullable(),
        text("request_type"),
        jsonb("response_payload").nullable(),
        int4("response_status").nullable(),
        int4("response_time_ms"),
        int4("tokens_cached").nullable(),
        int4("tokens_input").nullable(),
        int4("tokens_output").nullable(),
        int4("tokens_total").nullable(),
        uuid("user_id").nullable(),
    ],
    checks: &[check(
        "api_usage_logs_request_type_check",
        "request_type",
        "request_type IN ('chat', 'image', 'video')",
    )],
    foreign_keys: &[
        references("model_id", "api_models", OnDelete::SetNull).named("api_usage_logs_model_id_fkey"),
        references("provider_id", "api_providers", OnDelete::Cascade)
            .named("api_usage_logs_provider_id_fkey"),
        references("user_id", "profiles", OnDelete::SetNull).named("api_usage_logs_user_id_fkey"),
    ],
    indexes: &[
        index("idx_api_usage_logs_provider_date", &["provider_id", "created_at desc"]),
        index("idx_api_usage_logs_model_date", &["model_id", "created_at desc"])
            .filter("model_id IS NOT NULL"),
        index("idx_api_usage_logs_user_date", &["user_id", "created_at desc"]).filter("user_id IS NOT NULL"),
        index("idx_api_usage_logs_request_type", &["request_type", "created_at desc"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "service",
        update: "never",
        delete: "never",
    },
    audited: false,
    ..TABLE
};
