//! Roles of accounts.

use crate::table::*;
use crate::value::APP_ROLE;

/// Roles of accounts.
pub static USER_ROLES: Table = Table {
    name: "user_roles",
    origin: &["seed 003", "seed 002"],
    purpose: "Roles of accounts",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        enumeration("role", &APP_ROLE),
        timestamptz("created_at").nullable().default("now()"),
    ],
    unique: &[&["user_id", "role"]],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    doc: "app_role: admin, moderator, premium_user, basic_user, guest (priority 100, 80, 60, 40, 20). Policies are for signed-in callers.",
    ..TABLE
};
