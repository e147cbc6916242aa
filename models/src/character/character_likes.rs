//! Who likes which character.

use crate::table::*;

/// One like: an account likes a character once.
pub static CHARACTER_LIKES: Table = Table {
    name: "character_likes",
    origin: &["ours"],
    purpose: "An account likes a character",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        uuid("character_id"),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["user_id", "character_id"]],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::Cascade),
    ],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "never",
        delete: "owner(user_id)",
    },
    audited: false,
    ..TABLE
};
