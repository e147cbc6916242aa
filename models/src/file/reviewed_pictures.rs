//! Pictures that a person has to look at before they are shown in public places.

use crate::table::*;

/// One picture by its bytes, whichever account has it under whatever name.
pub static REVIEWED_PICTURES: Table = Table {
    schema: "storage",
    name: "reviewed_pictures",
    purpose: "Pictures that are held back from public places until a person has looked at them",
    owner: Aggregate::File,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("blob_hash").doc("BLAKE3 of the bytes, hexadecimal"),
        uuid("shown_as")
            .doc("the row that the queue shows: this one, or that of the picture whose thumbnail this is"),
        text("status").default("'flagged'::text"),
        text("reason").doc("nsfw or reported"),
        text("path").doc("bucket/path of a file with these bytes"),
        uuid("user_id").nullable().doc("whose file that is"),
        uuid("job_id").nullable(),
        uuid("image_id").nullable(),
        uuid("reviewed_by").nullable(),
        timestamptz("reviewed_at").nullable(),
        text("review_notes").nullable(),
        timestamptz("created_at").default("now()"),
    ],
    unique: &[&["blob_hash"]],
    checks: &[
        check("reviewed_pictures_status_check", "status", "status IN ('flagged', 'approved', 'rejected')"),
        check("reviewed_pictures_reason_check", "reason", "reason IN ('nsfw', 'reported')"),
    ],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::SetNull),
        references("job_id", "jobs", OnDelete::SetNull),
        references("image_id", "images", OnDelete::SetNull),
        references("reviewed_by", "profiles", OnDelete::SetNull),
    ],
    indexes: &[index("reviewed_pictures_status_idx", &["status", "created_at"])],
    lookups: &["shown_as"],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    ..TABLE
};
