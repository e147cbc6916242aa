//! Accounts, as the auth dialect knows them.

use crate::table::*;

/// One account. Secrets never leave the auth adapter.
pub static USERS: Table = Table {
    schema: "auth",
    name: "users",
    purpose: "One account",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("aud").default("'authenticated'"),
        text("role").default("'authenticated'"),
        text("email").nullable().doc("lower case"),
        text("phone").nullable().doc("digits only"),
        text("encrypted_password").nullable().doc("argon2id, PHC string"),
        timestamptz("email_confirmed_at").nullable(),
        timestamptz("phone_confirmed_at").nullable(),
        timestamptz("last_sign_in_at").nullable(),
        jsonb("app_metadata").default("'{}'::jsonb"),
        jsonb("user_metadata").default("'{}'::jsonb"),
        boolean("is_anonymous").default("false"),
        timestamptz("banned_until").nullable(),
        timestamptz("deleted_at").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        timestamptz("invited_at").nullable(),
        text("new_email").nullable().doc("address asked for and not yet confirmed"),
        timestamptz("confirmation_sent_at").nullable(),
        timestamptz("recovery_sent_at").nullable(),
        timestamptz("email_change_sent_at").nullable(),
        timestamptz("reauthentication_sent_at").nullable(),
        int4("email_change_confirm_status")
            .default("0")
            .doc("1 once one of both addresses has agreed to a change"),
    ],
    unique: &[&["email"], &["phone"]],
    indexes: &[index("users_created_at_idx", &["created_at"])],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
