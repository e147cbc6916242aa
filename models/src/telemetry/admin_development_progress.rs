//! Feature delivery tracking.

use crate::table::*;

/// Feature delivery tracking.
pub static ADMIN_DEVELOPMENT_PROGRESS: Table = Table {
    name: "admin_development_progress",
    origin: &["seed 002"],
    purpose: "Feature delivery tracking",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("feature_name"),
        text("feature_category"),
        text("status"),
        text("priority"),
        text("assigned_to").nullable(),
        int4("estimated_hours").nullable(),
        int4("actual_hours").nullable(),
        date("start_date").nullable(),
        date("completion_date").nullable(),
        text("notes").nullable(),
        text("blockers").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    checks: &[
        check("admin_development_progress_priority_check", "priority", "priority IN ('P0', 'P1', 'P2')"),
        check(
            "admin_development_progress_status_check",
            "status",
            "status IN ('not_started', 'in_progress', 'completed', 'blocked')",
        ),
    ],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    ..TABLE
};
