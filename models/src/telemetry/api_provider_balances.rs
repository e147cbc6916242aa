//! Last known balance per provider.

use crate::table::*;

/// Last known balance per provider.
pub static API_PROVIDER_BALANCES: Table = Table {
    name: "api_provider_balances",
    origin: &["beyond"],
    purpose: "Last known balance per provider",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        numeric("balance_credits").nullable(),
        jsonb("balance_metadata").nullable().default("'{}'::jsonb"),
        numeric("balance_usd").nullable(),
        text("currency").nullable().default("'USD'::text"),
        timestamptz("last_synced_at").nullable(),
        uuid("provider_id"),
        text("sync_error").nullable(),
        text("sync_method").nullable(),
        text("sync_status").nullable(),
        timestamptz("updated_at").default("now()"),
    ],
    unique: &[&["provider_id"]],
    checks: &[
        check(
            "api_provider_balances_sync_method_check",
            "sync_method",
            "sync_method IN ('api', 'manual', 'webhook')",
        ),
        check(
            "api_provider_balances_sync_status_check",
            "sync_status",
            "sync_status IN ('success', 'failed', 'pending')",
        ),
    ],
    foreign_keys: &[references("provider_id", "api_providers", OnDelete::Cascade)
        .named("api_provider_balances_provider_id_fkey")],
    policies: Policies {
        select: "admin | service",
        insert: "admin | service",
        update: "admin | service",
        delete: "admin | service",
    },
    doc: "not in the brief's list; the admin front end reads it",
    ..TABLE
};
