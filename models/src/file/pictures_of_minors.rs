//! Pictures and films that come from a minor, by their bytes: none of them leads an nsfw job, whatever becomes of its name, its job
//! or its character.

use crate::table::*;

/// One file by its bytes, whichever account has it under whatever name.
pub static PICTURES_OF_MINORS: Table = Table {
    schema: "storage",
    name: "pictures_of_minors",
    purpose: "Files that were drawn of a minor, or of a picture of one",
    owner: Aggregate::File,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("blob_hash").doc("BLAKE3 of the bytes, hexadecimal"),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["blob_hash"]],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};
