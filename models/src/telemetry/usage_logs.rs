//! Credits consumed per action.

use crate::table::*;

/// Credits consumed per action.
pub static USAGE_LOGS: Table = Table {
    name: "usage_logs",
    origin: &["seed 003", "seed 002"],
    purpose: "Credits consumed per action",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("action"),
        numeric("credits_consumed").nullable().default("1.0"),
        jsonb("metadata").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        text("format").nullable(),
        text("quality").nullable(),
    ],
    foreign_keys: &[references("user_id", "profiles", OnDelete::Cascade).named("usage_logs_user_id_fkey")],
    indexes: &[
        index("idx_usage_logs_format_quality", &["format", "quality"]),
        index("idx_usage_logs_user_id", &["user_id"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "admin",
        delete: "admin",
    },
    doc: "credits_consumed is the charge ledger; no function in the later snapshot subtracts profiles.token_balance.",
    audited: false,
    ..TABLE
};
