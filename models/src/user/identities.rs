//! How an account signs in.

use crate::table::*;

/// One way of signing in.
pub static IDENTITIES: Table = Table {
    schema: "auth",
    name: "identities",
    purpose: "One way of signing in to an account",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("provider").default("'email'"),
        text("provider_id").doc("the account's id at the provider"),
        jsonb("identity_data").default("'{}'::jsonb"),
        timestamptz("last_sign_in_at").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    unique: &[&["provider", "provider_id"]],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
