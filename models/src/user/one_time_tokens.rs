//! Links and codes that would be mailed: sign-up, recovery, magic links, invitations.

use crate::table::*;

/// One link or code; only hashes are kept.
pub static ONE_TIME_TOKENS: Table = Table {
    schema: "auth",
    name: "one_time_tokens",
    purpose: "One link or code that proves control of an address",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("kind").doc(
            "signup, recovery, magiclink, invite, email_change, email_change_current, reauthentication, pkce",
        ),
        text("token_hash").doc("BLAKE3 of the link token, hexadecimal"),
        text("code_hash").doc("BLAKE3 of address and six-digit code, hexadecimal"),
        text("relates_to").doc("the address or number it was made for"),
        text("code_challenge").nullable().doc("PKCE challenge, when the flow is PKCE"),
        text("code_challenge_method").nullable(),
        int4("failed_attempts").default("0"),
        timestamptz("created_at").default("now()"),
        timestamptz("expires_at"),
        int4("failed_before").default("0").doc("wrong codes for the tokens of its kind that it replaced"),
        timestamptz("failed_since").nullable().doc("since when those are counted"),
        jsonb("provider_tokens")
            .nullable()
            .doc("of a PKCE code: what a provider gave for its own interfaces, until it is redeemed"),
    ],
    unique: &[&["token_hash"]],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    indexes: &[index("one_time_tokens_relates_to_idx", &["relates_to", "kind"])],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
