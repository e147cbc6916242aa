//! Tokens that renew a session, each once.

use crate::table::*;

/// One refresh token; only its hash is kept.
pub static REFRESH_TOKENS: Table = Table {
    schema: "auth",
    name: "refresh_tokens",
    purpose: "One single-use token that renews a session",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("session_id"),
        uuid("user_id"),
        text("token_hash").doc("BLAKE3 of the token, hexadecimal"),
        uuid("parent_id").nullable().doc("the token this one replaced"),
        timestamptz("used_at").nullable().doc("when it was exchanged for its successor"),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["token_hash"]],
    foreign_keys: &[
        references("session_id", "auth.sessions", OnDelete::Cascade),
        references("user_id", "auth.users", OnDelete::Cascade),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
