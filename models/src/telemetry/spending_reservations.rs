//! What calls of chat models that are under way may cost.

use crate::table::*;

/// One call under way, with the most that it is expected to cost. It goes in the commit that counts the call.
pub static SPENDING_RESERVATIONS: Table = Table {
    schema: "catalog",
    name: "spending_reservations",
    purpose: "What a call of a chat model that is under way may cost its account",
    owner: Aggregate::Telemetry,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        numeric("usd"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
