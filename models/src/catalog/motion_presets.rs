//! Motion reference clips for storyboard.

use crate::table::*;

/// Motion reference clips for storyboard.
pub static MOTION_PRESETS: Table = Table {
    name: "motion_presets",
    origin: &["beyond"],
    purpose: "Motion reference clips for storyboard",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("category").nullable().default("'general'::text"),
        timestamptz("created_at").nullable().default("now()"),
        text("description").nullable(),
        numeric("duration_seconds").nullable(),
        boolean("is_active").nullable().default("true"),
        boolean("is_builtin").default("false"),
        text("name"),
        text("thumbnail_url").nullable(),
        timestamptz("updated_at").nullable().default("now()"),
        uuid("user_id").nullable(),
        text("video_url"),
    ],
    checks: &[check(
        "motion_presets_category_check",
        "category",
        "category IN ('breathing', 'turn', 'walk', 'camera', 'expression', 'general')",
    )],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    indexes: &[
        index("idx_motion_presets_category", &["category"]).filter("is_active = true"),
        index("idx_motion_presets_user", &["user_id"]).filter("user_id IS NOT NULL"),
        index("idx_motion_presets_builtin", &["is_builtin"]).filter("is_builtin = true"),
    ],
    policies: Policies {
        select: "public(is_builtin & is_active) | owner(user_id)",
        insert: "owner(user_id) & not is_builtin",
        update: "owner(user_id) & not is_builtin",
        delete: "owner(user_id) & not is_builtin",
    },
    triggers: &["set updated_at on update"],
    doc: "ten built-in presets are seeded; built-in names are unique",
    ..TABLE
};
