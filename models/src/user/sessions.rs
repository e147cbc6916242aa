//! Sign-ins that have not ended.

use crate::table::*;

/// One sign-in; deleting it ends it.
pub static SESSIONS: Table = Table {
    schema: "auth",
    name: "sessions",
    purpose: "One sign-in",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("amr_method").default("'password'").doc("how the caller proved who they are"),
        text("user_agent").nullable(),
        timestamptz("refreshed_at").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
