//! The card files that characters came from.

use crate::table::*;

/// The file that a character was imported from, so that an export can give back what we do not know.
pub static CARD_FILES: Table = Table {
    schema: "cards",
    name: "files",
    purpose: "The card file that a character was imported from",
    owner: Aggregate::Character,
    columns: &[
        uuid("character_id"),
        text("blob_hash").doc("BLAKE3 of the file as it came, hexadecimal"),
        int8("size").doc("bytes"),
        text("format").doc("png|json|charx|byaf"),
        text("object_name").doc("where the account's own copy lies in the bucket user-library"),
        jsonb("imported")
            .doc("columns of the character as the import made them; what differs now was edited"),
        timestamptz("created_at").default("now()"),
        text("post_history_instructions").nullable().doc("what the card wants said after the history"),
    ],
    primary_key: &["character_id"],
    foreign_keys: &[references("character_id", "characters", OnDelete::Cascade)],
    checks: &[check("files_format_check", "format", "format IN ('png', 'json', 'charx', 'byaf')")],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    blob_columns: &["blob_hash"],
    audited: false,
    ..TABLE
};
