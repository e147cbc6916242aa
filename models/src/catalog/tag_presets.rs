//! Tag vocabulary for clothing, position, scene and style.

use crate::table::*;

/// Tag vocabulary for clothing, position, scene and style.
pub static TAG_PRESETS: Table = Table {
    name: "tag_presets",
    origin: &["beyond"],
    purpose: "Tag vocabulary for clothing, position, scene and style",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("category"),
        timestamptz("created_at").default("now()"),
        text("group_key"),
        text("group_label"),
        boolean("is_active").default("true"),
        int4("sort_order").default("0"),
        text("tag_value"),
    ],
    unique: &[&["category", "group_key", "tag_value"]],
    policies: Policies {
        select: "(authenticated & is_active) | admin",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    ..TABLE
};
