//! Named prompt-weight configurations.

use crate::table::*;

/// Named prompt-weight configurations.
pub static COMPEL_CONFIGS: Table = Table {
    name: "compel_configs",
    origin: &["seed 003", "seed 002"],
    purpose: "Named prompt-weight configurations",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("config_name").doc("varchar in the document"),
        jsonb("weights"),
        text("config_hash").doc("varchar in the document"),
        int4("total_tests").nullable().default("0"),
        numeric("avg_quality").nullable(),
        numeric("avg_consistency").nullable(),
        boolean("is_active").nullable().default("false"),
        timestamptz("created_at").nullable().default("now()"),
        uuid("created_by").nullable(),
    ],
    unique: &[&["config_hash"]],
    foreign_keys: &[references("created_by", "auth.users", OnDelete::NoAction)
        .doc("auth schema; 003 lists public targets only")],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    ..TABLE
};
