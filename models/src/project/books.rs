//! Source books.

use crate::table::*;

/// Source books.
pub static BOOKS: Table = Table {
    name: "books",
    origin: &["seed 004"],
    purpose: "Source books",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("title"),
        text("author_name").nullable(),
        text("description").nullable(),
        text("cover_image_url").nullable(),
        text("book_type"),
        uuid("project_id").nullable(),
        text("status").default("'draft'::text"),
        int4("total_chapters").default("0"),
        text("language").default("'en'::text"),
        text_array("tags").nullable().default("'{}'::text[]"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade).doc("inferred"),
        references("project_id", "projects", OnDelete::SetNull),
    ],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    doc: "minimal: the document only implies it through chapters",
    ..TABLE
};
