//! Trail of entity changes (document model AuditLog).

use crate::table::*;

/// Trail of entity changes (document model AuditLog).
pub static AUDIT_LOGS: Table = Table {
    name: "audit_logs",
    origin: &["seed 001"],
    purpose: "Trail of entity changes (document model AuditLog)",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name audit_id"),
        text("entity_type"),
        uuid("entity_id"),
        text("action")
            .doc("create|update|delete in the document; created, generation_queued … in the snapshot"),
        text("request_id").nullable(),
        jsonb("old_value").nullable(),
        jsonb("new_value").nullable(),
        timestamptz("timestamp").default("now()").doc("named in seed 001 queries"),
        uuid("user_id").nullable().doc("added: actor"),
    ],
    foreign_keys: &[references("user_id", "profiles", OnDelete::SetNull).doc("added")],
    indexes: &[
        index("ix_audit_logs_entity", &["entity_type", "entity_id", "timestamp desc"]).doc("added"),
        index("ix_audit_logs_request", &["request_id", "timestamp"]).doc("added"),
    ],
    policies: Policies {
        select: "admin | owner(user_id)",
        insert: "service",
        update: "never",
        delete: "never",
    },
    audited: false,
    ..TABLE
};
