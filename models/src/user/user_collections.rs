//! Folders of the library.

use crate::table::*;

/// Folders of the library.
pub static USER_COLLECTIONS: Table = Table {
    name: "user_collections",
    origin: &["seed 003", "seed 002"],
    purpose: "Folders of the library",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("name"),
        text("description").nullable(),
        int4("asset_count").nullable().default("0"),
        timestamptz("created_at").nullable().default("now()"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    indexes: &[index("idx_collections_user", &["user_id", "created_at desc"])],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    doc: "asset_count is maintained by user_library.",
    ..TABLE
};
