//! Starter data for new characters.

use crate::table::*;

/// Starter data for new characters.
pub static CHARACTER_TEMPLATES: Table = Table {
    name: "character_templates",
    origin: &["beyond"],
    purpose: "Starter data for new characters",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("category").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        jsonb("default_data"),
        text("description").nullable(),
        text("icon_emoji").nullable(),
        boolean("is_active").nullable().default("true"),
        text("name"),
        int4("priority").nullable().default("0"),
        text("template_key"),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    unique: &[&["template_key"]],
    policies: Policies {
        select: "public(is_active) | admin",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    doc: "uniqueness and policy inferred",
    ..TABLE
};
