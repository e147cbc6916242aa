//! Style configurations with inheritance.

use crate::table::*;

/// Style configurations with inheritance.
pub static STYLE_PRESETS: Table = Table {
    name: "style_presets",
    origin: &["seed 001"],
    purpose: "Style configurations with inheritance",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name preset_id"),
        uuid("project_id").nullable().doc("NULL = system preset"),
        uuid("parent_id").nullable(),
        text("style_type").doc("story|image"),
        text("name"),
        text("label"),
        jsonb("style_config").default("'{}'::jsonb"),
        boolean("is_system").default("false"),
        boolean("is_active").default("true"),
        text("description").nullable().doc("webtoon snapshot"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    checks: &[check("style_presets_style_type_check", "style_type", "style_type IN ('story', 'image')")],
    foreign_keys: &[
        references("project_id", "projects", OnDelete::Cascade),
        references("parent_id", "style_presets", OnDelete::SetNull)
            .doc("the API refuses to delete a parent that has children"),
    ],
    policies: Policies {
        select: "public(is_system) | owner_via(project_id→projects.user_id) | admin",
        insert: "(owner_via(project_id→projects.user_id) & not is_system) | admin",
        update: "(owner_via(project_id→projects.user_id) & not is_system) | admin",
        delete: "(owner_via(project_id→projects.user_id) & not is_system) | admin",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};
