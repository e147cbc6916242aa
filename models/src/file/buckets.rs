//! Buckets of the storage dialect.

use crate::table::*;

/// One bucket.
pub static BUCKETS: Table = Table {
    schema: "storage",
    name: "buckets",
    purpose: "One bucket of files",
    owner: Aggregate::File,
    columns: &[
        text("id"),
        text("name"),
        uuid("owner").nullable(),
        boolean("public").default("false"),
        int8("file_size_limit").nullable().doc("bytes"),
        text_array("allowed_mime_types").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    unique: &[&["name"]],
    policies: Policies { select: "authenticated", insert: "admin", update: "admin", delete: "admin" },
    doc: "Six are there from the first start; see `actors::file::seed_buckets`.",
    ..TABLE
};
