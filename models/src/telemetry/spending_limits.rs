//! What an account may spend on models in a day.

use crate::table::*;

/// The limits of one account, or of every account that has none of its own.
pub static SPENDING_LIMITS: Table = Table {
    schema: "catalog",
    name: "spending_limits",
    purpose: "What an account may spend on models in a day",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id").nullable().doc("the account; NULL for those that have no row of their own"),
        numeric("usd_per_day").nullable().doc("NULL for no limit"),
        numeric("credits_per_day").nullable().doc("NULL for no limit"),
        timestamptz("updated_at").default("now()"),
    ],
    unique: &[&["user_id"]],
    unique_nulls_not_distinct: true,
    checks: &[
        check("spending_limits_usd_check", "usd_per_day", "usd_per_day >= 0"),
        check("spending_limits_credits_check", "credits_per_day", "credits_per_day >= 0"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    ..TABLE
};
