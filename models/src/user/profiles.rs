//! One row per account.

use crate::table::*;

/// One row per account.
pub static PROFILES: Table = Table {
    name: "profiles",
    origin: &["seed 003", "seed 002", "beyond"],
    purpose: "One row per account",
    owner: Aggregate::User,
    columns: &[
        uuid("id"),
        text("username").nullable(),
        text("subscription_status").nullable().default("'inactive'::text"),
        int4("token_balance").nullable().default("100"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        boolean("age_verified").nullable().default("false"),
        date("birth_date").nullable(),
        timestamptz("age_verification_date")
            .nullable()
            .doc("ninth column of seed 002, name from the later snapshot"),
        uuid("default_user_character_id").nullable().doc("beyond"),
    ],
    unique: &[&["username"]],
    checks: &[check(
        "profiles_subscription_status_check",
        "subscription_status",
        "subscription_status IN ('inactive', 'starter', 'pro', 'creator')",
    )],
    foreign_keys: &[
        references("id", "auth.users", OnDelete::Cascade),
        references("default_user_character_id", "characters", OnDelete::SetNull).doc("beyond; rule inferred"),
    ],
    policies: Policies {
        select: "self(id) | admin",
        insert: "self(id)",
        update: "self(id) | admin",
        delete: "service",
    },
    triggers: &[
        "on sign-up: insert profile (username = metadata.username or the e-mail's local part, 100 tokens, inactive) and role basic_user",
        "on update: token_balance and subscription_status may change only for admins; birth_date only for the owner or an admin; age_verified only for admins, or false→true with a birth_date",
        "on birth_date change: age_verified = (age >= 18), age_verification_date = now() or NULL",
        "after insert/update: user_activity_log row profile_created / profile_updated with changed fields",
        "set updated_at on update",
    ],
    ..TABLE
};
