//! Saved playground prompts.

use crate::table::*;

/// Saved playground prompts.
pub static PLAYGROUND_PROMPTS: Table = Table {
    name: "playground_prompts",
    origin: &["beyond"],
    purpose: "Saved playground prompts",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        timestamptz("created_at").default("now()"),
        boolean("is_standard").default("false"),
        text("model_family").nullable(),
        text("name"),
        text("prompt_text"),
        text_array("tags").default("'{}'::text[]"),
        text("task_type").default("'t2i'::text"),
        timestamptz("updated_at").default("now()"),
        uuid("user_id"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    policies: Policies {
        select: "owner(user_id) | public(is_standard) | admin",
        insert: "(owner(user_id) & not is_standard) | admin",
        update: "(owner(user_id) & not is_standard) | admin",
        delete: "(owner(user_id) & not is_standard) | admin",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};
