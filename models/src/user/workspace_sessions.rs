//! Legacy workspace sessions; at most one active per user through create_workspace_session.

use crate::table::*;

/// Legacy workspace sessions; at most one active per user through create_workspace_session.
pub static WORKSPACE_SESSIONS: Table = Table {
    name: "workspace_sessions",
    origin: &["seed 003"],
    purpose: "Legacy workspace sessions; at most one active per user through create_workspace_session",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("session_name").nullable().default("'Workspace Session'::text"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        boolean("is_active").nullable().default("true"),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
    ],
    foreign_keys: &[references("user_id", "profiles", OnDelete::Cascade)
        .named("workspace_sessions_user_id_fkey")
        .doc("ON DELETE is not stated in the document; inferred from the sibling user tables")],
    indexes: &[
        index("idx_workspace_sessions_active", &["is_active"]),
        index("idx_workspace_sessions_user_id", &["user_id"]),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    doc: "Policies inferred.",
    ..TABLE
};
