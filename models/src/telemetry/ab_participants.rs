//! Accounts that take part in a test of two configurations.

use crate::table::*;

/// One account in one test of two configurations, with its ratings.
pub static AB_PARTICIPANTS: Table = Table {
    schema: "catalog",
    name: "ab_participants",
    purpose: "An account that takes part in a test of two prompt configurations",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("test_id"),
        uuid("user_id"),
        boolean("is_enhanced").doc("which of the two configurations the account's jobs have"),
        int4("ratings").default("0").doc("its jobs that are rated"),
        numeric("total").default("0").doc("the sum of their ratings, 1 to 5 each"),
    ],
    unique: &[&["test_id", "user_id"]],
    foreign_keys: &[
        references("test_id", "prompt_ab_tests", OnDelete::Cascade),
        references("user_id", "profiles", OnDelete::Cascade),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
