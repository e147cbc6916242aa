//! What the ratings of a test of two configurations add up to.

use crate::table::*;

/// Sums over the accounts of a test, each of which counts with the mean of its ratings.
pub static AB_TALLIES: Table = Table {
    schema: "catalog",
    name: "ab_tallies",
    purpose: "Sums of the ratings of a test of two prompt configurations",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").doc("the test"),
        int4("baseline_accounts").default("0").doc("accounts with a rating"),
        numeric("baseline_sum").default("0").doc("of the accounts' means"),
        numeric("baseline_squares").default("0").doc("of the accounts' means"),
        int4("enhanced_accounts").default("0"),
        numeric("enhanced_sum").default("0"),
        numeric("enhanced_squares").default("0"),
        int4("looks").default("0").doc("how often it was judged whether the test is decided"),
    ],
    foreign_keys: &[references("id", "prompt_ab_tests", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
