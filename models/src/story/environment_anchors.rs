//! Reusable environment descriptions.

use crate::table::*;

/// Reusable environment descriptions.
pub static ENVIRONMENT_ANCHORS: Table = Table {
    name: "environment_anchors",
    origin: &["seed 001"],
    purpose: "Reusable environment descriptions",
    owner: Aggregate::Story,
    columns: &[
        uuid("id").default("gen_random_uuid()").doc("document name environment_id"),
        text("description"),
        int4("usage_count").default("0"),
        text("anchor_type")
            .default("'descriptive'::text")
            .doc("descriptive, reference_based (document), visual (snapshot, on promotion)"),
        jsonb("reference_images").default("'[]'::jsonb"),
        jsonb("locked_elements").default("'[]'::jsonb"),
        boolean("pinned").default("false"),
        uuid("user_id").nullable().doc("added: the document gives no owner"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[references("user_id", "profiles", OnDelete::Cascade).doc("added")],
    policies: Policies {
        select: "owner(user_id) | admin",
        insert: "owner(user_id) | admin",
        update: "owner(user_id) | admin",
        delete: "owner(user_id) | admin",
    },
    ..TABLE
};
