//! Links with which people make an account where sign-up is by invitation.

use crate::table::*;

/// One invitation; only the hash of its token is kept.
pub static INVITATIONS: Table = Table {
    schema: "auth",
    name: "invitations",
    purpose: "A link of an administrator that is good for one new account",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("token_hash").doc("BLAKE3 of the token, hexadecimal"),
        text("note").nullable().doc("for whom it is, in the administrator's words"),
        uuid("created_by").nullable().doc("the administrator; none where the service key made it"),
        timestamptz("created_at").default("now()"),
        timestamptz("expires_at"),
        timestamptz("used_at").nullable(),
        uuid("used_by").nullable().doc("the account that was made with it"),
    ],
    unique: &[&["token_hash"]],
    foreign_keys: &[
        references("created_by", "auth.users", OnDelete::Cascade),
        references("used_by", "auth.users", OnDelete::SetNull),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
