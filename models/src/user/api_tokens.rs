//! Tokens that an account gives to its programs.

use crate::table::*;

/// One token; only its hash is kept.
pub static API_TOKENS: Table = Table {
    schema: "auth",
    name: "api_tokens",
    purpose: "A token with which a program of an account uses /v1",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("name").doc("what the account calls it"),
        text("token_hash").doc("BLAKE3 of the token, hexadecimal"),
        text("hint").doc("its first characters, so that people tell their tokens apart"),
        text_array("scopes").doc("chat, images, models, webtoons"),
        timestamptz("created_at").default("now()"),
        timestamptz("last_used_at").nullable(),
        timestamptz("revoked_at").nullable(),
    ],
    unique: &[&["token_hash"]],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
