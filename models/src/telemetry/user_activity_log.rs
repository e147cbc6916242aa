//! Audit of user actions.

use crate::table::*;

/// Audit of user actions.
pub static USER_ACTIVITY_LOG: Table = Table {
    name: "user_activity_log",
    origin: &["seed 003", "seed 002"],
    purpose: "Audit of user actions",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id").nullable(),
        text("action"),
        text("resource_type").nullable(),
        text("resource_id").nullable(),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        inet("ip_address").nullable(),
        text("user_agent").nullable(),
        timestamptz("created_at").nullable().default("now()"),
    ],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade).named("user_activity_log_user_id_fkey")
    ],
    indexes: &[index("idx_user_activity_log_created_at", &["created_at"])],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    doc: "Ordinary users cannot insert: use log_user_activity.",
    audited: false,
    ..TABLE
};
