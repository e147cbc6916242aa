//! Versioned scripts of a chapter.

use crate::table::*;
use crate::value::SCRIPT_STATUS;

/// Versioned scripts of a chapter.
pub static SCRIPTS: Table = Table {
    name: "scripts",
    origin: &["seed 004"],
    purpose: "Versioned scripts of a chapter",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("chapter_id"),
        uuid("user_id"),
        text("script_style"),
        text("script_name").nullable().doc("snapshot"),
        text("script"),
        text("video_style").nullable().doc("snapshot: NOT NULL"),
        int4("version").nullable().default("1"),
        enumeration("status", &SCRIPT_STATUS)
            .nullable()
            .default("'draft'")
            .doc("draft|evaluated|approved|rejected|active"),
        int4("evaluation_score").nullable(),
        text("evaluation_feedback").nullable(),
        uuid_array("character_ids").nullable().default("'{}'"),
        jsonb("characters").nullable().default("'[]'::jsonb").doc("snapshot"),
        jsonb("scene_descriptions").nullable().default("'[]'::jsonb").doc("snapshot"),
        jsonb("evaluation").nullable().default("'{}'::jsonb").doc("snapshot: score breakdown"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[
        references("chapter_id", "chapters", OnDelete::Cascade).doc("inferred"),
        references("user_id", "profiles", OnDelete::Cascade).doc("inferred"),
    ],
    indexes: &[
        index("idx_scripts_status", &["status"]),
        index("idx_scripts_version", &["version"]),
        index("idx_scripts_evaluation_score", &["evaluation_score"]),
        index("idx_scripts_character_ids", &["character_ids"]).gin(),
    ],
    listed_by: &[&["chapter_id", "user_id", "script_style", "version desc"]],
    own_indexes: &[index("scripts_one_active", &["chapter_id", "user_id", "script_style"])
        .filter("status = 'active'")
        .unique()],
    assigned_columns: &["version"],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    triggers: &["set updated_at on update"],
    doc: "The unique key (chapter_id,user_id,script_style) is dropped by the document. The document's backfill to active is a no-op because the new column's default already filled draft.",
    ..TABLE
};
