//! What accounts report of pictures.

use crate::table::*;

/// One account's report of one picture.
pub static PICTURE_REPORTS: Table = Table {
    schema: "storage",
    name: "picture_reports",
    purpose: "An account reports a picture that is shown in a public place",
    owner: Aggregate::File,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("picture_id"),
        uuid("user_id").doc("who reports it"),
        uuid("character_id").nullable().doc("where it was seen"),
        text("reason"),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["picture_id", "user_id"]],
    foreign_keys: &[
        references("picture_id", "storage.reviewed_pictures", OnDelete::Cascade),
        references("user_id", "profiles", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::SetNull),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    ..TABLE
};
